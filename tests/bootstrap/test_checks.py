"""Labelled editors are looked over: what cannot be used is named, and so is what tells the verdict by itself."""

from __future__ import annotations

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
            editor(3, 1, bio="hello", privs=2),
            editor(4, 1, bio="hello", privs=2),
        ]
    )
    assert [row.record["id"] for row in checked.editors] == [3, 4]
    assert checked.unused == ["ids 1 (not spam), 2 (spam): the same account under both verdicts; none of them is used"]


def test_accounts_that_say_nothing_are_no_contradiction() -> None:
    editors = [editor(number, number % 2, privs=0, bio="") for number in range(10)]
    assert check_editors(editors).editors == editors
    assert len({same_content(one) for one in editors}) == 1


def test_the_bit_that_moderators_set_on_spammers_is_named_as_the_verdict_itself() -> None:
    editors = [editor(number, number % 2, bio=f"bio {number}", privs=4096 * (number % 2)) for number in range(200)]
    marked, leak = check_editors(editors).warnings
    assert marked.startswith("100 spam accounts and 0 others have 4096 (spammer) in `privs`")
    assert leak.startswith("the bit 4096 of `privs` alone tells 100.0% of the verdicts")


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("whether `gender` is set", lambda spam, _: {"gender": None if spam else 1}),
        ("the date `member_since`", lambda spam, _: {"member_since": "2024-03-01" if spam else "2011-03-01"}),
        ("the value of `area`", lambda spam, _: {"area": "India" if spam else "Germany"}),
        ("the length of `bio`", lambda spam, n: {"bio": f"{n:0{40 if spam else 20}}"}),
    ],
)
def test_a_feature_that_tells_the_verdict_alone_is_named(named: str, fields: Any) -> None:
    """With one row in a hundred the other way round, as in real exports."""
    editors = [editor(n, n % 2, **fields((n % 2 == 1) != (n % 100 == 7), n)) for n in range(400)]
    assert [warning for warning in check_editors(editors).warnings if warning.startswith(f"{named} alone tells")]


def test_a_feature_that_helps_is_no_leak() -> None:
    """Nine in ten is what a good feature does."""
    editors = [editor(n, n % 2, website="http://a.example" if (n % 2) != (n % 20 < 2) else "") for n in range(400)]
    assert check_editors(editors).warnings == []
