"""The numbers of an editor account, each in one of fixed bins: dates, lengths, shares of characters, what is set.

A bin is a number of its own to a linear classifier, so that it can learn any shape, and values far from all others
weigh no more than these. Bin 0 is for what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.records import BEFORE_CHRIST, Editor
from sb_api.text.scripts import KINDS, count_kinds

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

_PLAIN = "0000-00-00T00:00:00"
_DIGITS = np.array([place for place, char in enumerate(_PLAIN) if char == "0"])
_BETWEEN, _BETWEEN_CODES = np.array([4, 7, 13, 16]), np.frombuffer(b"--::", np.uint8)


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


def bin_editors(editors: Sequence[Editor], texts: EditorTexts) -> Bins:
    """The bins of n editors, (n, columns), numbered from 0 to `BINS` - 1 over all columns."""
    dates = ("member_since", "email_confirm_date", "last_updated", "last_login_date", "birth_date")
    moments = parse_moments([getattr(editor, date) for date in dates for editor in editors])
    since, confirmed, updated, login, born = moments.reshape(5, -1)
    durations = np.column_stack(
        [confirmed - since, updated - since, login - since, updated - confirmed, login - updated]
    )
    four = (texts.bios, texts.websites, texts.mailboxes, texts.names)
    kinds = count_kinds([text for column in four for text in column]).reshape(4, len(editors), len(KINDS))
    year = np.where(np.isnan(since), 0.0, since) / YEAR + 1970
    trusted = np.fromiter(map(is_trusted, editors), np.bool_, len(editors))
    known = ~np.isnan(np.stack([since, confirmed, updated, login]))
    parts = (
        _into_bins(durations, _DURATIONS),
        _into_bins(_shares(kinds), _SHARES),
        _into_bins(_counts(texts, kinds), _COUNTS),
        _missing(np.column_stack([since, updated, login]), lambda moment: moment // HOUR % 24 + 1),
        _missing(since[:, None], lambda _: _within(year - _FIRST_YEAR, _YEARS)[:, None]),
        _missing(since[:, None], lambda _: _within((year - _FIRST_QUARTER_YEAR) * 4 + 1, _QUARTERS)[:, None]),
        _missing(
            np.column_stack([updated - since, updated - confirmed, login - updated, born - since]),
            lambda difference: np.sign(difference) + 2,
        ),
        _missing((since - born)[:, None], lambda age: _within(age / YEAR // 5 + 2, _AGES)),
        np.column_stack([texts.filled + 1, trusted + 1, (texts.has_url + 1) * texts.filled[:, 0]]),
        texts.alike,
        np.minimum(texts.undone, 2),
        (texts.filled << np.arange(6)).sum(axis=1)[:, None],
        (known << np.arange(4)[:, None]).sum(axis=0)[:, None],
    )
    bins: Bins = np.concatenate(parts, axis=1) + _OFFSETS
    return bins


def parse_moments(dates: Sequence[str | None]) -> Numbers:
    """Seconds since 1970 in UTC of n ISO 8601 dates, (n,); NaN where there is none, or one before
    Christ. Without a time zone it is UTC."""
    seconds = np.full(len(dates), np.nan)
    plain = [place for place, date in enumerate(dates) if date and len(date) == len(_PLAIN) and date.isascii()]
    # Nearly all dates look like this, and are read together.
    chars = np.frombuffer("".join([dates[place] or "" for place in plain]).encode("ascii"), np.uint8)
    chars = chars.reshape(len(plain), len(_PLAIN))
    digits = (chars[:, _DIGITS] - np.uint8(ord("0"))).astype(np.int64)
    sound = (digits < 10).all(axis=1) & (chars[:, _BETWEEN] == _BETWEEN_CODES).all(axis=1)
    year, (month, day, hour, minute, second) = (
        digits[:, :4] @ (1000, 100, 10, 1),
        (digits[:, 4::2] * 10 + digits[:, 5::2]).T,
    )
    days = ((year - 1970) * 12 + month - 1).astype("M8[M]").astype("M8[D]").astype(np.int64) + day - 1
    seconds[np.array(plain, np.int64)[sound]] = (days * 86_400 + hour * 3600 + minute * 60 + second)[sound]
    for place in np.flatnonzero(np.isnan(seconds)).tolist():
        if (date := dates[place]) and not date.endswith(BEFORE_CHRIST):
            moment = datetime.fromisoformat(date)
            seconds[place] = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    return seconds


def is_trusted(editor: Editor) -> bool:
    """Whether the privileges of an editor say that MusicBrainz trusts it more than a new one."""
    return bool((editor.privs or 0) & ~DISTRUST)


def _shares(kinds: Bins) -> Numbers:
    """Of the characters of the bio that are not blank, the shares of digits, marks and symbols; of its letters, those
    of capitals and of each script; the share of digits in website, mailbox and name, and of capitals in the name."""
    shown = kinds.sum(axis=2) - kinds[:, :, _SPACE].sum(axis=2)
    letters = kinds.sum(axis=2) - kinds[:, :, _NO_LETTER].sum(axis=2)
    bio, others = kinds[0], kinds[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.column_stack(
            [
                bio[:, [_DIGIT, _MARK, _SYMBOL]] / shown[0][:, None],
                bio[:, [_CAPITAL, *_SCRIPTS]] / letters[0][:, None],
                (others[:, :, _DIGIT] / shown[1:]).T,
                others[2, :, _CAPITAL] / letters[3],
            ]
        )


def _counts(texts: EditorTexts, kinds: Bins) -> Numbers:
    """Lengths of the four texts, lines of the bio, links and marks of markup in it; hyphens, dots and slashes of the
    website."""
    lengths = np.array([[*map(len, column)] for column in (texts.bios, texts.websites, texts.mailboxes, texts.names)])
    bios, websites = [bio.lower() for bio in texts.bios], texts.websites
    return np.column_stack(
        [
            *lengths,
            np.where(lengths[0], kinds[0, :, _BREAK] + 1, 0),
            [bio.count("http") + bio.count("www.") for bio in bios],
            [bio.count("[") + bio.count("<") for bio in bios],
            *([website.count(mark) for website in websites] for mark in "-./"),
        ]
    ).astype(np.float64)


def _into_bins(values: Numbers, edges: Numbers) -> Bins:
    return _missing(values, lambda known: edges.searchsorted(known, side="right") + 1)


def _missing(values: Numbers, bins: Callable[[Numbers], npt.NDArray[Any]]) -> Bins:
    """What `bins` makes of values (n, k) that are all known, but 0 where they are NaN."""
    known = ~np.isnan(values)
    return bins(np.where(known, values, 0.0)).astype(np.int64) * known


def _within(bins: Numbers, size: int) -> Numbers:
    """Bins that are not the one for what is missing, and of a column of so many."""
    return np.minimum(np.maximum(bins, 1), size - 1)
