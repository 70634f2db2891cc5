"""Labelled editors are looked over: what cannot be used is named, and so is what tells the verdict by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from sb_api.bootstrap.checks import check_editors, same_content
from sb_api.synthetic.editors import SyntheticEditor, generate_editors


def editor(identity: int | str, verdict: int, **fields: Any) -> SyntheticEditor:
    return SyntheticEditor({"id": identity, "verdict": verdict, **fields}, verdict, "given", "")


def test_made_up_editors_pass_without_a_word() -> None:
    editors = list(generate_editors(600, seed=2))
    checked = check_editors(editors)
    assert checked.editors == editors
    assert (checked.unused, checked.warnings) == ([], [])


def test_an_id_that_stands_twice_is_used_once_and_under_both_verdicts_not_at_all() -> None:
    checked = check_editors(
        [editor(1, 0, bio="a"), editor("1", 0, bio="b"), editor(2, 0), editor(2, 1), editor(2, 1), editor(3, 1)]
    )
    assert [row.record["id"] for row in checked.editors] == [1, 3]
    assert checked.unused == [
        "id 1: stands 2 times; the first is used",
        "id 2: stands 3 times, under both verdicts; none of them is used",
    ]


def test_one_content_under_both_verdicts_is_not_used_and_named() -> None:
    checked = check_editors(
        [
            editor(1, 0, bio="hello", privs=1),
            editor(2, 1, bio="hello", privs=1, email=""),
            editor(3, 1, bio="goodbye", privs=2),
            editor(4, 1, bio="goodbye", privs=2),
        ]
    )
    assert [row.record["id"] for row in checked.editors] == [3, 4]
    assert checked.unused == ["ids 1 (not spam), 2 (spam): the same account under both verdicts; none of them is used"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"bio": "Hello world"}, {"bio": "Hello  world "}),
        ({"member_since": "2024-01-01T10:00:00"}, {"member_since": "2024-01-01 10:00:00"}),
        ({"member_since": "2024-01-01T10:00:00"}, {"member_since": "2024-01-01T12:00:00+02:00"}),
        ({"website": "http://a.com/"}, {"website": "http://www.a.com"}),
        ({"website": "https://A.com/x"}, {"website": "a.com/x/"}),
        ({"bio": "x"}, {"bio": "x", "last_login_date": "2024-05-01", "last_updated": "2024-05-01", "privs": 1}),
    ],
)
def test_one_content_in_two_forms_is_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    checked = check_editors([editor(1, 0, name="n", **one), editor(2, 1, name="n", **other)])
    assert checked.editors == []
    assert len(checked.unused) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"website": "http://a.com/?to=http://b.com"}, {"website": "http://a.com/?to=http://c.com"}),
        ({"website": "http://a.com/x"}, {"website": "http://a.com/y"}),
        ({"birth_date": "0044-03-15 BC"}, {"birth_date": "0043-03-15 BC"}),
        ({"member_since": "0001-01-01T00:00:00+14:00"}, {}),
    ],
)
def test_another_content_is_no_contradiction(one: dict[str, Any], other: dict[str, Any]) -> None:
    checked = check_editors([editor(1, 0, name="n", **one), editor(2, 1, name="n", **other)])
    assert (len(checked.editors), checked.unused) == (2, [])


def test_accounts_that_say_nothing_are_no_contradiction() -> None:
    editors = [editor(number, number % 2, privs=0, bio="") for number in range(10)]
    assert check_editors(editors).editors == editors
    assert len({same_content(one) for one in editors}) == 1


def test_the_bit_that_moderators_set_on_spammers_is_named_as_the_verdict_itself() -> None:
    editors = [editor(number, number % 2, bio=f"bio {number}", privs=4096 * (number % 2)) for number in range(200)]
    marked, leak = check_editors(editors).warnings
    assert marked.startswith("100 spam accounts and 0 others have 4096 (spammer) in `privs`")
    assert leak.startswith("the bit 4096 of `privs` alone tells 100.0% of the verdicts")


MAILERS = [*"bcdfghjklm", *"npqrstvwxz"]  # ten of either verdict, too many for a few questions about them one by one
BIOS = ["i sing", "a cellist", "in Oslo", "hello all", "my records", "old jazz", "new here"]


def moment(number: int, seconds: int) -> str:
    """One of dates that are 37 minutes apart from the next, and so at all times of the day."""
    return (datetime(2024, 1, 1, second=seconds) + timedelta(minutes=37 * number)).isoformat()


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("whether `gender` is set", lambda spam, _: {"gender": None if spam else 1}),
        ("the date `member_since`", lambda spam, _: {"member_since": "2024-03-01" if spam else "2011-03-01"}),
        ("the value of `area`", lambda spam, _: {"area": "India" if spam else "Germany"}),
        (
            "the time of day of `member_since`",
            lambda spam, n: {"member_since": f"20{10 + n % 15}-03-01T{'00:00:00' if spam else f'10:00:{n % 60:02}'}"},
        ),
        ("the word 'removed' of `bio`", lambda spam, n: {"bio": f"{n} was here " + ("removed" if spam else "retired")}),
        ("the length of `bio`", lambda spam, n: {"bio": f"{n:0{40 if spam else 20}}"}),
        ("the domain of `email`", lambda spam, n: {"email": f"u{n}@{MAILERS[n % 10 + 10 * spam]}.com"}),
        ("the top-level domain of `email`", lambda spam, n: {"email": f"u@h{n}.{'xyz' if spam else 'org'}"}),
        ("the domain of `website`", lambda spam, n: {"website": f"http://u{n}.{'casino' if spam else 'band'}.com/"}),
        ("the top-level domain of `website`", lambda spam, n: {"website": f"http://h{n}.{'xyz' if spam else 'org'}/"}),
        ("the beginning of `website`", lambda spam, n: {"website": f"http{'s' * spam}://h{n % 10 + 10 - spam}.com"}),
        ("the mailbox of `email` without its digits", lambda spam, n: {"email": f"{'b' if spam else 'a'}{n}@a.com"}),
        ("the `name` without its digits", lambda spam, n: {"name": f"user{n}" if spam else f"{MAILERS[n % 20]}{n}"}),
        ("the word 'seo' of `name`", lambda spam, n: {"name": f"SEO {n}" if spam else f"Tim {n}"}),
        ("the share of capitals in `bio`", lambda spam, n: {"bio": BIOS[n % 7].upper() if spam else BIOS[n % 7]}),
        ("the share of digits in `name`", lambda spam, n: {"name": f"b{n}" if spam else f"bob {'i' * (n % 3)}"}),
        ("the last character of `bio`", lambda spam, n: {"bio": BIOS[n % 7] + ("." if spam else "")}),
        ("the seconds in `member_since`", lambda spam, n: {"member_since": moment(n, 0 if spam else 17 + n % 40)}),
        ("the form of `member_since`", lambda spam, n: {"member_since": moment(n, n % 60) + ("Z" if spam else "")}),
        ("the form of `member_since`", lambda spam, n: {"member_since": moment(n, n % 60) + (".123" if spam else "")}),
        (
            "the time from `member_since` to `email_confirm_date`",
            lambda spam, n: {"member_since": moment(n, 0), "email_confirm_date": moment(n + (1 if spam else 9), 0)},
        ),
    ],
)
def test_a_feature_that_tells_the_verdict_alone_is_named(named: str, fields: Any) -> None:
    """With one row in a hundred the other way round, as in real exports."""
    editors = [editor(n, n % 2, **{"area": n} | fields((n % 2 == 1) != (n % 100 == 7), n)) for n in range(400)]
    assert [warning for warning in check_editors(editors).warnings if warning.startswith(f"{named} alone tells")]


@pytest.mark.parametrize(("spam", "innocent"), [(150, 150), (15, 285), (20, 20)])
def test_so_many_questions_find_nothing_in_verdicts_of_chance(spam: int, innocent: int) -> None:
    """What tells most of them, of all that is asked, tells three quarters of 300, and nine tenths of 40."""
    editors = list(generate_editors(spam + innocent, seed=5))
    random = Random(1)
    for _ in range(15):
        verdicts = random.sample([1] * spam + [0] * innocent, spam + innocent)
        told = [replace(one, verdict=verdict) for one, verdict in zip(editors, verdicts, strict=True)]
        assert check_editors(told).warnings == []


def test_a_feature_that_helps_is_no_leak() -> None:
    """Nine in ten is what a good feature does."""
    editors = [editor(n, n % 2, website="http://a.example" if (n % 2) != (n % 20 < 2) else "") for n in range(400)]
    assert check_editors(editors).warnings == []
