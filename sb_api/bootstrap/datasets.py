"""Labelled messages in a database, and their split into parts to learn from, to choose by and to measure on.

SQLite in the state directory by default; MariaDB, MySQL or PostgreSQL by URL.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from sb_api.bootstrap.csv_messages import Fault, RawMessage, group_near_duplicates, name_of
from sb_api.config import Settings
from sb_api.errors import InvalidParameter, InvalidRecords
from sb_api.records import INTENTS, RECORD_TYPES, LabelledMessage, RecordType
from sb_api.verdicts.databases import begin, open_database

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
Key = TypeVar("Key", bound=str | int)
SYNTHETIC = "synthetic"  # how the fingerprint of made-up messages begins

_METADATA = sa.MetaData()


def _define_table(record_type: RecordType) -> sa.Table:
    return sa.Table(
        "_".join(filter(None, ("messages", record_type.namespace))),
        _METADATA,
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("intent", sa.String(255), key="label", nullable=False),  # as it was called when there was but one
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("part", sa.String(16)),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


_TABLES = {each.name: _define_table(each) for each in RECORD_TYPES.values() if each.of_messages}


@dataclass(frozen=True)
class StoredMessage:
    """One row. A message that fits no class has the label ""."""

    number: int
    label: str
    text: str
    part: Part | None


class MessageTable:
    """The messages of one classifier. Raises Unavailable from every method when the database cannot be used."""

    def __init__(self, engine: sa.Engine, record_type: RecordType = INTENTS) -> None:
        self._engine = engine
        self._table = _TABLES[record_type.name]
        with self._begin() as connection:
            self._table.create(connection, checkfirst=True)

    def add(self, messages: Sequence[RawMessage]) -> tuple[int, list[Fault]]:
        """Store messages that are not stored yet, all or none; returns how many, and why the others were not."""
        faults = []
        with self._begin() as connection:
            known = self._labels(connection, [message.digest for message in messages])
            new = []
            for message in messages:
                stored = known.get(message.digest)
                if stored is None:
                    known[message.digest] = message.label
                    new.append({"digest": message.digest, "label": message.label, "text": message.text})
                else:
                    under = "already" if stored == message.label else f"under {name_of(stored)}"
                    faults.append(Fault(message.line, f"has a text that is stored {under}", message.lines))
            if new:
                connection.execute(self._table.insert(), new)
        return len(new), faults

    def all(self) -> list[StoredMessage]:
        """Every message, oldest first."""
        mine = self._table.c
        columns = (mine.number, mine.label, mine.text, mine.part)
        with self._begin() as connection:
            rows = connection.execute(sa.select(*columns).order_by(mine.number))
            return [StoredMessage(*row) for row in rows]

    def classes(self) -> dict[str, int]:
        """How many messages each class has."""
        label = self._table.c.label
        query = sa.select(label, sa.func.count()).group_by(label)
        with self._begin() as connection:
            return {str(name): int(count) for name, count in connection.execute(query)}

    def rename(self, old: Sequence[str], new: str) -> int:
        """Give the messages of classes another name, that of a class that there is or a new one; all or none. Returns
        how many there were. Raises InvalidParameter when there is no such class."""
        if missing := sorted(set(old) - self.classes().keys()):
            raise InvalidParameter(f"There is no class {missing[0][:60]!r} among the stored messages.")
        with self._begin() as connection:
            mine = self._table.update().where(self._table.c.label.in_(old))
            return connection.execute(mine.values(label=new)).rowcount

    def assign(self, parts: Mapping[int, Part]) -> None:
        """Put messages, by their numbers, into parts; all or none."""
        if parts:
            mine = self._table.update().where(self._table.c.number == sa.bindparam("of"))
            statement = mine.values(part=sa.bindparam("to"))
            with self._begin() as connection:
                connection.execute(statement, [{"of": number, "to": part} for number, part in parts.items()])

    def clear(self) -> int:
        """Forget every message; returns how many there were."""
        with self._begin() as connection:
            return connection.execute(self._table.delete()).rowcount

    def close(self) -> None:
        self._engine.dispose()

    def _begin(self) -> AbstractContextManager[sa.Connection]:
        return begin(self._engine, "The messages")

    def _labels(self, connection: sa.Connection, digests: Sequence[str]) -> dict[str, str]:
        mine = self._table.c
        found: dict[str, str] = {}
        for start in range(0, len(digests), 500):
            query = sa.select(mine.digest, mine.label).where(mine.digest.in_(digests[start : start + 500]))
            found |= {str(digest): str(label) for digest, label in connection.execute(query)}
        return found


def open_messages(settings: Settings, record_type: RecordType = INTENTS) -> MessageTable:
    """The messages of a classifier, at `SB_API_MESSAGES_URL` or in the state directory. Raises Unavailable or
    InvalidSettings."""
    file = settings.state / "messages.sqlite"
    return MessageTable(open_database(settings.messages_url, "SB_API_MESSAGES_URL", file), record_type)


def split_messages(messages: Sequence[StoredMessage], shares: Mapping[Part, float], seed: int) -> dict[int, Part]:
    """Parts by message number, of about `shares` of every class; near duplicates are all in one part.

    The same messages, shares and seed give the same parts.
    """
    parts = _divide([m.text for m in messages], [m.label for m in messages], shares, seed)
    return {message.number: part for message, part in zip(messages, parts, strict=True)}


def divide_into_folds(
    messages: Sequence[LabelledMessage], count: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """The places of the (learned, judged) messages of each of so many folds, of about as many of every class; near
    duplicates are all in one fold. There are fewer folds where too few messages differ, and none where all are alike.
    """
    shares = dict.fromkeys(range(count), 1 / count)
    folds = np.array(_divide([m.text for m in messages], [m.label or "" for m in messages], shares, seed))
    places = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(count)]
    return [(learned, judged) for learned, judged in places if len(learned) and len(judged)]


def _divide(texts: Sequence[str], labels: Sequence[str], shares: Mapping[Key, float], seed: int) -> list[Key]:
    """Which of the keys of `shares` each of n texts goes to."""
    random = np.random.default_rng(seed)
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(group_near_duplicates(texts).tolist()):
        members[group].append(place)
    by_label: dict[str, list[list[int]]] = defaultdict(list)
    for alike in members.values():
        by_label[Counter(labels[place] for place in alike).most_common(1)[0][0]].append(alike)
    parts: dict[int, Key] = {}
    sizes = dict.fromkeys(shares, 0)
    for _, groups in sorted(by_label.items()):
        order = random.permutation(len(groups))
        total = sum(map(len, groups))
        filled = dict.fromkeys(shares, 0)
        # The largest groups first, each where most is missing: so that the shares come out though groups stay whole.
        for alike in sorted((groups[number] for number in order), key=len, reverse=True):
            missing = {part: shares[part] * total - filled[part] for part in shares}
            part = max(shares, key=lambda part: (missing[part], -sizes[part] / shares[part]))
            filled[part] += len(alike)
            sizes[part] += len(alike)
            parts |= dict.fromkeys(alike, part)
    return [parts[place] for place in range(len(texts))]


@dataclass(frozen=True)
class Split:
    """Labelled messages to learn from, to choose by, and to measure on. The fingerprint tells which they were."""

    train: Sequence[LabelledMessage]
    validation: Sequence[LabelledMessage]
    test: Sequence[LabelledMessage]
    fingerprint: str


def load_split(table: MessageTable) -> Split:
    """The parts as they are stored. Raises InvalidRecords when one of them is empty."""
    parts: dict[str, list[LabelledMessage]] = {part: [] for part in PARTS}
    digest = hashlib.sha256()
    stored = table.all()
    for message in stored:
        if message.part is not None:
            parts[message.part].append(
                LabelledMessage(id=message.number, text=message.text, label=message.label or None)
            )
            digest.update(f"{message.part}\0{message.label}\0{message.text}\0".encode())
    if empty := [part for part, found in parts.items() if not found]:
        raise InvalidRecords(_tell_empty(stored, empty), errors={})
    return Split(parts["train"], parts["validation"], parts["test"], digest.hexdigest()[:16])


def _tell_empty(stored: Sequence[StoredMessage], empty: Sequence[str]) -> str:
    """Why parts hold no message, and what to do."""
    if not stored:
        return "No message is stored; `sb-api data ingest` stores messages."
    if all(message.part is None for message in stored):
        return f"None of {len(stored)} stored messages is in any part; `sb-api data split` divides them."
    return (
        f"Of {len(stored)} stored messages none is in the parts {', '.join(empty)}: a class of fewer than "
        f"{len(PARTS)} that differ is not divided. `sb-api data ingest` stores more, and `sb-api data split` divides "
        "them again."
    )
