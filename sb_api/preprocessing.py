"""Records -> named arrays.

An editor becomes one vector of 524 numbers: [verdict, area set, gender set, birth date set, privs != 0, bio length,
bio has a URL, confirm delta, update delta, login delta, e-mail token, website token, 512 x bio tf-idf].

A message becomes one of 409: [label, 192 x rank of a feature, 192 x its weight, 24 x word number], of the heaviest
features where there are more, 0 where there are fewer. Features are words, pairs of neighbouring words, and the
character n-grams of each word, which typing errors and slang leave mostly whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import chain, pairwise
from math import log, sqrt
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Matrix
from sb_api.records import Editor, EditorFields, Message
from sb_api.text.dates import Seconds, parse_plain
from sb_api.text.disguises import hidden_words_in
from sb_api.text.hosts import host_candidates, split_email, split_website
from sb_api.text.lengths import condense
from sb_api.text.masking import mask_personal_data
from sb_api.text.normalization import NormalText, letter_marks, normalize_text, normalize_texts
from sb_api.text.spelling import separate_runs, separate_words, separate_words_in
from sb_api.text.tokenizers import Vocabularies, Vocabulary
from sb_api.text.urls import has_url

FEATURES_PER_MESSAGE, WORDS_PER_MESSAGE = 192, 24
MESSAGE_LENGTH = 1 + 2 * FEATURES_PER_MESSAGE + WORDS_PER_MESSAGE


VECTOR_LENGTH = 524
PART = 512  # editors
BIO_WORDS = 511  # columns 1 to 511 of the bio part; column 0 stays unused, as in the Keras tokenizer
EMAIL_DOMAINS = 1022
WEBSITE_HOSTS = 1021
NO_EMAIL, UNKNOWN_EMAIL = 1023, 1024
UNKNOWN_WEBSITE, NO_WEBSITE = 1023, 1024
NO_DATE, NO_MEMBER_SINCE = -1.0, -2.0
LONGEST_BIO = 2000  # characters of which every one is looked at
FEATURES = 100_000  # that a vocabulary of messages may have
WORDS = 20_000  # whose order counts
UNKNOWN_WORD = 1  # known ones are numbered from 2
CHARACTERS = (3, 4, 5)  # lengths of the character n-grams

DATES = ("member_since", "email_confirm_date", "last_updated", "last_login_date", "birth_date")

_UNSET = (None, "")
_RANKS = slice(1, 1 + FEATURES_PER_MESSAGE)
_WEIGHTS = slice(_RANKS.stop, _RANKS.stop + FEATURES_PER_MESSAGE)
_ORDERED = slice(_WEIGHTS.stop, _WEIGHTS.stop + WORDS_PER_MESSAGE)
_STRETCHED = re.compile(r"(.)\1{2,}", re.DOTALL)


def _term_frequency(count: int) -> float:
    return 1 + log(count)


_TERM_FREQUENCIES = np.array([0.0, *map(_term_frequency, range(1, 256))])


class Bios(NamedTuple):
    """The bios of n editors in their normal form, "" where there is none, and the words that each spells out or
    hides."""

    normal: list[NormalText]
    hidden: list[list[str]]


class Dates(NamedTuple):
    """The dates of n editors, date by date (5n,): as `given`, and in seconds those that are written as nearly all are
    (`parse_plain`)."""

    given: list[str | None]
    plain: Seconds | None


def read_dates(editors: Sequence[EditorFields]) -> Dates:
    given = [*chain.from_iterable(map(attrgetter(date), editors) for date in DATES)]
    return Dates(given, parse_plain(given))


class Hosts(NamedTuple):
    """The hosts of the websites and the domains of the e-mail addresses of n editors, and what stands behind the one
    and before the other; "" where there is none."""

    websites: list[str]
    paths: list[str]
    emails: list[str]
    mailboxes: list[str]


_NO_HOST = ("", "")


def read_hosts(editors: Sequence[EditorFields]) -> Hosts:
    websites = [split_website(editor.website) if editor.website else _NO_HOST for editor in editors]
    emails = [split_email(editor.email) if editor.email else _NO_HOST for editor in editors]
    return Hosts(
        [host for host, _ in websites],
        [path for _, path in websites],
        [domain for domain, _ in emails],
        [mailbox for _, mailbox in emails],
    )


def read_bios(editors: Sequence[EditorFields]) -> Bios:
    """The bios of n editors, of those that are longer than `LONGEST_BIO` without what only fills them."""
    normal = normalize_texts([condense(editor.bio or "", LONGEST_BIO) for editor in editors])
    for row, one in enumerate(normal):
        if len(one.text) > LONGEST_BIO:  # what was undone may have filled it
            normal[row] = msgspec.structs.replace(one, text=condense(one.text, LONGEST_BIO))
    return Bios(normal, hidden_words_in([one.text for one in normal]))


class Read(NamedTuple):
    """What is read of n editors before it becomes numbers."""

    bios: Bios
    dates: Dates
    hosts: Hosts


def read_editors(editors: Sequence[EditorFields]) -> Read:
    return Read(read_bios(editors), read_dates(editors), read_hosts(editors))


def texts_of_words(bios: Bios) -> list[str]:
    """n texts in which blanks part all words, also those of scripts without blanks; the words that a text spells
    out or hides stand behind it once more, as they would be read."""
    texts = [one.text for one in bios.normal]
    unspaced = [row for row, one in enumerate(bios.normal) if one.unspaced]
    for row, text in zip(unspaced, separate_words_in([texts[row] for row in unspaced]), strict=True):
        texts[row] = text
    return [" ".join((text, *hidden)) if hidden else text for text, hidden in zip(texts, bios.hidden, strict=True)]


def in_parts(count: int) -> Iterator[slice]:
    """So many editors in parts that are made numbers of together: what is made of more lies in no processor's cache."""
    return (slice(start, start + PART) for start in range(0, count, PART))


def editor_vectors(editors: Sequence[Editor], vocabularies: Vocabularies) -> Matrix:
    """The vectors of n editors, (n, 524). Column 0, the verdict, is 0 for an editor without one."""
    matrix: Matrix = np.zeros((len(editors), VECTOR_LENGTH), np.float32)
    for part in in_parts(len(editors)):
        write_vectors(matrix[part], editors[part], vocabularies, read_editors(editors[part]))
    return matrix


def write_vectors(matrix: Matrix, editors: Sequence[Editor], vocabularies: Vocabularies, read: Read) -> None:
    """Write the vectors of n editors to (n, 524) zeros."""
    bios, dates, hosts = read
    texts = [bio.text for bio in bios.normal]
    emails, websites = vocabularies["email"].host_ranks, vocabularies["website"].host_ranks
    matrix[:, 0] = [getattr(editor, "verdict", 0) for editor in editors]
    matrix[:, 1] = [editor.area not in _UNSET for editor in editors]
    matrix[:, 2] = [editor.gender not in _UNSET for editor in editors]
    matrix[:, 3] = [bool(editor.birth_date) for editor in editors]
    matrix[:, 4] = [bool(editor.privs) for editor in editors]
    matrix[:, 5] = [len(text) for text in texts]
    matrix[:, 6] = [has_url(text) for text in texts]
    matrix[:, 7:10] = _hours_since_member(editors, dates)
    matrix[:, 10] = [
        _rank_of(domain, emails) or UNKNOWN_EMAIL if editor.email else NO_EMAIL
        for editor, domain in zip(editors, hosts.emails, strict=True)
    ]
    matrix[:, 11] = [
        _rank_of(host, websites) or UNKNOWN_WEBSITE if editor.website else NO_WEBSITE
        for editor, host in zip(editors, hosts.websites, strict=True)
    ]
    _write_tf_idf(matrix[:, 12:], texts_of_words(bios), vocabularies["bio"])


def name_inputs(vectors: Matrix) -> dict[str, npt.NDArray[Any]]:
    """The network's inputs by name, views and copies of (n, 524) vectors, or longer ones that begin with these."""
    return {
        "main_input": vectors[:, 1:10],
        "email_input": vectors[:, 10:11].astype(np.int32),
        "website_input": vectors[:, 11:12].astype(np.int32),
        "bio_input": vectors[:, 12:VECTOR_LENGTH],
    }


def preprocess_editors(editors: Sequence[Editor], vocabularies: Vocabularies) -> Arrays:
    """Named arrays of n rows for n editors."""
    return name_inputs(editor_vectors(editors, vocabularies))


def preprocess_editor(editor: Editor, vocabularies: Vocabularies) -> Arrays:
    """Named arrays of one row."""
    return preprocess_editors([editor], vocabularies)


def _hours_since_member(editors: Sequence[Editor], dates: Dates) -> npt.ArrayLike:
    """Hours from the registration of n editors to three other dates, (n, 3); NO_DATE and NO_MEMBER_SINCE for what is
    missing."""
    if dates.plain is None:
        return [*map(_hours_of, editors)]
    moments = dates.plain.reshape(len(DATES), -1)
    is_given = np.fromiter(map(bool, dates.given), np.bool_, len(dates.given)).reshape(len(DATES), -1)
    hours: npt.NDArray[np.float64] = ((moments[1:4] - moments[0]) / 3600).T
    hours[~is_given[1:4].T] = NO_DATE
    hours[~is_given[0]] = NO_MEMBER_SINCE
    for row in np.flatnonzero(np.isnan(hours).any(axis=1)).tolist():
        hours[row] = _hours_of(editors[row])
    return hours


def _hours_of(editor: Editor) -> tuple[float, float, float]:
    if not editor.member_since:
        return NO_MEMBER_SINCE, NO_MEMBER_SINCE, NO_MEMBER_SINCE
    since = datetime.fromisoformat(editor.member_since)
    return (
        _hours(since, editor.email_confirm_date),
        _hours(since, editor.last_updated),
        _hours(since, editor.last_login_date),
    )


def _hours(since: datetime, date: str | None) -> float:
    if not date:
        return NO_DATE
    moment = datetime.fromisoformat(date)
    if (moment.tzinfo is None) is not (since.tzinfo is None):
        moment, since = moment.replace(tzinfo=moment.tzinfo or UTC), since.replace(tzinfo=since.tzinfo or UTC)
    return (moment - since).total_seconds() / 3600


def _rank_of(host: str, ranks: Mapping[str, int]) -> int:
    """The rank of a host, or of the first that it falls back to; 0 where none is known."""
    rank = ranks.get(host)
    if rank is None:
        rank = next((ranks[candidate] for candidate in host_candidates(host) if candidate in ranks), 0)
    return rank


def _write_tf_idf(columns: Matrix, texts: Sequence[str], vocabulary: Vocabulary) -> None:
    """Write the tf-idf of n texts to (n, size) zeros: column by rank."""
    rows, ranks = vocabulary.finder.find(texts)
    cells = rows * columns.shape[1] + ranks
    counts = np.zeros(columns.size, np.int32)
    np.add.at(counts, cells, np.int32(1))
    idf = vocabulary.idf_by_rank
    columns[rows, ranks] = _TERM_FREQUENCIES[np.minimum(counts[cells], len(_TERM_FREQUENCIES) - 1)] * idf[ranks]
    for cell in np.flatnonzero(counts >= len(_TERM_FREQUENCIES)).tolist():
        row, rank = divmod(cell, columns.shape[1])
        columns[row, rank] = _term_frequency(int(counts[cell])) * idf[rank]


def message_words(text: str) -> list[str]:
    """Lower-cased words and marks. "soooo" and "sooooooo" are one word, and so are all addresses and numbers
    that are personal data. Scripts without blanks between words have pairs of characters in their place."""
    return _find_words(separate_words(_read(text)))


def whole_words(text: str) -> list[str]:
    """As `message_words`, but runs of characters of scripts without blanks whole."""
    return _find_words(separate_runs(_read(text)))


def _read(text: str) -> str:
    return mask_personal_data(normalize_text(text).text)


def _find_words(text: str) -> list[str]:
    return _word().findall(_STRETCHED.sub(r"\1\1", text.lower()))


@cache
def _word() -> re.Pattern[str]:
    """A placeholder, a word with the marks of its letters (Python's \\w knows no vowel signs), or another mark."""
    return re.compile(rf"<\w+>|[\w{letter_marks()}]+|[^\w\s]")


def message_features(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Features as often as they occur: words with pairs of neighbours, and the character n-grams of the words."""
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return [*words, *pairs], list(chain.from_iterable(map(_character_ngrams, words)))


@lru_cache(maxsize=65_536)
def _character_ngrams(word: str) -> tuple[str, ...]:
    """A mark, then the characters: no word has a `#` in front."""
    marked = f"<{word[:40]}>"
    return tuple(
        f"#{marked[start : start + length]}" for length in CHARACTERS for start in range(len(marked) - length + 1)
    )


def message_vectors(messages: Sequence[Message], vocabularies: Vocabularies) -> Matrix:
    """The vectors of n messages, (n, 409). Column 0, the number of the label, is left 0."""
    vocabulary, ranks_of_words = vocabularies["features"], vocabularies["words"].ranks
    matrix: Matrix = np.zeros((len(messages), MESSAGE_LENGTH), np.float32)
    for row, message in zip(matrix, messages, strict=True):
        words = message_words(message.text)
        numbers = [ranks_of_words.get(word, 0) + UNKNOWN_WORD for word in words[:WORDS_PER_MESSAGE]]
        row[_ORDERED][: len(numbers)] = numbers
        weighted = [pair for features in message_features(words) for pair in _tf_idf(features, vocabulary)]
        if len(weighted) > FEATURES_PER_MESSAGE:
            weighted = sorted(weighted, key=lambda pair: (-pair[1], pair[0]))[:FEATURES_PER_MESSAGE]
        if weighted:
            ranks, weights = zip(*weighted, strict=True)
            row[_RANKS][: len(ranks)] = ranks
            row[_WEIGHTS][: len(weights)] = weights
    return matrix


def name_message_inputs(vectors: Matrix) -> dict[str, npt.NDArray[Any]]:
    """The network's inputs by name, views and copies of (n, 409) vectors."""
    return {
        "feature_input": vectors[:, _RANKS].astype(np.int32),
        "weight_input": vectors[:, _WEIGHTS],
        "word_input": vectors[:, _ORDERED].astype(np.int32),
    }


def preprocess_messages(messages: Sequence[Message], vocabularies: Vocabularies) -> Arrays:
    """Named arrays of n rows for n messages."""
    return name_message_inputs(message_vectors(messages, vocabularies))


def _tf_idf(features: list[str], vocabulary: Vocabulary) -> list[tuple[int, float]]:
    """Ranks and weights of the known ones among `features`; the squares of the weights sum up to 1.

    Weights are tf times the root of idf: in short messages common words such as "how" and "my" tell much.
    """
    ranks, idf = vocabulary.ranks, vocabulary.inverse_document_frequencies
    weighted = [
        (ranks[feature], (1 + log(count)) * sqrt(idf[feature]))
        for feature, count in Counter(features).items()
        if feature in ranks
    ]
    norm = sqrt(sum(weight * weight for _, weight in weighted)) or 1.0
    return [(rank, weight / norm) for rank, weight in weighted]
