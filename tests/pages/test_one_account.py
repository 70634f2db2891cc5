"""One account in a form: how it is named, what an address names, and what a change did."""

from __future__ import annotations

import json

import pytest

from sb_api.pages.one_account import EXAMPLE, LABELS, describe_change, read_before, read_form, read_names, write_json
from sb_api.records import Editor


def test_each_field_has_a_label_and_the_form_reads_them_alone() -> None:
    assert set(LABELS) == set(Editor.__struct_fields__)
    assert read_form({**EXAMPLE, "bio": " ", "csrf_token": "x", "before": "{}"}) == {
        name: value for name, value in EXAMPLE.items() if name != "bio"
    }


def test_an_account_without_a_number_is_named_by_what_it_says() -> None:
    """So that verdicts on two such accounts are not on one."""
    first, again, other = (json.loads(write_json({"bio": bio})) for bio in ("x", "x", "y"))
    assert first["id"] == again["id"] != other["id"]
    assert json.loads(write_json({"id": "7", "privs": "-1"})) == {"id": "7", "privs": -1}
    assert write_json({}) == ""


@pytest.mark.parametrize("privs", ["--5", "-", "9" * 5_000, "٥"])
def test_what_is_no_number_of_privileges_is_found_when_the_account_is_read(privs: str) -> None:
    assert json.loads(write_json({"id": "7", "privs": privs})) == {"id": "7", "privs": privs}


@pytest.mark.parametrize(
    ("line", "numbers", "names"),
    [
        ("5", [5], []),
        ("ann", [], ["ann"]),
        ("https://musicbrainz.org/user/ann", [], ["ann"]),
        ("https://beta.musicbrainz.org/user/J%C3%BCrgen%20B./edits?page=2", [], ["Jürgen B."]),
        ("https://musicbrainz.org/artist/5", [], ["https://musicbrainz.org/artist/5"]),
        ("http://[", [], ["http://["]),
        ("٥", [], ["٥"]),
        ("9" * 5_000, [], ["9" * 5_000]),
    ],
)
def test_accounts_are_named_by_number_name_or_address(line: str, numbers: list[int], names: list[str]) -> None:
    assert read_names(f"  {line} \n\n") == (numbers, names)


def test_what_moved_is_told_strongest_first_and_the_number_is_no_change() -> None:
    def card(editor: Editor, score: float, **reasons: float) -> dict[str, object]:
        found = [{"feature": name, "log_odds": log_odds} for name, log_odds in reasons.items()]
        return {"record": editor, "score": score, "reasons": found}

    one = card(Editor(id=1, bio="x"), 0.2, bio=1.0, same=0.5, gone=-3.0)
    two = card(Editor(id=2, bio="y", email="a@b.example"), 0.7, bio=1.5, same=0.55, new=2.0)
    change = describe_change(one, two)
    assert change is not None
    assert change.fields == ["E-mail", "Bio"]
    assert (change.before, change.after) == (0.2, 0.7)
    assert change.moved == [("gone", -3.0, 0.0), ("new", 0.0, 2.0), ("bio", 1.0, 1.5)]
    assert describe_change(one, one | {"record": Editor(id=3, bio="x")}) is None
    # A browser sends 10:00 for 10:00:00.
    whole, short = (card(Editor(id=1, member_since=f"2024-01-01T10:00{rest}"), 0.5) for rest in (":00", ""))
    assert describe_change(whole, short) is None
    assert read_before("{") is None
    assert read_before('{"id": 1, "bio": "x"}') == Editor(id=1, bio="x")
