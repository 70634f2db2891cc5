"""The verdict log keeps who said what of which record, in numbers, on SQLite, MariaDB and PostgreSQL alike."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from sb_api.arrays import pack_rows, unpack_rows
from sb_api.config import load_settings
from sb_api.errors import Unavailable
from sb_api.learning.verdict_log import Event, LoggedVerdict, Stretch, VerdictLog, open_verdict_log
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


def test_known_names_the_same_verdict_of_the_same_reporter_and_not_refused_ones(log: VerdictLog) -> None:
    log.add([verdict("1"), verdict("2", status="refused"), verdict("3", status="waiting")])
    keys = [("1", 1, "ann"), ("1", 0, "ann"), ("1", 1, "bob"), ("2", 1, "ann"), ("3", 1, "ann")]
    assert log.known(keys) == {("1", 1, "ann"): "learned", ("3", 1, "ann"): "waiting"}


def test_known_asks_about_more_records_than_a_query_has_room_for(log: VerdictLog) -> None:
    log.add([verdict(str(number)) for number in range(1200)])
    assert len(log.known((str(number), 1, "ann") for number in range(1200))) == 1200


def test_settle_says_what_became_of_verdicts(log: VerdictLog) -> None:
    log.add([verdict("1", status="learning"), verdict("2", status="learning")])
    numbers = [row.number for row in log.of_task("a" * 32)]
    log.settle(numbers[:1], "learned", "000002-bbbbbbbb")
    log.settle(numbers[1:], "refused")
    assert [(row.status, row.version) for row in log.of_task("a" * 32)] == [
        ("learned", "000002-bbbbbbbb"),
        ("refused", None),
    ]


def test_learned_since_counts_by_reporter_and_leaves_out_what_was_not_learned(log: VerdictLog) -> None:
    old = NOON - timedelta(days=2)
    log.add([verdict("1"), verdict("2", status="learning"), verdict("3", status="held"), verdict("4", received=old)])
    log.add([verdict("5", reporter="bob")])
    assert log.learned_since(NOON - timedelta(days=1)) == {"ann": 2, "bob": 1}


def test_a_sample_has_one_label_one_vocabulary_and_follows_from_the_generator(log: VerdictLog) -> None:
    log.add([verdict(str(n), label=n % 2, tokenizers="t" if n < 80 else "u") for n in range(100)])
    drawn = log.sample(1, 10, "t", np.random.default_rng(3))
    assert drawn == log.sample(1, 10, "t", np.random.default_rng(3))
    assert len({row.number for row in drawn}) == 10
    assert {(row.label, row.tokenizers) for row in drawn} == {(1, "t")}
    assert len(log.sample(1, 1000, "t", np.random.default_rng(3))) == 40
    assert log.sample(7, 10, "t", np.random.default_rng(3)) == []


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
    log.add([verdict("1"), verdict("2", reporter="bob"), verdict("3", received=NOON + timedelta(days=1))])
    assert log.purge(reporter="bob") == 1
    assert log.purge(since=NOON + timedelta(hours=1)) == 1
    assert [row.record for row in log.find()] == ["1"]
    assert log.purge(record="1") == 1
    assert log.find() == []


def test_classifiers_do_not_see_each_others_verdicts(tmp_path: Path) -> None:
    settings = load_settings({}, state_dir=str(tmp_path))
    lodbrok, intent = open_verdict_log(settings, "lodbrok"), open_verdict_log(settings, "intent")
    assert lodbrok is not None
    assert intent is not None
    lodbrok.add([verdict("1")])
    assert intent.find() == []
    assert intent.purge(record="1") == 0
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
        log.settle([row.number for row in rows], "learned", "000002-bbbbbbbb")
        assert len(log.known((row.record, row.label, row.reporter) for row in rows)) == 600
        assert len(log.sample(1, 50, "t", np.random.default_rng(1), before=rows[300].number)) == 50
        assert log.learned_since(NOON - timedelta(days=1)) == {"ann": 600}
        assert sum(count for *_, count in log.counts()) == 600
        (stretch,) = log.history(4, 5)
        assert (stretch.until, sum(stretch.counts.values())) == (NOON, 600)
        assert log.count_learned() == (600, 1)
        log.note(Event(kind="training", moment=NOON, version="v2", previous="v1", learned=600, seconds=1.5))
        assert [event.seconds for event in log.events(5)] == [1.5]
        assert log.purge(reporter="ann") == 600
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
