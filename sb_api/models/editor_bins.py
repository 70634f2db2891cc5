"""The numbers of an editor account, each in one of fixed bins: dates, lengths, shares of characters, what is set.

A bin is a number of its own to a linear classifier, so that it can learn any shape, and values far from all others
weigh no more than these. Bin 0 is for what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb_api.preprocessing import Dates, read_dates
from sb_api.records import Editor
from sb_api.text.characters.scripts import KINDS, count_kinds
from sb_api.text.dates import fill_moments

Bins = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86_400.0, 31_556_952.0
# Of `privs`, what MusicBrainz sets on those whom it trusts less: editing and notes disabled, spammer, beginner, voting
# and so on. Every new account is a beginner since 2024, and a spammer is one that a moderator has judged already.
DISTRUST = 1024 | 2048 | 4096 | 8192 | 16384 | 32768

_DURATIONS = np.array(
    [
        *(-30 * DAY, -DAY, -HOUR, -1, 0, 0.5, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        *(HOUR, 3 * HOUR, 12 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 90 * DAY, YEAR, 3 * YEAR, 10 * YEAR),
    ]
)
_SHARES = np.array([1e-9, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.9, 0.999999])
_COUNTS = np.array([1.0, 2, 3, 4, 6, 9, 13, 18, 26, 41, 61, 91, 131, 201, 301, 501, 801, 1501, 5001])
_FIRST_YEAR, _YEARS, _FIRST_QUARTER_YEAR, _QUARTERS, _AGES = 1999, 64, 2000, 256, 32
_SCRIPTS = tuple(range(KINDS.index("Greek"), len(KINDS)))
_NO_LETTER = [KINDS.index(kind) for kind in ("digit", "mark", "blank", "line break", "invisible", "symbol")]
_SPACE = [KINDS.index(kind) for kind in ("blank", "line break")]
_DIGIT, _CAPITAL, _MARK, _BREAK, _SYMBOL = (
    KINDS.index(kind) for kind in ("digit", "capital", "mark", "line break", "symbol")
)

# Of which two dates, by number, the differences are taken, and which differences say what came first.
_LATER, _EARLIER, _IN_ORDER = np.array([1, 2, 3, 2, 3, 4]), np.array([0, 0, 0, 1, 2, 0]), np.array([1, 3, 4, 5])
_BITS = 1 << np.arange(6)
_END = b"\xff"  # which no UTF-8 has
_OF_SHOWN, _OF_LETTERS = [_DIGIT, _MARK, _SYMBOL], [_CAPITAL, *_SCRIPTS]
_SHOWN_AND_LETTERS = np.array([[kind not in _SPACE, kind not in _NO_LETTER] for kind in range(len(KINDS))], np.int64)


@dataclass(frozen=True)
class Family:
    """Columns of bins that are made alike: how each is called where a score is explained, and how many bins it has."""

    columns: tuple[str, ...]
    size: int


CONFIRMED, UPDATED, LOGIN = "when the e-mail was confirmed", "when the profile was updated", "when it last logged in"
REGISTERED, BORN, LENGTH, CHARACTERS = "when it registered", "birth date", "length of the bio", "characters of the bio"
WEBSITE, EMAIL, NAME, LINK, MARKUP = "website", "e-mail", "name", "link in the bio", "markup in the bio"
SET, PRIVILEGES = "which fields are set", "privileges"
SAME_DOMAIN, ENTITIES = "e-mail domain is that of the website", "HTML entities instead of letters"
UNDONE_COUNT = 6  # what hides a text: entities, styled letters, invisible ones, marks, look-alikes, letters spelt out
FAMILIES = (
    Family((CONFIRMED, UPDATED, LOGIN, UPDATED, LOGIN), len(_DURATIONS) + 2),
    Family((*[CHARACTERS] * (4 + len(_SCRIPTS)), WEBSITE, EMAIL, NAME, NAME), len(_SHARES) + 2),
    Family((LENGTH, WEBSITE, EMAIL, NAME, LENGTH, LINK, MARKUP, *[WEBSITE] * 3), len(_COUNTS) + 2),
    Family((REGISTERED, UPDATED, LOGIN), 25),
    Family((REGISTERED,), _YEARS),
    Family((REGISTERED,), _QUARTERS),
    Family((UPDATED, UPDATED, LOGIN, BORN), 4),
    Family((BORN,), _AGES),
    Family((SET, SET, SET, SET, SET, BORN, PRIVILEGES, LINK), 3),
    Family((SAME_DOMAIN, "name in the website", "name in the e-mail"), 3),
    Family(
        (
            ENTITIES,
            "styled letters",
            "invisible characters between letters",
            "marks that belong to no letter",
            "spelt with look-alike letters",
            "words spelt out letter by letter",
        ),
        3,
    ),
    Family((SET,), 64),
    Family((SET,), 16),
)
COLUMNS = tuple(column for family in FAMILIES for column in family.columns)
_SIZES = np.array([family.size for family in FAMILIES for _ in family.columns])
_OFFSETS = np.cumsum(_SIZES) - _SIZES
BINS = int(_SIZES.sum())
# The columns of the first families, and of those that tell when it registered together.
_ENDS = np.cumsum([len(family.columns) for family in FAMILIES]).tolist()
_MAY_BE_MISSING = tuple(map(slice, [0, *_ENDS[:4], *_ENDS[5:7]], [*_ENDS[:4], *_ENDS[5:8]]))


def first_bin(column: int) -> int:
    """The number of bin 0 of a column."""
    return int(_OFFSETS[column])


@dataclass(frozen=True)
class EditorTexts:
    """The texts of n editors in their normal form, "" where there is none, and what had to be undone in them.

    `filled` (n, 6) is whether bio, website, e-mail, area, gender and birth date say anything, `has_url` (n,) whether a
    bio has a link, `undone` (n, 6) how many characters of each kind hid what the texts say, `alike` (n, 3) whether the
    e-mail's domain is that of the website, and the name stands in website and e-mail: 0 where one of them is missing, 1
    for no, 2 for yes.
    """

    bios: Sequence[str]
    websites: Sequence[str]
    mailboxes: Sequence[str]
    names: Sequence[str]
    filled: npt.NDArray[np.bool_]
    has_url: npt.NDArray[np.bool_]
    undone: Bins
    alike: Bins


def bin_editors(editors: Sequence[Editor], texts: EditorTexts, dates: Dates | None = None) -> Bins:
    """The bins of n editors, (n, columns), numbered from 0 to `BINS` - 1 over all columns. Their dates may have been
    read already."""
    dates = read_dates(editors) if dates is None else dates
    moments = fill_moments(dates.plain, dates.given).reshape(5, -1)
    differences = moments[_LATER] - moments[_EARLIER]
    four = (texts.bios, texts.websites, texts.mailboxes, texts.names)
    kinds = count_kinds([text for column in four for text in column]).reshape(4, len(editors), len(KINDS))
    shares, counts = _shares(kinds), _counts(texts, kinds)
    # A row for each column, all of what may be missing first: few calls of numpy, whose price few editors feel.
    values = np.concatenate(
        [differences[:5], shares, counts, moments[[0, 2, 3, 0, 0]], differences[_IN_ORDER], -differences[5:]]
    )
    missing = np.isnan(values)
    values[missing] = 0.0
    durations, shares, counts, hours, years, orders, ages = (values[part] for part in _MAY_BE_MISSING)
    years = years / YEAR + 1970
    numbers = (
        _DURATIONS.searchsorted(durations, side="right") + 1,
        _SHARES.searchsorted(shares, side="right") + 1,
        _COUNTS.searchsorted(counts, side="right") + 1,
        hours // HOUR % 24 + 1,
        _within(years[:1] - _FIRST_YEAR, _YEARS),
        _within((years[1:] - _FIRST_QUARTER_YEAR) * 4 + 1, _QUARTERS),
        np.sign(orders) + 2,
        _within(ages / YEAR // 5 + 2, _AGES),
    )
    filled = texts.filled.T
    bins = np.empty((len(COLUMNS), len(editors)), np.int64)
    end = len(values)
    np.concatenate(numbers, out=bins[:end], casting="unsafe")
    bins[:end][missing] = 0
    bins[end : end + 6] = filled + 1
    bins[end + 6] = [is_trusted(editor) + 1 for editor in editors]
    bins[end + 7] = (texts.has_url + 1) * filled[0]
    bins[end + 8 : end + 11] = texts.alike.T
    bins[end + 11 : end + 17] = np.minimum(texts.undone.T, 2)
    bins[end + 17] = _BITS @ filled
    bins[end + 18] = _BITS[:4] @ ~np.isnan(moments[:4])
    bins += _OFFSETS[:, None]
    return bins.T


def is_trusted(editor: Editor) -> bool:
    """Whether the privileges of an editor say that MusicBrainz trusts it more than a new one."""
    return bool((editor.privs or 0) & ~DISTRUST)


def _shares(kinds: Bins) -> Numbers:
    """Of the characters of the bio that are not blank, the shares of digits, marks and symbols; of its letters, those
    of capitals and of each script; the share of digits in website, mailbox and name, and of capitals in the name. Of
    none it is NaN. A row for each."""
    whole = kinds @ _SHOWN_AND_LETTERS
    parts = np.concatenate([kinds[0].T[_OF_SHOWN + _OF_LETTERS], kinds[1:, :, _DIGIT], kinds[3:, :, _CAPITAL]])
    of = np.concatenate([whole[0].T[[0] * len(_OF_SHOWN) + [1] * len(_OF_LETTERS)], whole[1:, :, 0], whole[3:, :, 1]])
    shares: Numbers = np.divide(parts, of, out=np.full(of.shape, np.nan), where=of > 0)
    return shares


def _counts(texts: EditorTexts, kinds: Bins) -> Numbers:
    """Lengths of the four texts, lines of the bio, links and marks of markup in it; hyphens, dots and slashes of the
    website. A row for each."""
    # No character beyond ASCII has h, t, p or w as its small letter.
    bios, websites = _lay(texts.bios), _lay(texts.websites)
    lengths = [[*map(len, column)] for column in (texts.bios, texts.websites, texts.mailboxes, texts.names)]
    return np.array(
        [
            *lengths,
            np.where(lengths[0], kinds[0, :, _BREAK] + 1, 0),
            _count(b"http", *bios) + _count(b"www.", *bios),
            _count(b"[", *bios) + _count(b"<", *bios),
            *(_count(mark, *websites) for mark in (b"-", b".", b"/")),
        ],
        np.float64,
    )


def _lay(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], Bins]:
    """n texts in small letters and UTF-8 end to end, with `_END` after each, and where they end."""
    joined = _END.join([*(text.encode("utf-8", "surrogatepass") for text in texts), b""])
    content = np.frombuffer(joined.lower(), np.uint8)
    return content, np.flatnonzero(content == _END[0])


def _count(what: bytes, content: npt.NDArray[np.uint8], ends: Bins) -> Bins:
    """How often each of n texts that lie end to end has it, (n,)."""
    found = np.flatnonzero(content == what[0])
    for place, char in enumerate(what[1:], start=1):
        found = found[content[found + place] == char]
    return np.diff(found.searchsorted(ends), prepend=0)


def _within(bins: Numbers, size: int) -> Numbers:
    """Bins that are not the one for what is missing, and of a column of so many."""
    return np.minimum(np.maximum(bins, 1), size - 1)
