"""The `messages` table keeps its promises on SQLite and on real MariaDB and PostgreSQL servers; splits are fair."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sb_api.bootstrap.csv_messages import RawMessage, group_near_duplicates
from sb_api.bootstrap.datasets import (
    MessageTable,
    StoredMessage,
    divide_into_folds,
    load_split,
    open_messages,
    split_messages,
)
from sb_api.config import Settings
from sb_api.errors import InvalidParameter, InvalidRecords, InvalidSettings, Unavailable
from sb_api.records import SENTIMENTS, LabelledMessage
from tests.support.databases import mariadb, postgresql

WORDS = ("parcel", "invoice", "subscription", "telescope", "bicycle")
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the database that the test is run with."""
    if request.param is None:
        yield ""
        return
    # Not in pytest's directory: an unprivileged user could not reach it.
    with tempfile.TemporaryDirectory(prefix="sb_api-db-") as folder, request.param(Path(folder)) as url:
        yield url


@pytest.fixture
def table(server_url: str, settings: Settings) -> Iterator[MessageTable]:
    opened = open_messages(msgspec.structs.replace(settings, messages_url=server_url))
    opened.clear()
    yield opened
    opened.clear()
    opened.close()


databases = pytest.mark.parametrize(
    "server_url", [None, mariadb, postgresql], indirect=True, ids=["sqlite", "mariadb", "postgresql"]
)


@databases
def test_messages_come_back_as_they_were_stored(table: MessageTable) -> None:
    messages = [RawMessage(2, "Ärger", "wo ist mein Paket? 📦"), RawMessage(3, "ärger", "x" * 20_000)]
    assert table.add(messages) == (2, [])
    assert [(m.label, m.text, m.part) for m in table.all()] == [(m.label, m.text, None) for m in messages]


@databases
def test_messages_of_another_classifier_are_kept_apart(
    table: MessageTable, server_url: str, settings: Settings
) -> None:
    """The same text may have an intent and a sentiment."""
    other = open_messages(msgspec.structs.replace(settings, messages_url=server_url), SENTIMENTS)
    assert table.add([RawMessage(2, "praise", "one text")]) == (1, [])
    assert other.add([RawMessage(2, "positive", "one text")]) == (1, [])
    assert (table.classes(), other.classes()) == ({"praise": 1}, {"positive": 1})
    assert (other.rename(["positive"], "good"), other.clear(), len(table.all())) == (1, 1, 1)
    other.close()


@databases
def test_a_text_is_stored_once_and_others_are_told(table: MessageTable) -> None:
    assert table.add([RawMessage(2, "a", "one text")]) == (1, [])
    stored, faults = table.add(
        [
            RawMessage(2, "a", "One text!"),
            RawMessage(3, "b", "one text"),
            RawMessage(4, "b", "new"),
            RawMessage(5, "b", "NEW"),
        ]
    )
    assert stored == 1
    assert [(fault.line, fault.reason) for fault in faults] == [
        (2, "has a text that is stored already"),
        (3, "has a text that is stored under a"),
        (5, "has a text that is stored already"),
    ]
    assert [m.text for m in table.all()] == ["one text", "new"]


@databases
def test_parts_are_kept_and_fingerprinted(table: MessageTable) -> None:
    table.add([RawMessage(n, "a", f"text {word}") for n, word in enumerate(("one", "two", "three"))])
    numbers = [m.number for m in table.all()]
    table.assign(dict(zip(numbers, ("train", "validation", "test"), strict=True)))
    split = load_split(table)
    assert [[m.text for m in part] for part in (split.train, split.validation, split.test)] == [
        ["text one"],
        ["text two"],
        ["text three"],
    ]
    table.assign(dict(zip(numbers, ("test", "validation", "train"), strict=True)))
    assert load_split(table).fingerprint != split.fingerprint


@databases
def test_classes_are_renamed_and_made_one(table: MessageTable) -> None:
    table.add([RawMessage(n, intent, f"text {n}") for n, intent in enumerate(("a", "a", "b", "B"))])
    assert table.classes() == {"a": 2, "b": 1, "B": 1}
    assert table.rename(["B"], "b") == 1
    assert table.rename(["a", "b"], "c") == 4
    assert table.classes() == {"c": 4}
    with pytest.raises(InvalidParameter, match="no class 'a'"):
        table.rename(["c", "a"], "d")
    assert table.classes() == {"c": 4}


@databases
def test_what_fits_no_class_has_none(table: MessageTable) -> None:
    table.add([RawMessage(n, "" if n else "a", f"text {word}") for n, word in enumerate(("one", "two", "three"))])
    numbers = [m.number for m in table.all()]
    table.assign(dict(zip(numbers, ("train", "validation", "test"), strict=True)))
    split = load_split(table)
    assert [part[0].label for part in (split.train, split.validation, split.test)] == ["a", None, None]


@databases
def test_an_empty_part_is_told(table: MessageTable) -> None:
    with pytest.raises(InvalidRecords, match="No message is stored; `sb-api data ingest`"):
        load_split(table)
    table.add([RawMessage(n, name, f"{name} {WORDS[n]}") for n in range(2) for name in ("pay", "return")])
    with pytest.raises(InvalidRecords, match="None of 4 stored messages is in any part; `sb-api data split`"):
        load_split(table)
    table.assign(split_messages(table.all(), SHARES, seed=42))
    with pytest.raises(InvalidRecords, match="none is in the parts validation, test: a class of fewer than 3"):
        load_split(table)
    table.add([RawMessage(n, name, f"{name} {WORDS[n]}") for n in (2, 3) for name in ("pay", "return")])
    table.assign(split_messages(table.all(), SHARES, seed=42))
    assert load_split(table).test


@pytest.mark.parametrize("url", ["no url", "oracle://x/y"])
def test_a_wrong_url_is_a_wrong_setting(settings: Settings, url: str) -> None:
    with pytest.raises(InvalidSettings):
        open_messages(msgspec.structs.replace(settings, messages_url=url))


def test_a_server_that_is_not_there_is_unavailable(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_messages(msgspec.structs.replace(settings, messages_url=f"postgresql://x@/x?host={tmp_path}"))


ADJECTIVES = ("red", "blue", "old", "lost", "broken", "wooden", "heavy", "tiny", "giant", "silver", "golden", "rusty")
NOUNS = ("bicycle", "umbrella", "keyboard", "telescope", "violin", "lamp", "carpet", "mirror", "kettle", "helmet")


def stored(count: int = 120) -> list[StoredMessage]:
    texts = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS][:count]
    messages = [StoredMessage(n, "ab"[n % 3 == 0], text, None) for n, text in enumerate(texts)]
    # Near duplicates of the first ten.
    return messages + [StoredMessage(1000 + m.number, m.label, f"{m.text} {m.number}!", None) for m in messages[:10]]


def test_every_class_is_divided_by_the_same_shares() -> None:
    messages = stored()
    parts = split_messages(messages, SHARES, seed=42)
    assert parts.keys() == {m.number for m in messages}
    for intent in "ab":
        own = Counter(parts[m.number] for m in messages if m.label == intent)
        for part, share in SHARES.items():
            assert own[part] / own.total() == pytest.approx(share, abs=0.05)


def test_near_duplicates_are_never_across_a_border() -> None:
    messages = stored()
    parts = split_messages(messages, SHARES, seed=1)
    groups = group_near_duplicates([m.text for m in messages]).tolist()
    border = {(group, parts[m.number]) for group, m in zip(groups, messages, strict=True)}
    assert len(border) == len(set(groups)) < len(messages)


def test_the_seed_decides_the_parts() -> None:
    messages = stored()
    assert split_messages(messages, SHARES, 5) == split_messages(messages, SHARES, 5)
    assert split_messages(messages, SHARES, 5) != split_messages(messages, SHARES, 6)


def test_each_message_is_judged_in_one_fold_and_near_duplicates_in_the_same() -> None:
    texts = [f"{first} my {second}" for first in ("return", "pay", "send", "open") for second in WORDS]
    texts += [f"{text}!" for text in texts[:4]]
    messages = [LabelledMessage(id=n, text=text, label="ab"[n % 2]) for n, text in enumerate(texts)]
    folds = divide_into_folds(messages, 5, seed=1)
    assert sorted(np.concatenate([judged for _, judged in folds]).tolist()) == list(range(len(messages)))
    for learned, judged in folds:
        assert sorted([*learned, *judged]) == list(range(len(messages)))
        assert {messages[place].label for place in judged} == {"a", "b"}
    groups = group_near_duplicates(texts)
    fold_of = {place: number for number, (_, judged) in enumerate(folds) for place in judged.tolist()}
    assert all(len({fold_of[place] for place in np.flatnonzero(groups == group)}) == 1 for group in set(groups))
