"""One account in a form: what its fields say, an example to try, and what a change of them does to the score."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from sb_api.errors import SbApiError
from sb_api.json_bodies import decode_records
from sb_api.records import BEFORE_CHRIST, DATES, Editor

LABELS = {
    "name": "Name",
    "email": "E-mail",
    "website": "Website",
    "bio": "Bio",
    "member_since": "Member since",
    "last_login_date": "Last login",
    "id": "Editor number",
    "email_confirm_date": "E-mail confirmed",
    "last_updated": "Last updated",
    "birth_date": "Born",
    "area": "Area",
    "gender": "Gender",
    "privs": "Privileges",
}
# What each field is, and what is made of it.
MEANINGS = {
    "name": "The name of the account. Its words and letters count, and whether it stands in the website or the e-mail.",
    "email": "The address. What counts is the domain behind the @, and whether it is the website's.",
    "website": "The address on the profile. What counts is its host, and the words of its path.",
    "bio": "The text of the profile. Its words count, its length, its marks, and whether it has a link.",
    "member_since": "When the account was opened. The other dates count from it.",
    "last_login_date": "When somebody last signed in with it; never, or minutes after it was opened, is telling.",
    "id": "The number of the account. It does not count; verdicts are kept under it.",
    "email_confirm_date": "When the e-mail address was confirmed.",
    "last_updated": "When the profile was last changed.",
    "birth_date": "Whether there is one counts, and how old it makes the person.",
    "area": "A name, or the number that MusicBrainz gives it.",
    "gender": "A word, or the number that MusicBrainz gives it.",
    "privs": "The privileges of the account, as the number that MusicBrainz keeps: 0 is none, 8192 a beginner, which "
    "every new account is since 2024. What counts is whether it is trusted with more than that.",
}
EXAMPLE = {
    "id": "2451873",
    "name": "bestcasino_uk",
    "email": "winner@casino-bonus.example",
    "website": "http://win-casino.example",
    "bio": "Best online casino bonus, visit http://win-casino.example now!",
    "member_since": "2024-01-01T10:00:00",
    "last_updated": "2024-01-01T10:02:00",
}
PROFILE = "/user/"  # in the address of an account's page, before its name
MOST_OF_LITTLE = 2  # fields besides number and privileges
MOST_MOVED = 8  # reasons of a change that are shown
LEAST_MOVE = 0.1  # of log odds: what moved a reason less is as before
MOST_DIGITS = 10  # of an editor's number, in the database of the editors
_PRIVILEGES = re.compile(r"-?[0-9]{1,18}")


def read_form(form: Mapping[str, str]) -> dict[str, str]:
    """The fields of the form that were filled in."""
    return {name: value for name in Editor.__struct_fields__ if (value := form.get(name, "").strip())}


def write_json(fields: Mapping[str, str]) -> str:
    """The account of a form as JSON; nothing without a field. Without a number it is named by what it says."""
    if not fields:
        return ""
    privs = fields.get("privs", "")
    typed: dict[str, Any] = dict(fields) | ({"privs": int(privs)} if _PRIVILEGES.fullmatch(privs) else {})
    if "id" not in fields:
        said = msgspec.json.encode(typed, order="sorted")
        typed["id"] = f"account {blake2b(said, digest_size=6).hexdigest()}"
    return msgspec.json.encode(typed).decode()


def says_little(editor: Editor) -> bool:
    """Whether hardly anything is known of an account: a score then tells what is usual, and nothing of it."""
    known = [name for name in LABELS if name not in ("id", "privs") and getattr(editor, name) not in (None, "")]
    return len(known) <= MOST_OF_LITTLE


def read_names(text: str) -> tuple[list[int], list[str]]:
    """The numbers and the names of accounts, one a line; the address of an account's page is its name."""
    lines = [_name_of(line.strip()) for line in text.splitlines() if line.strip()]
    return [int(line) for line in lines if _is_number(line)], [line for line in lines if not _is_number(line)]


def _is_number(line: str) -> bool:
    return line.isascii() and line.isdigit() and len(line) <= MOST_DIGITS


def _name_of(line: str) -> str:
    if not line.startswith(("https://", "http://")):
        return line
    try:
        path = urlsplit(line).path
    except ValueError:
        return line
    _, found, name = path.partition(PROFILE)
    return unquote(name.partition("/")[0]) if found else line


@dataclass(frozen=True)
class Change:
    """What a change of fields did: the `fields` that differ, the score before and after, and of the reasons that moved
    each with its logarithm of odds before and after."""

    fields: list[str]
    before: float
    after: float
    moved: list[tuple[str, float, float]]


def read_before(text: str) -> Editor | None:
    """The account as it was judged before, if the form says so."""
    try:
        (before,) = decode_records(text.encode("utf-8", "surrogatepass"), Editor, 1).all_sound() if text else (None,)
    except SbApiError:  # of a page that is no longer as it was sent
        return None
    return before


def _value(editor: Editor, name: str) -> Any:
    """A field as it is compared: a browser leaves out of a moment the seconds that are none."""
    value = getattr(editor, name)
    return datetime.fromisoformat(value) if value and name in DATES and not value.endswith(BEFORE_CHRIST) else value


def describe_change(one: Mapping[str, Any], two: Mapping[str, Any]) -> Change | None:
    """What changed between two accounts that one version judged, as the page shows them; None where they say the
    same."""
    before, after = (one["record"], two["record"])
    differ = [name for name in LABELS if name != "id" and _value(before, name) != _value(after, name)]
    if not differ:
        return None
    strongest = sorted(_put_beside(one, two), key=lambda row: -abs(row[2] - row[1]))[:MOST_MOVED]
    return Change(
        [LABELS[name] for name in differ],
        one["score"],
        two["score"],
        [row for row in strongest if abs(row[2] - row[1]) >= LEAST_MOVE],
    )


def put_reasons_beside(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """The reasons that two versions give for one account, as the page shows them: each with the logarithm of odds that
    either gives it, 0 where it gives none; the strongest of either first."""
    return sorted(_put_beside(one, two), key=lambda row: -max(abs(row[1]), abs(row[2])))[:MOST_MOVED]


def _put_beside(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    left, right = ({reason["feature"]: reason["log_odds"] for reason in each["reasons"]} for each in (one, two))
    return [(feature, left.get(feature, 0.0), right.get(feature, 0.0)) for feature in left | right]
