"""The verdict log keeps who said what of which record, in numbers, on SQLite, MariaDB and PostgreSQL alike."""

from __future__ import annotations

import re
import sqlite3
import stat
import tempfile
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from sb_api.arrays import pack_rows, unpack_rows
from sb_api.config import load_settings
from sb_api.errors import Unavailable
from sb_api.verdicts.examination import examine_verdict_log
from sb_api.verdicts.log_schema import Event, LoggedVerdict, Stretch
from sb_api.verdicts.verdict_log import VerdictLog, open_verdict_log
from tests.support import databases

NOON = datetime(2026, 1, 1, 12)


def verdict(record: str = "1", **changes: object) -> LoggedVerdict:
    fields: dict[str, object] = {
        "classifier": "lodbrok",
        "task": "a" * 32,
        "record": record,
        "reporter": "ann",
        "label": 1,
        "predicted": 0,
        "score": 0.25,
        "weights": "000001-aaaaaaaa",
        "received": NOON,
        "tokenizers": "t",
        "vector": b"\x00\xff",
        "status": "learned",
    }
    return LoggedVerdict(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> VerdictLog:
    log = open_verdict_log(load_settings({}, state_dir=str(tmp_path)), "lodbrok")
    assert log is not None
    return log


def test_what_is_added_is_found_again(log: VerdictLog) -> None:
    log.add([verdict("1"), verdict("2", reporter="bob")])
    first, second = log.of_task("a" * 32)
    assert msgspec.structs.replace(first, number=0) == verdict("1")
    assert (second.record, second.reporter, second.number) == ("2", "bob", first.number + 1)


def test_nothing_is_added_when_one_of_several_cannot_be(log: VerdictLog) -> None:
    broken = msgspec.structs.replace(verdict("2"), weights=None)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        log.add([verdict("1"), broken])
    assert log.find() == []


def numbers(log: VerdictLog) -> list[int]:
    return [row.number for row in log.find()][::-1]


def test_standing_verdicts_are_those_on_the_same_records_that_nothing_supersedes(log: VerdictLog) -> None:
    log.add([verdict("1"), verdict("2", status="refused"), verdict("3", status="waiting"), verdict("4")])
    log.add([verdict("1", label=0)], superseded=numbers(log)[:1])
    found = log.standing(["1", "2", "3"])
    assert [(row.record, row.label, row.status) for row in found] == [
        ("2", 1, "refused"),
        ("3", 1, "waiting"),
        ("1", 0, "learned"),
    ]
    assert [row.status for row in log.find(record="1")] == ["learned", "superseded"]


def test_standing_asks_about_more_records_than_a_query_has_room_for(log: VerdictLog) -> None:
    log.add([verdict(str(number)) for number in range(1200)])
    assert len(log.standing(str(number) for number in range(1200))) == 1200


def test_what_is_superseded_counts_nowhere(log: VerdictLog) -> None:
    log.add([verdict("1"), verdict("2")])
    log.add([verdict("1", label=0)], superseded=numbers(log)[:1])
    assert [(row.record, row.label) for row in log.learned("t")] == [("2", 1), ("1", 0)]
    assert [label for _, label in log.learned_numbers("t")] == [1, 0]
    assert [(row.record, row.label) for row in log.latest(9)] == [("2", 1), ("1", 0)]
    assert sum(count for *_, count in log.counts()) == 2
    (stretch,) = log.history(4, 5)
    assert sum(stretch.counts.values()) == 2


def test_the_latest_are_found_behind_any_number_of_others(log: VerdictLog) -> None:
    """Of another classifier, or superseded since."""
    log.add([verdict("1"), verdict("2")])
    log.add(verdict(str(n), classifier="intent") for n in range(100))
    log.add(verdict(str(n), status="superseded") for n in range(100))
    log.add([verdict("3")])
    assert [row.record for row in log.latest(2)] == ["2", "3"]
    assert [row.record for row in log.latest(9)] == ["1", "2", "3"]


def test_a_verdict_takes_back_the_one_before_that_was_learned(log: VerdictLog) -> None:
    """Also where what lies between was never learned; not where the same was said."""
    log.add([verdict("1", version="v1"), verdict("2", version="v1", label=0)])
    first, second = numbers(log)
    log.add([verdict("1", label=0, status="superseded", supersedes=first)], superseded=[first])
    log.add([verdict("1", label=0, supersedes=numbers(log)[-1]), verdict("2", label=0, supersedes=second)])
    correction, again = log.find(limit=2)[::-1]
    found = log.taken_back([correction, again])
    assert [row and row.number for row in found] == [first, None]


def test_a_verdict_takes_back_what_anybody_said_or_its_reporter_alone(log: VerdictLog) -> None:
    log.add([verdict("1", version="v1", reporter="bob"), verdict("1", version="v1", reporter="ann")])
    bobs, anns = numbers(log)
    log.add([verdict("1", label=0, reporter="ann")])
    (correction,) = log.find(limit=1)
    for own, first in ((False, bobs), (True, anns)):
        assert [row and row.number for row in log.taken_back([correction], own=own)] == [first]


@pytest.mark.parametrize(
    ("said", "first"),
    [
        # Each with its label, the weights that it found and those that learned it.
        ([(1, 0, 1), (0, 1, 2), (0, 1, 3)], 0),  # the first correction was rolled back
        ([(1, 0, 1), (1, 1, 2), (0, 2, 4)], 0),  # the wrong one was sent again
        ([(1, 0, 1), (0, 1, None), (1, 1, 2), (0, 2, 4)], 0),  # what was over a cap changes nothing
        ([(1, 0, 1), (0, 1, 2), (1, 1, 3), (0, 3, 5)], 0),  # the same after a rollback of the correction between
        ([(1, 0, 1), (0, 1, 2), (1, 2, 4), (0, 4, 6)], 2),  # it had come back between
        ([(1, 0, 1), (0, 1, 2), (0, 2, 4)], 0),  # the correction is sent again
        ([(1, 1, 3), (1, 2, 4), (0, 4, 6)], 1),  # the first wrong one was rolled back
        ([(1, 1, 3), (0, 2, 4)], None),  # and was the only one
        ([(2, 0, 1), (1, 1, 2), (0, 2, 4)], 1),  # of a third label, which says nothing of this one
    ],
)
def test_a_verdict_takes_back_the_first_wrong_one_that_the_weights_had_learned(
    said: list[tuple[int, int, int | None]], first: int | None, log: VerdictLog
) -> None:
    """The weights v2 and v3 were made from v1, v4 from v2, v5 from v3 and v6 from v4."""
    log.follow("v6", {"v0": None, "v1": "v0", "v2": "v1", "v3": "v1", "v4": "v2", "v5": "v3", "v6": "v4"})
    for place, (label, found, learned) in enumerate(said, start=1):
        log.add([verdict(label=label, weights=f"v{found}", supersedes=place - 1 or None)], superseded=[place - 1])
        if learned is not None:
            log.settle_learned([place], f"v{learned}")
    (correction,) = log.numbered([len(said)])
    for one in (correction, msgspec.structs.replace(correction, number=0)):  # logged, and not yet
        (found,) = log.taken_back([one])
        assert (found and found.number - 1) == first


def test_settled_verdicts_say_what_became_of_them(log: VerdictLog) -> None:
    log.add([verdict(str(n), status="learning") for n in (1, 2)])
    one, two = numbers(log)
    log.settle_learned([one], "000002-bbbbbbbb")
    log.settle_refused([one, two], NOON)
    assert [(row.status, row.version, row.attempts, row.tried) for row in log.of_task("a" * 32)] == [
        ("learned", "000002-bbbbbbbb", 0, None),
        ("refused", None, 1, NOON),
    ]
    assert [row.number for row in log.kept()] == [two]
    log.adopt([two], "b" * 32)
    log.settle_refused([two], NOON + timedelta(hours=1))
    assert [(row.attempts, row.tried) for row in log.kept()] == [(2, NOON + timedelta(hours=1))]


def test_what_is_superseded_meanwhile_stays_so_when_its_training_ends(log: VerdictLog) -> None:
    log.add([verdict("1", status="learning")])
    log.add([verdict("1", label=0, status="learning")], superseded=numbers(log))
    log.settle_learned(numbers(log), "000002-bbbbbbbb")
    assert [row.status for row in log.find()] == ["learned", "superseded"]


def test_learned_since_counts_by_reporter_and_leaves_out_what_was_not_learned(log: VerdictLog) -> None:
    old = NOON - timedelta(days=2)
    log.add([verdict("1"), verdict("2", status="learning"), verdict("3", status="held"), verdict("4", received=old)])
    log.add([verdict("5", reporter="bob")])
    assert log.learned_since(NOON - timedelta(days=1)) == {"ann": 2, "bob": 1}


def test_the_latest_come_oldest_first(log: VerdictLog) -> None:
    log.add([verdict(str(number)) for number in range(5)])
    assert [row.record for row in log.latest(3)] == ["2", "3", "4"]


def test_counts_add_up_verdicts_by_version_and_reporter(log: VerdictLog) -> None:
    log.add([verdict("1"), verdict("2"), verdict("3", predicted=1), verdict("4", reporter="bob")])
    assert sorted(log.counts()) == [
        ("000001-aaaaaaaa", "ann", 1, 0, 2),
        ("000001-aaaaaaaa", "ann", 1, 1, 1),
        ("000001-aaaaaaaa", "bob", 1, 0, 1),
    ]


def test_purge_takes_out_what_it_is_told_and_nothing_else(log: VerdictLog) -> None:
    log.add([verdict("1"), verdict("2", reporter="bob"), verdict("3", status="superseded")])
    first, second, third = numbers(log)
    log.settle_learned([first, second], "v1")
    log.purge([second], {third: "held"})
    assert [(row.record, row.status) for row in log.find()] == [("3", "held"), ("1", "learned")]
    assert log.learned_by(["v1"], [first, second]) == {first}
    log.purge([], {})
    assert len(log.find()) == 2


def test_what_was_taught_away_is_learned_by_the_weights_before_and_by_those_that_learn_it_again(
    log: VerdictLog,
) -> None:
    log.follow("v4", {"v0": None, "v1": "v0", "v2": "v1", "v3": "v2", "v4": "v3"})
    log.add([verdict("1"), verdict("2")])
    log.settle_learned([1, 2], "v1")
    log.withdraw([1], {}, "two", [1], "v2")
    log.settle_learned([1], "v4")
    lines = (["v0"], ["v0", "v1"], ["v0", "v1", "v2"], ["v0", "v1", "v2", "v3"], ["v0", "v1", "v2", "v3", "v4"])
    assert [log.learned_by(line, [1, 2]) for line in lines] == [set(), {1, 2}, {2}, {2}, {1, 2}]
    found = [log.taken_back([verdict("1", label=0, weights=line[-1])])[0] for line in lines]
    assert [row is not None for row in found] == [False, True, False, False, True]


def test_classifiers_do_not_see_each_others_verdicts(tmp_path: Path) -> None:
    settings = load_settings({}, state_dir=str(tmp_path))
    lodbrok, intent = open_verdict_log(settings, "lodbrok"), open_verdict_log(settings, "intent")
    assert lodbrok is not None
    assert intent is not None
    lodbrok.add([verdict("1")])
    assert intent.find() == []
    assert len(lodbrok.find()) == 1


def test_the_log_can_be_turned_off(tmp_path: Path) -> None:
    assert open_verdict_log(load_settings({}, state_dir=str(tmp_path), verdict_log="off"), "lodbrok") is None
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_for_its_owner_alone(tmp_path: Path, log: VerdictLog) -> None:
    assert (tmp_path / "verdicts.sqlite").stat().st_mode & 0o777 == 0o600
    assert log.find() == []


def test_a_lost_database_is_said_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="verdict log"):
        VerdictLog(sa.create_engine(f"sqlite:///{tmp_path}/missing/folder.sqlite"), "lodbrok")


def test_rows_are_packed_and_unpacked_without_loss() -> None:
    random = np.random.default_rng(1)
    arrays = {
        "tokens": random.integers(0, 1025, (7, 1)).astype(np.int32),
        "main": random.normal(size=(7, 9)).astype(np.float32),
        "grid": random.normal(size=(7, 2, 3)).astype(np.float32),
    }
    back = unpack_rows(pack_rows(arrays), arrays)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_the_log_works_on_a_real_database_server(server: str) -> None:
    """The whole life of a verdict: logged, found, sampled, settled, counted, purged."""
    # Not in pytest's folder, which is closed to the unprivileged user that runs the server.
    with tempfile.TemporaryDirectory(prefix="sb_api-db-") as folder, getattr(databases, server)(Path(folder)) as url:
        log = open_verdict_log(load_settings({}, state_dir=folder, verdict_log=url), "lodbrok")
        assert log is not None
        log.add([verdict(str(n), label=n % 2, status="learning", vector=bytes(range(256))) for n in range(600)])
        rows = log.of_task("a" * 32)
        assert [row.record for row in rows] == [str(n) for n in range(600)]
        assert rows[0].vector == bytes(range(256))
        assert rows[0].received == NOON
        log.settle_learned([row.number for row in rows], "000002-bbbbbbbb")
        log.follow("000002-bbbbbbbb", {"000002-bbbbbbbb": "000000-aaaaaaaa", "000000-aaaaaaaa": None})
        assert len(log.standing(row.record for row in rows)) == 600
        assert len(log.learned_numbers("t")) == 600
        assert log.learned_since(NOON - timedelta(days=1)) == {"ann": 600}
        assert sum(count for *_, count in log.counts()) == 600
        (stretch,) = log.history(4, 5)
        assert (stretch.until, sum(stretch.counts.values())) == (NOON, 600)
        assert log.count_learned() == (600, 1)
        log.note(Event(kind="training", moment=NOON, version="v2", previous="v1", learned=600, seconds=1.5))
        assert [event.seconds for event in log.events(5)] == [1.5]
        log.follow("000000-aaaaaaaa", {})
        assert {row.status for row in log.find()} == {"undone"}
        log.follow("000002-bbbbbbbb", {})
        assert {row.status for row in log.find()} == {"learned"}
        log.purge([row.number for row in rows], {})
        assert log.find() == []
        log.close()


def test_history_is_cut_into_stretches_of_as_many_verdicts_oldest_first(log: VerdictLog) -> None:
    log.add([verdict(str(n), predicted=n % 2, received=NOON + timedelta(minutes=n)) for n in range(100)])
    assert [(stretch.until, sum(stretch.counts.values())) for stretch in log.history(4, 5)] == [
        (NOON + timedelta(minutes=minutes), 25) for minutes in (24, 49, 74, 99)
    ]
    assert log.history(4, 5)[0].counts == {(1, 0): 13, (1, 1): 12}
    assert len(log.history(40, 30)) == 3
    assert log.history(4, 1000)[0].until == NOON + timedelta(minutes=99)


def test_verdicts_of_one_moment_are_not_cut_apart(log: VerdictLog) -> None:
    assert log.history(4, 5) == []
    log.add([verdict(str(n)) for n in range(40)])
    assert log.history(4, 5) == [Stretch(NOON, {(1, 0): 40})]


def test_what_replaced_the_weights_is_told_oldest_first_and_of_its_classifier(tmp_path: Path, log: VerdictLog) -> None:
    events = [
        Event(kind=kind, moment=NOON, version=f"00000{n}-bbbbbbbb", previous="000000-aaaaaaaa", learned=n, seconds=0.5)
        for n, kind in enumerate(("training", "rollback", "replay"))
    ]
    for event in events:
        log.note(event)
    assert log.events(2) == events[1:]
    other = open_verdict_log(load_settings({}, state_dir=str(tmp_path)), "intent")
    assert other is not None
    assert other.events(10) == []


def test_learned_verdicts_and_their_trainings_are_counted(log: VerdictLog) -> None:
    assert log.count_learned() == (0, 0)
    log.add([verdict("1"), verdict("2"), verdict("3", task="b" * 32), verdict("4", task="c" * 32, status="refused")])
    assert log.count_learned() == (3, 2)


def test_a_state_directory_may_have_any_name(tmp_path: Path) -> None:
    """`#`, `?` and `%20` ended the path, and the log lay outside, for all to read."""
    state = tmp_path / "a#b?c%20d@e"
    log = open_verdict_log(load_settings({}, state_dir=str(state)), "lodbrok")
    assert log is not None
    log.add([verdict()])
    assert [path.name for path in tmp_path.iterdir()] == [state.name]
    assert stat.S_IMODE((state / "verdicts.sqlite").stat().st_mode) == 0o600
    log.close()


def make_foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("create table events (id integer, title text)")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"no database " * 1000), "Restore .* from a backup; or move it away"),
        (make_foreign, "The table events of .* is not one of sb_api: it has no column classifier, .* of sb_api's own"),
        (lambda file: file.mkdir(), "cannot be used: unable to open database file"),
    ],
    ids=["damaged", "foreign", "a folder"],
)
def test_a_log_that_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    file = tmp_path / "verdicts.sqlite"
    spoil(file)
    settings = load_settings({}, state_dir=str(tmp_path))
    with pytest.raises(Unavailable, match=said) as caught:
        open_verdict_log(settings, "lodbrok")
    assert str(file) in caught.value.detail
    with pytest.raises(Unavailable, match=said):
        examine_verdict_log(settings)


def test_a_log_damaged_somewhere_is_found_by_looking_at_all_of_it(tmp_path: Path) -> None:
    settings = load_settings({}, state_dir=str(tmp_path))
    assert examine_verdict_log(settings).endswith("is not there yet")
    log = open_verdict_log(settings, "lodbrok")
    assert log is not None
    log.add([verdict(record=str(number)) for number in range(500)])
    log.close()
    file = tmp_path / "verdicts.sqlite"
    assert examine_verdict_log(settings) == str(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:40_960] + b"\xff" * 8192 + whole[49_152:])
    with pytest.raises(Unavailable, match=r"is damaged: .* Restore .* from a backup"):
        examine_verdict_log(settings)


def test_a_server_says_why_and_not_the_password(tmp_path: Path) -> None:
    url = f"postgres://u:s@cret@/x?host={tmp_path}&password=hidden"
    for wrong in (url, "mariadb://u:s@cret@127.0.0.1:1/x", "mysql://u:s@cret@127.0.0.1:1/x?nonsense=1"):
        with pytest.raises(Unavailable, match=r"u:.*cannot be (used|opened)") as caught:
            open_verdict_log(load_settings({}, state_dir=str(tmp_path), verdict_log=wrong), "lodbrok")
        told = "".join(traceback.format_exception(caught.value))
        assert not re.search(r"s@cret|cret@|hidden", told)


def test_what_is_withdrawn_counts_nowhere_and_what_it_replaced_counts_again(log: VerdictLog) -> None:
    log.add([verdict(1, status="learned", version="v1", digest="d")])
    log.settle_learned([1], "v1")
    log.add([verdict(1, label=0, task="two", digest="d", supersedes=1)], superseded=[1])
    newest = log.newest("1", "d", "ann")
    assert newest is not None
    assert (newest.number, newest.vector) == (2, verdict(1).vector)
    assert log.newest("1", "other", "ann") is None
    assert log.newest("1", "d", "ben") is None
    log.withdraw([newest.number], {1: "learned"}, "three")
    assert [(row.number, row.status) for row in log.find()] == [(2, "withdrawn"), (1, "learned")]
    assert [row.number for row in log.of_task("three")] == [2]
    assert [row.number for row in log.latest(10)] == [1]
    assert [row.number for row in log.find(records=["1", "9"], statuses=["learned"])] == [1]
    assert log.learned_with(log.numbered([1])[0]) == 1
