"""Labelled messages from files: cleaned, masked, duplicates found; what cannot be used is named by line."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from sb_api.readers.rows import Batch, Fields
from sb_api.records import LONGEST_TEXT, NO_CLASS_NAME
from sb_api.text.characters.composition import compose, drop_surplus_marks
from sb_api.text.masking import mask_personal_data
from sb_api.text.normalization import clean_class, fold_class

LIKENESS = 90.0  # percent of Indel similarity from which two messages are near duplicates
NEIGHBOURS = 12  # in sorted order that a message is compared with
LONGEST_CLASS = 255
MOST_NAMED = 3  # classes of one text: where columns are swapped, it has thousands

_SPACE = re.compile(r"\s+")
_NOT_WORDS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A cleaned and masked message with its class, "" for none, and the line of the file it came from."""

    line: int
    label: str
    text: str
    lines: int = 1  # that it goes over

    @property
    def digest(self) -> str:
        """The same for messages that differ only in case and the marks between words."""
        return hashlib.sha256(same_text(self.text).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a line was not used."""

    line: int
    reason: str
    lines: int = 1


@dataclass(frozen=True)
class Reading:
    """What a file held: messages that can be used, and the lines that cannot. `near` counts the near duplicates."""

    messages: list[RawMessage]
    faults: list[Fault]
    near: int


def name_of(label: str) -> str:
    """What a stored class is called where people read."""
    return label or NO_CLASS_NAME


def same_text(text: str) -> str:
    """What two messages have in common that are exact duplicates: the words, without case, marks and white space."""
    words = re.findall(r"\w+|<\w+>", compose(text).casefold())
    return " ".join(words) or text


def clean_text(text: str) -> str:
    """`text` with mojibake mended, control characters and surplus white space gone, and personal data masked."""
    import ftfy

    mended = ftfy.fix_text(drop_surplus_marks(text)[0], normalization="NFC", unescape_html=True)
    return _SPACE.sub(" ", mask_personal_data(mended)).strip()


def find_alike(names: Mapping[str, int]) -> list[list[str]]:
    """The names of classes, with how many messages each has, that look alike (`fold_class`): a list for each such
    class, the most common name first."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=lambda name: (-names[name], name)):
        alike[fold_class(name)].append(name)
    return [group for group in alike.values() if len(group) > 1]


def message_fields(class_column: str, text_column: str) -> Fields:
    """What is read of a file of messages: two columns, among whatever others."""
    remedy = "`--class-column` and `--text-column` name those that are meant."
    return Fields(frozenset({class_column, text_column}), (class_column, text_column), strict=False, remedy=remedy)


def read_messages(
    batches: Iterable[Batch],
    class_column: str = "intent",
    text_column: str = "query",
    join: Mapping[str, int] | None = None,
    no_class: str | None = None,
) -> Reading:
    """The messages of a file that was opened with `message_fields`. Exact duplicates are used once, texts with two
    classes not at all. With `join`, the classes that there are already with how many messages each has, those whose
    names look alike are one, under the most common of the names. What the file calls `no_class`, or *no class*, fits
    none."""
    messages: list[RawMessage] = []
    faults: list[Fault] = []
    for batch in batches:
        faults += [Fault(wrong.line, wrong.detail, wrong.lines) for wrong in batch.wrong]
        faults += [Fault(line, "is empty") for line in batch.blank]
        for row, line, text in zip(batch.rows, batch.lines, batch.texts or batch.rows, strict=True):
            found = _read_row(row, class_column, text_column)
            height = text.count(b"\n") + 1
            if isinstance(found, str):
                faults.append(Fault(line, found, height))
            else:
                messages.append(RawMessage(line, *found, height))
    if join is not None:
        counts = Counter(message.label for message in messages) + Counter(join)
        names = {name: alike[0] for alike in find_alike(counts) for name in alike}
        messages = [replace(message, label=names.get(message.label, message.label)) for message in messages]
    of_none = {NO_CLASS_NAME, no_class}
    messages = [replace(message, label="") if message.label in of_none else message for message in messages]
    unique = _drop_duplicates(messages, faults)
    groups = group_near_duplicates([message.text for message in unique])
    faults.sort(key=lambda fault: fault.line)
    return Reading(unique, faults, len(unique) - len(np.unique(groups)))


def _read_row(row: bytes, class_column: str, text_column: str) -> tuple[str, str] | str:
    """The class and the cleaned text of a row, or why it is not used."""
    try:
        record = msgspec.json.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"is not JSON: {error}"
    if not isinstance(record, dict):
        return "is no object"
    label, text = (_as_text(record.get(column)) for column in (class_column, text_column))
    label = label and clean_class(label)
    if label is None or text is None:
        return f"holds something else than a text in {class_column if label is None else text_column}"
    if not label:
        return "names no class"
    if len(label) > LONGEST_CLASS:
        return f"names a class of more than {LONGEST_CLASS} characters"
    if not any(character.isalnum() for character in text):
        return "holds no text"
    if len(text) > LONGEST_TEXT:
        return f"holds more than {LONGEST_TEXT} characters"
    return label, clean_text(text)


def _as_text(value: Any) -> str | None:
    """Of a null nothing, of a number its digits; None of what is no text."""
    if value is None:
        return ""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    return None


def _drop_duplicates(messages: Iterable[RawMessage], faults: list[Fault]) -> list[RawMessage]:
    same: dict[str, list[RawMessage]] = defaultdict(list)
    for message in messages:
        same[message.digest].append(message)
    unique = []
    for found in same.values():
        labels = sorted({message.label for message in found})
        if len(labels) > 1:
            more = f" and {len(labels) - MOST_NAMED} others" if len(labels) > MOST_NAMED else ""
            reason = f"has a text that stands under {' and '.join(map(name_of, labels[:MOST_NAMED]))}{more}"
            faults += [Fault(message.line, reason, message.lines) for message in found]
        else:
            unique.append(found[0])
            faults += [
                Fault(message.line, f"has the text of line {found[0].line}", message.lines) for message in found[1:]
            ]
    return sorted(unique, key=lambda message: message.line)


def group_near_duplicates(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """A group number for each of n texts; near duplicates share theirs.

    Texts are near duplicates when they differ only in numbers, marks and the order of words, or when neighbours in
    sorted order, read from the front or from the back, are more than `LIKENESS` alike (the sorted neighbourhood method;
    Hernández and Stolfo, The Merge/Purge Problem for Large Databases, 1995). What is a near duplicate of a near
    duplicate is of the group too.
    """
    from rapidfuzz import fuzz
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    words = [_NOT_WORDS.sub(" ", text.casefold()).strip() for text in texts]
    links: list[tuple[int, int]] = []
    first: dict[str, int] = {}
    for number, text in enumerate(words):
        links.append((first.setdefault(" ".join(sorted(text.split())) or f"#{number}", number), number))
    for keys in (words, [text[::-1] for text in words]):
        order = sorted(range(len(keys)), key=keys.__getitem__)
        for place, number in enumerate(order):
            for other in order[place + 1 : place + 1 + NEIGHBOURS]:
                if fuzz.ratio(words[number], words[other], score_cutoff=LIKENESS):
                    links.append((number, other))
    pairs = np.array(links, np.int32).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (len(texts), len(texts)))
    groups: np.ndarray[tuple[int], np.dtype[np.int32]] = connected_components(graph, directed=False)[1]
    return groups
