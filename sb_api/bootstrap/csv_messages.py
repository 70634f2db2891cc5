"""Labelled messages from files: decoded, cleaned, masked, duplicates found; what cannot be used is told by line."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb_api.errors import InvalidRecords
from sb_api.records import LONGEST_TEXT
from sb_api.text.masking import mask_personal_data

LIKENESS = 90.0  # percent of Indel similarity from which two messages are near duplicates
NEIGHBOURS = 12  # in sorted order that a message is compared with
LONGEST_INTENT = 255

_SPACE = re.compile(r"\s+")
_NOT_WORDS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A cleaned and masked message with its class, and the line of the file it came from."""

    line: int
    intent: str
    text: str

    @property
    def digest(self) -> str:
        """The same for messages that differ only in case and the marks between words."""
        return hashlib.sha256(same_text(self.text).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a line was not used."""

    line: int
    reason: str


@dataclass(frozen=True)
class Reading:
    """What a file held: messages that can be used, and the lines that cannot. `near` counts the near duplicates."""

    messages: list[RawMessage]
    faults: list[Fault]
    encoding: str
    near: int


def same_text(text: str) -> str:
    """What two messages have in common that are exact duplicates: the words, without case, marks and white space."""
    words = re.findall(r"\w+|<\w+>", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(words) or text


def decode_text(content: bytes) -> tuple[str, str]:
    """Text from bytes in whatever encoding, and its name. Raises InvalidRecords when it is no text."""
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(content).best()
        if best is None:
            raise InvalidRecords("The file is not text in any known encoding.", errors={}) from None
        return str(best), best.encoding


def clean_text(text: str) -> str:
    """`text` with mojibake mended, control characters and surplus white space gone, and personal data masked."""
    import ftfy

    mended = ftfy.fix_text(text, normalization="NFC", unescape_html=True)
    return _SPACE.sub(" ", mask_personal_data(mended)).strip()


def read_messages(path: Path, intent_column: str = "intent", text_column: str = "query") -> Reading:
    """The messages of a CSV file with a header line. Exact duplicates are used once, texts with two classes not at all.

    Raises InvalidRecords when the file has no such columns.
    """
    decoded, encoding = decode_text(path.read_bytes())
    messages: list[RawMessage] = []
    faults: list[Fault] = []
    try:
        dialect: type[csv.Dialect] | str = csv.Sniffer().sniff(decoded.partition("\n")[0], ",;\t|")
    except csv.Error:
        dialect = "excel"
    reader = csv.reader(io.StringIO(decoded, newline=""), dialect)
    header = [name.strip() for name in next(reader, [])]
    if missing := [name for name in (intent_column, text_column) if name not in header]:
        raise InvalidRecords(
            f"{path} has no column {' and no column '.join(missing)}; it has {', '.join(header) or 'none'}.", errors={}
        )
    intent_place, text_place = header.index(intent_column), header.index(text_column)
    line = reader.line_num + 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            faults.append(Fault(line, f"is not CSV: {error}"))
            line = reader.line_num + 1
            continue
        reason = _unusable(row, header, intent_place, text_place)
        if reason:
            faults.append(Fault(line, reason))
        else:
            messages.append(RawMessage(line, _SPACE.sub(" ", row[intent_place]).strip(), clean_text(row[text_place])))
        line = reader.line_num + 1
    unique = _drop_duplicates(messages, faults)
    groups = group_near_duplicates([message.text for message in unique])
    faults.sort(key=lambda fault: fault.line)
    return Reading(unique, faults, encoding, len(unique) - len(np.unique(groups)))


def _unusable(row: Sequence[str], header: Sequence[str], intent_place: int, text_place: int) -> str:
    if not row:
        return "is empty"
    if len(row) <= max(intent_place, text_place):
        return f"has {len(row)} of {len(header)} columns"
    intent, text = row[intent_place].strip(), row[text_place].strip()
    if not intent:
        return "names no class"
    if len(intent) > LONGEST_INTENT:
        return f"names a class of more than {LONGEST_INTENT} characters"
    if not any(character.isalnum() for character in text):
        return "holds no text"
    return f"holds more than {LONGEST_TEXT} characters" if len(text) > LONGEST_TEXT else ""


def _drop_duplicates(messages: Iterable[RawMessage], faults: list[Fault]) -> list[RawMessage]:
    same: dict[str, list[RawMessage]] = defaultdict(list)
    for message in messages:
        same[message.digest].append(message)
    unique = []
    for found in same.values():
        intents = sorted({message.intent for message in found})
        if len(intents) > 1:
            faults += [
                Fault(message.line, f"has a text that stands under {' and '.join(intents)}") for message in found
            ]
        else:
            unique.append(found[0])
            faults += [Fault(message.line, f"has the text of line {found[0].line}") for message in found[1:]]
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
