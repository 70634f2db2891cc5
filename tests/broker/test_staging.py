"""Staged weights in Redis: one version at a time, and what is counted is counted for that one alone."""

from __future__ import annotations

import pytest

from sb_api.broker.staging import MOST_DIFFERENCES, Staged, StagedWeights, cell
from sb_api.judgements import Difference
from tests.support.jobs import Jobs


def stage(jobs: Jobs, version: str = "000001-aaaaaaaa", since: float = 5.5) -> StagedWeights:
    weights = StagedWeights(jobs.redis)
    staged = Staged(version=version, since=since, about=b'{"a": 1}', file=b"numbers", vocabularies={"bio": b"{}"})
    weights.publish("lodbrok", staged)
    assert weights.find("lodbrok") == staged
    return weights


def differ(name: str, by: float) -> Difference:
    return Difference(name, by, 0.0, by, "likely fine", "unsure")


def test_what_is_staged_is_found_until_it_is_dropped(jobs: Jobs) -> None:
    weights = stage(jobs)
    assert weights.versions(["lodbrok", "intent"]) == {"lodbrok": ("000001-aaaaaaaa", 5.5)}
    assert weights.about("lodbrok") == b'{"a": 1}'
    weights.drop("lodbrok", 7.25)
    assert weights.versions(["lodbrok"]) == {"lodbrok": ("", 7.25)}
    assert (weights.find("lodbrok"), weights.about("lodbrok"), weights.read("lodbrok")) == (None, None, None)


def test_what_processes_count_adds_up(jobs: Jobs) -> None:
    weights = stage(jobs)
    same, other = cell("unsure", "unsure"), cell("unsure", "certain spam")
    for y in (0.5, 0.9):
        counts = {"judged": 1, "difference": abs(0.5 - y), "x": 0.5, "y": y, "xx": 0.25, "yy": y * y, "xy": 0.5 * y}
        assert weights.add("lodbrok", "000001-aaaaaaaa", {**counts, same if y == 0.5 else other: 1})
    assert weights.add("lodbrok", "000001-aaaaaaaa", {"skipped": 3, "failed": 1, "verdicts staged": 2})
    shadow = weights.read("lodbrok")
    assert shadow is not None
    assert (shadow.since, shadow.judged, shadow.skipped, shadow.failed) == (5.5, 2, 3, 1)
    assert shadow.bands == {"unsure": {"certain spam": 1, "unsure": 1}}
    assert (shadow.same, shadow.mean_difference) == (0.5, pytest.approx(0.2))
    assert shadow.correlation is None  # the scores of the current weights did not vary
    assert (shadow.verdicts.staged, shadow.verdicts.both) == (2, 0)


def test_what_is_late_is_not_counted_for_what_is_staged_since(jobs: Jobs) -> None:
    stage(jobs).add("lodbrok", "000001-aaaaaaaa", {"judged": 1}, [differ("1", 0.5)])
    weights = stage(jobs, "000002-bbbbbbbb", 6.0)
    assert not weights.add("lodbrok", "000001-aaaaaaaa", {"judged": 1}, [differ("1", 0.5)])
    shadow = weights.read("lodbrok")
    assert shadow is not None
    assert (shadow.judged, shadow.largest) == (0, [])


def test_the_largest_differences_are_kept_each_record_once(jobs: Jobs) -> None:
    weights = stage(jobs)
    for start in (0, 40):
        found = [differ(str(number), (number + 1) / 100) for number in range(start, start + 40)]
        weights.add("lodbrok", "000001-aaaaaaaa", {}, found)
    weights.add("lodbrok", "000001-aaaaaaaa", {}, [differ("79", 0.9), differ("78", 0.1)])
    shadow = weights.read("lodbrok")
    assert shadow is not None
    assert [one.id for one in shadow.largest] == [str(number) for number in range(79, 79 - MOST_DIFFERENCES, -1)]
    assert [one.difference for one in shadow.largest[:2]] == [0.9, 0.79]
    assert jobs.redis.hlen("{sb_api}:staged:lodbrok:differences") == MOST_DIFFERENCES
