"""Dates of accounts as seconds: those that are written as nearly all are together, and all others one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import numpy as np
import numpy.typing as npt

from sb_api.records import BEFORE_CHRIST

Seconds = npt.NDArray[np.float64]

_FEW = 20  # dates: so few are read one by one sooner than numpy's calls are made
_PLAIN = "0000-00-00T00:00:00"
_DIGITS = np.array([place for place, char in enumerate(_PLAIN) if char == "0"])
_BETWEEN, _BETWEEN_CODES = np.array([4, 7, 13, 16]), np.frombuffer(b"--::", np.uint8)[:, None]


def parse_moments(dates: Sequence[str | None]) -> Seconds:
    """Seconds since 1970 in UTC of n ISO 8601 dates, (n,); NaN where there is none, or one before
    Christ. Without a time zone it is UTC."""
    return fill_moments(parse_plain(dates), dates)


def parse_plain(dates: Sequence[str | None]) -> Seconds | None:
    """Seconds since 1970 of those of n dates that are written as 2000-07-05T14:22:08, (n,), NaN for all others; None
    where there are few."""
    if len(dates) < _FEW:
        return None
    given = [date or "" for date in dates]
    plain = np.flatnonzero(np.fromiter(map(len, given), np.int64, len(given)) == len(_PLAIN))
    if len(plain) < _FEW:
        return None
    seconds = np.full(len(dates), np.nan)
    # What is not ASCII becomes a question mark, which is no digit.
    text = "".join([given[place] for place in plain.tolist()]).encode("ascii", "replace")
    chars = np.frombuffer(text, np.uint8).reshape(len(plain), len(_PLAIN)).T
    digits = chars[_DIGITS] - np.uint8(ord("0"))
    sound = (digits < 10).all(axis=0) & (chars[_BETWEEN] == _BETWEEN_CODES).all(axis=0)
    pairs = digits[::2].astype(np.int64) * 10 + digits[1::2]
    century, year, month, day, hour, minute, second = pairs
    days = _first_days().take(century * 1200 + year * 12 + month - 1, mode="clip") + day - 1
    seconds[plain[sound]] = (days * 86_400 + hour * 3600 + minute * 60 + second)[sound]
    return seconds


@cache
def _first_days() -> npt.NDArray[np.int64]:
    """Days since 1970 of the first day of each month from the year 0 to 9999."""
    return np.arange(np.datetime64("0000-01"), np.datetime64("10000-01")).astype("M8[D]").astype(np.int64)


def fill_moments(plain: Seconds | None, dates: Sequence[str | None]) -> Seconds:
    """What `parse_plain` gives for n dates, with the others filled in."""
    if plain is None:
        return np.array([*map(_parse_moment, dates)], np.float64)
    seconds = plain.copy()
    for place in np.flatnonzero(np.isnan(plain)).tolist():
        seconds[place] = _parse_moment(dates[place])
    return seconds


def _parse_moment(date: str | None) -> float:
    if not date or date.endswith(BEFORE_CHRIST):
        return math.nan
    moment = datetime.fromisoformat(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
