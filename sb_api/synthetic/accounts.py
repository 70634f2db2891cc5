"""One made-up account: what is known of it, and the record of an account that is used as somebody's habits say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import log
from random import Random

REFERENCE_TIME = datetime(2026, 6, 1)
"""The "now" of every account: none of its dates is later."""

# Bits of MusicBrainz' `privs`. Since 2024 every new account is a beginner until its owner has edited for two weeks.
# 4096, which moderators set on spammers, never occurs: it is the verdict, and would be all that a network learns.
BEGINNER = 8192
BEGINNERS_SINCE = datetime(2024, 1, 1)
_BEGINNER_DAYS = 14
# Row numbers of MusicBrainz areas that editors name most often, the United States (222) first.
_AREAS = (222, 221, 1178, 7020, 81, 99, 73, 38, 13, 7703, 30, 11042, 105, 100, 194, 150)
# Male, female and other of those who say it: the same on both sides, for nobody is a spammer by gender.
_GENDERS = (60, 30, 10)
# One account in so many is seen as a visitor sees it: no address, no dates but that of registration.
_PUBLIC_VIEW = 0.1


@dataclass(frozen=True, slots=True)
class SyntheticEditor:
    """One account: `record` as clients send it, `verdict` 1 if spam, `kind` of account, website `host` or ""."""

    record: dict[str, object]
    verdict: int
    kind: str
    host: str


@dataclass(frozen=True, slots=True)
class Habits:
    """How an account is used. Medians are minutes since registration, `spread` is the sigma of their logarithm."""

    confirm_share: float
    confirm: float
    update_share: float
    update: float
    login: float
    spread: float
    gender_share: float
    birth_share: float = 0.1
    area_share: float = 0.06
    odd_share: float = 0.01
    privs_share: float = 0.003
    login_share: float = 0.92


@dataclass(frozen=True, slots=True)
class Profile:
    """What the owner of an account filled in; None where nothing. `place` is an area as text."""

    name: str
    email: str | None
    website: str | None
    bio: str | None
    place: str


def make_record(rng: Random, identity: int, profile: Profile, habits: Habits, born: datetime) -> dict[str, object]:
    """The record of an account registered at `born` and used as `habits` says."""

    def after(minutes: float) -> datetime:
        time = born + timedelta(minutes=rng.lognormvariate(log(minutes), habits.spread))
        return time if time <= REFERENCE_TIME else born + (REFERENCE_TIME - born) * rng.random() ** 0.5

    visited = rng.random() < _PUBLIC_VIEW
    if visited:
        profile = replace(profile, email=None)
    # Who has a bio or a website must have saved the profile once, unless the row is older than that column.
    update_share = 0.97 if profile.bio or profile.website else habits.update_share
    updated = after(habits.update) if rng.random() < update_share else born
    login = after(habits.login) if rng.random() < habits.login_share else born
    if login < updated - timedelta(hours=2):
        login = updated - timedelta(minutes=rng.uniform(0, 120))
    confirmed = after(habits.confirm) if profile.email and rng.random() < habits.confirm_share else None
    dates: dict[str, datetime | None] = {
        "member_since": born,
        "email_confirm_date": confirmed,
        "last_updated": None if visited else updated,
        "last_login_date": None if visited else login,
    }
    if rng.random() < habits.odd_share:
        # Old rows: times that were never stored, were stored later, or come from an imported table.
        name = rng.choice(("member_since", "email_confirm_date", "last_updated", "last_login_date"))
        dates[name] = None if rng.random() < 0.6 else born - timedelta(days=rng.randint(1, 400))
    birth = None
    if rng.random() < habits.birth_share:
        birth = datetime(rng.randint(1950, 2006), 1, 1) + timedelta(days=rng.randrange(365))
    record: dict[str, object] = {
        "id": identity, "name": profile.name if rng.random() < 0.95 else None, "email": profile.email,
        "website": profile.website, "bio": profile.bio, "area": _area(rng, profile.place, habits.area_share, visited),
        "privs": _privs(rng, habits.privs_share, born, login),
        "gender": rng.choices((1, 2, 3), _GENDERS)[0] if rng.random() < habits.gender_share else None,
        "birth_date": birth and birth.isoformat(),
    }  # fmt: skip
    record.update((name, date and date.isoformat(timespec="seconds")) for name, date in dates.items())
    return record


def _area(rng: Random, place: str, share: float, visited: bool) -> int | str | None:
    """A place by its name, which is what visitors see, or by its row number."""
    if rng.random() >= (min(3 * share, 0.5) if visited else share):
        return None
    if visited or rng.random() < 0.5:
        return place
    return rng.choice(_AREAS) if rng.random() < 0.5 else rng.randint(1, 120_000)


def _privs(rng: Random, share: float, born: datetime, login: datetime) -> int:
    # 1 auto-editor, 2 bot, 4 untrusted, 8 relationship editor, 1024 may not add notes; spammers get the latter.
    privs = rng.choice((1, 1, 2, 4, 8, 9, 1024)) if rng.random() < share else 0
    still_new = login - born < timedelta(days=_BEGINNER_DAYS) or rng.random() < 0.3
    return privs | BEGINNER if born >= BEGINNERS_SINCE and still_new else privs
