"""Live requests judged by staged weights too: a piece at a time, and never more than there is room for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sb_api.broker.jobs import SMALL, Claim, Job
from sb_api.broker.staging import Staged, StagedWeights
from sb_api.classify import judge_claims
from sb_api.judgements import Shadow
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights, dump_weights, named
from sb_api.records import encode_payload
from sb_api.shadow import judging
from sb_api.shadow.judging import ShadowJudge
from tests.support.jobs import Jobs
from tests.support.service import SHIPPED, Shipped, as_editors, make_editors


def make_others(shipped: Shipped, number: int = 1) -> Weights:
    arrays = {path: array * 0.9 if "output" in path else array for path, array in shipped.original.arrays.items()}
    return named(replace(shipped.original, arrays=arrays), number)


def stage(jobs: Jobs, shipped: Shipped, weights: Weights, file: bytes | None = None) -> None:
    documents = {name: vocabulary.to_json() for name, vocabulary in shipped.model.vocabularies.by_name.items()}
    staged = Staged(
        version=weights.about.version,
        since=1.0,
        about=b"{}",
        file=dump_weights(weights) if file is None else file,
        vocabularies=documents,
    )
    StagedWeights(jobs.redis).publish("lodbrok", staged)


def claim(count: int, number: int = 0) -> Claim:
    body = encode_payload(as_editors(make_editors(count, 1000 * number)))
    job = Job(task=str(number), operation="predict", classifier="lodbrok", body=body)
    return Claim(SMALL, str(number).encode(), job)


def look(shadow: ShadowJudge) -> None:
    shadow._next_look = 0.0
    shadow.work()


def work_off(shadow: ShadowJudge) -> int:
    """Do all that waits; in how many pieces."""
    pieces = 0
    while shadow._backlog:
        shadow.work()
        pieces += 1
    return pieces


def told(jobs: Jobs) -> Shadow:
    shadow = StagedWeights(jobs.redis).read("lodbrok")
    assert shadow is not None
    return shadow


@pytest.fixture
def shadow(jobs: Jobs, shipped: Shipped) -> ShadowJudge:
    """With weights staged that differ, and all requests in the share."""
    stage(jobs, shipped, make_others(shipped))
    judge = ShadowJudge(jobs.broker, 1.0, {})
    look(judge)
    return judge


def test_what_is_counted_is_what_both_say(shadow: ShadowJudge, shipped: Shipped, jobs: Jobs) -> None:
    claims = [claim(30), claim(40, 1)]
    without = judge_claims({"lodbrok": shipped.model}, claims)
    assert judge_claims({"lodbrok": shipped.model}, claims, shadow.note) == without  # no answer changes
    assert work_off(shadow) > 1
    look(shadow)
    editors = as_editors([*make_editors(30), *make_editors(40, 1000)])
    before, _ = shipped.model.judge(editors)
    staged = Predictor(SHIPPED, make_others(shipped), shipped.model.vocabularies)
    after, _ = staged.judge(editors)
    found = told(jobs)
    assert (found.judged, found.skipped, found.failed) == (70, 0, 0)
    assert sum(sum(row.values()) for row in found.bands.values()) == 70
    pairs = list(zip(shipped.model.bands(before), staged.bands(after), strict=True))
    assert found.bands == {
        one: {two: pairs.count((one, two)) for _, two in sorted({p for p in pairs if p[0] == one})}
        for one in sorted({p[0] for p in pairs})
    }
    differences = np.abs(before[:, 1].astype(float) - after[:, 1])
    assert found.mean_difference == pytest.approx(differences.mean(), abs=1e-5)
    assert found.largest[0].id == str(editors[int(differences.argmax())].id)


def test_what_there_is_no_room_for_is_skipped_and_counted(
    shadow: ShadowJudge, shipped: Shipped, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "MOST_RECORDS", 25)
    judge_claims({"lodbrok": shipped.model}, [claim(20), claim(10, 1), claim(5, 2)], shadow.note)
    monkeypatch.setattr(judging, "MOST_RECORDS", 1000)
    monkeypatch.setattr(judging, "MOST_BYTES", 10)
    judge_claims({"lodbrok": shipped.model}, [claim(1, 3)], shadow.note)
    work_off(shadow)
    look(shadow)
    assert (told(jobs).judged, told(jobs).skipped) == (25, 11)


def test_a_share_of_none_takes_nothing(shadow: ShadowJudge, shipped: Shipped) -> None:
    shadow.share = 0.0
    judge_claims({"lodbrok": shipped.model}, [claim(5)], shadow.note)
    assert not shadow._backlog


def test_what_is_dropped_is_judged_by_no_longer(shadow: ShadowJudge, shipped: Shipped, jobs: Jobs) -> None:
    judge_claims({"lodbrok": shipped.model}, [claim(5)], shadow.note)
    StagedWeights(jobs.redis).drop("lodbrok", 2.0)
    look(shadow)
    assert not shadow._backlog
    judge_claims({"lodbrok": shipped.model}, [claim(5)], shadow.note)
    assert not shadow._backlog


def test_weights_that_cannot_be_used_are_said_once_and_left_alone(shipped: Shipped, jobs: Jobs) -> None:
    others = make_others(shipped)
    stage(jobs, shipped, others, dump_weights(others)[:-1])
    judge = ShadowJudge(jobs.broker, 1.0, {})
    look(judge)
    look(judge)
    judge_claims({"lodbrok": shipped.model}, [claim(5)], judge.note)
    assert not judge._backlog
    assert [error.text for error in jobs.registry.errors()] == [
        f"the staged weights {others.about.version} of lodbrok cannot be used"
    ]
