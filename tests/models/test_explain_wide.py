"""The reasons of the wide-and-deep network name things that a moderator knows, each with all that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sb_api.arrays import Arrays
from sb_api.models import editor_bins
from sb_api.models.editor_bins import COLUMNS
from sb_api.models.explain_wide import TABLE, explain_editors, usual_editor, usual_inputs
from sb_api.models.wide_features import (
    ACCOUNT_TABLE,
    ACCOUNTS,
    FEATURES,
    SLOT_FIELDS,
    SLOTS,
    editor_vectors,
    find_words,
    name_inputs,
    preprocess_editors,
)
from sb_api.preprocessing import VECTOR_LENGTH as LODBROKS_LENGTH
from sb_api.records import Editor
from tests.support.factories import VOCABULARIES

PLAIN: dict[str, Any] = {
    "id": 1,
    "name": "ann",
    "email": "someone@gmail.com",
    "website": "http://gmail.com/ann",
    "bio": "I like music",
    "member_since": "2010-01-01T00:00:00",
    "email_confirm_date": "2010-01-01T00:10:00",
    "last_updated": "2010-01-01T01:00:00",
    "last_login_date": "2012-01-01T00:00:00",
}
USUAL = usual_editor(editor_vectors([Editor(**PLAIN)], VOCABULARIES))
NUMBERS = {
    TABLE: np.random.default_rng(0).normal(size=(FEATURES, 1)).astype(np.float32),
    ACCOUNT_TABLE: np.zeros((ACCOUNTS, 2), np.float32),
}
FIRST_BIN = SLOTS - len(COLUMNS)


def explain(changes: dict[str, Any], slots: Sequence[int]) -> list[Any]:
    """The reasons of an editor for whose judge nothing counts but how many of these slots are as they were."""
    editor = Editor(**{**PLAIN, **changes})
    before = preprocess_editors([editor], VOCABULARIES)["feature_input"][0]
    watched = [slot for slot in slots if before[slot]]
    assert watched

    def judge(arrays: Arrays) -> Any:
        kept = arrays["weight_input"][:, watched] * (arrays["feature_input"][:, watched] == before[watched])
        spam = 0.05 + 0.9 * (kept > 0).mean(axis=1).astype(np.float32)
        return np.stack([1 - spam, spam], axis=1)

    return explain_editors([editor], USUAL, judge, VOCABULARIES, NUMBERS)[0]


def of_field(field: str) -> list[int]:
    return [slot for slot, called in enumerate(SLOT_FIELDS) if called == field]


@pytest.mark.parametrize(
    ("changes", "field", "named", "value"),
    [
        (
            {"website": "https://www.win-casino.example/play"},
            "website",
            "website win-casino.example, not a known one",
            "win-casino.example",
        ),
        ({"website": "http://youtube.com/x"}, "website", "website youtube.com", "youtube.com"),
        (
            {"email": "x1@mailbox.example"},
            "e-mail",
            "e-mail domain mailbox.example, not a known one",
            "mailbox.example",
        ),
        ({"name": "wincasino"}, "name", "name", "wincasino"),
        ({"area": "Freiburg"}, "area", "area set", "Freiburg"),
        ({"gender": "x"}, "gender", "gender set", "x"),
    ],
)
def test_a_field_comes_first_with_all_that_is_made_of_it(
    changes: dict[str, Any], field: str, named: str, value: str
) -> None:
    reasons = explain(changes, of_field(field))
    assert (reasons[0].feature, reasons[0].value) == (named, value)
    assert reasons[0].effect > 0.7


@pytest.mark.parametrize(
    ("changes", "column", "named"),
    [
        ({"bio": "see http://x.example/"}, editor_bins.LINK, "link in the bio"),
        ({"bio": "fr\u0435\u0435 sl\u043ets"}, "spelt with look-alike letters", "spelt with look-alike letters"),
        ({"bio": "c-a-s-i-n-o"}, "words spelt out letter by letter", "words spelt out letter by letter"),
        ({"bio": "cas\u200bino"}, "invisible characters between letters", "invisible characters between letters"),
        ({"bio": "&#99;asino"}, editor_bins.ENTITIES, "HTML entities instead of letters"),
        ({"last_updated": None}, editor_bins.UPDATED, "never updated the profile"),
        ({"last_login_date": "2030-01-01"}, editor_bins.LOGIN, "when it last logged in"),
        ({"member_since": "2024-05-01T10:00:00"}, editor_bins.REGISTERED, "when it registered"),
        ({"privs": 1}, editor_bins.PRIVILEGES, "has privileges"),
        ({"bio": "x" * 300}, editor_bins.LENGTH, "bio of 300 characters"),
        ({"bio": "LOUD 12345"}, editor_bins.CHARACTERS, "digits, marks, capitals and scripts of the bio"),
        ({"birth_date": "1980-01-01"}, editor_bins.BORN, "birth date set"),
        ({"website": None, "email": None}, editor_bins.SET, "which fields are set"),
        ({"website": "http://other.example"}, editor_bins.SAME_DOMAIN, "e-mail and website of different domains"),
        ({"name": "casino", "website": "http://casino.example"}, "name in the website", "the name stands in the website"),  # noqa: E501
        ({"name": "casino", "website": "http://other.example"}, "name in the website", "the name does not stand in the website"),  # noqa: E501
        ({"website": None}, editor_bins.SAME_DOMAIN, "e-mail and website cannot be compared"),
    ],
)  # fmt: skip
def test_what_a_number_says_comes_first_in_words(changes: dict[str, Any], column: str, named: str) -> None:
    reasons = explain(changes, [FIRST_BIN + place for place, called in enumerate(COLUMNS) if called == column])
    assert reasons[0].feature == named


def test_a_word_comes_first_with_its_pairs_and_ngrams() -> None:
    editor = Editor(**{**PLAIN, "bio": "Visit Zolpidorex today"})
    (words,) = find_words([editor])
    assert set(words) == {"visit", "zolpidorex", "today"}
    # As a word, in two pairs, and in all n-grams of 3 and 5 characters with a blank on either side.
    assert len(words["zolpidorex"]) == 1 + 2 + 10 + 8
    reasons = explain({"bio": "Visit Zolpidorex today"}, words["zolpidorex"])
    assert (reasons[0].feature, reasons[0].value) == ("word 'zolpidorex'", "zolpidorex")


@pytest.mark.parametrize("bio", ["c-a-s-i-n-o now", "c a s i n o  now"])
def test_of_a_word_that_is_spelt_out_the_word_comes_first_and_no_letter(bio: str) -> None:
    (words,) = find_words([Editor(**{**PLAIN, "bio": bio})])
    reasons = explain({"bio": bio}, words["c"])
    assert (reasons[0].feature, reasons[0].value) == ("word 'casino'", "casino")
    assert not [reason for reason in reasons if str(reason.value) in {*"casino"}]


def test_of_a_script_without_blanks_a_run_of_characters_comes_first() -> None:
    bio = "日本の音楽, 最好的在线赌场 casino"
    (words,) = find_words([Editor(**{**PLAIN, "bio": bio})])
    reasons = explain({"bio": bio}, [slot for char in "在线赌场" for slot in words[char]])
    assert (reasons[0].feature, reasons[0].value) == ("characters '最好的在线赌场'", "最好的在线赌场")
    assert not [reason for reason in reasons if reason.feature.startswith("word ") and len(str(reason.value)) == 1]


@pytest.mark.parametrize(
    ("bio", "words"),
    [
        ("Play play PLAY", {"play"}),
        ("日本の音楽", set("日本の音楽")),
        ("c-a-s-i-n-o!", {"c", "a", "s", "i", "n", "o", "casino"}),
        ("", set()),
    ],
)
def test_words_are_the_ones_that_are_hashed(bio: str, words: set[str]) -> None:
    found = find_words([Editor(id=1, bio="other"), Editor(id=2, bio=bio), Editor(id=3)])
    assert set(found[1]) == words
    assert set(found[0]) == {"other"}
    features = preprocess_editors([Editor(id=2, bio=bio)], VOCABULARIES)["feature_input"][0]
    filled = {slot for slot in of_field("bio") if features[slot]}
    assert {slot for slots in found[1].values() for slot in slots} == filled


def test_an_editor_like_any_other_has_no_reasons_but_words() -> None:
    reasons = explain({}, [*of_field("dates"), *of_field("set")])
    assert [reason for reason in reasons if not reason.feature.startswith("word ")] == []


def test_the_usual_account_is_one_with_all_as_usual_and_no_words_that_nothing_was_learned_of() -> None:
    vectors = editor_vectors([Editor(**PLAIN)], VOCABULARIES)
    vectors[:, 12 : LODBROKS_LENGTH + FIRST_BIN] = 0
    expected = {**name_inputs(vectors), "account_input": np.zeros((1, 2), np.int32)}
    arrays = usual_inputs(USUAL)
    assert arrays.keys() == expected.keys() == preprocess_editors([Editor(**PLAIN)], VOCABULARIES).keys()
    for name in expected:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)


def test_what_was_learned_of_an_account_is_a_reason_and_in_no_other() -> None:
    editor = Editor(**{**PLAIN, "bio": "best casino", "website": "http://a.example"})
    number, mark = preprocess_editors([editor], VOCABULARIES)["account_input"][0].tolist()
    taught = NUMBERS[ACCOUNT_TABLE].copy()
    taught[[number, mark], [0, 1]] = 3.0, 1.0

    def judge(arrays: Arrays) -> Any:
        of_account = taught[arrays["account_input"], (0, 1)].prod(axis=1)
        spam = np.where(of_account == 3.0, 0.9, 0.1).astype(np.float32)
        return np.stack([1 - spam, spam], axis=1)

    (reasons,) = explain_editors([editor], USUAL, judge, VOCABULARIES, {**NUMBERS, ACCOUNT_TABLE: taught})
    assert [(reason.feature, reason.value) for reason in reasons] == [("learned of this very account", None)]
    assert reasons[0].effect == pytest.approx(0.8)
    assert explain_editors([editor], USUAL, judge, VOCABULARIES, NUMBERS) == [[]], "of which nothing was learned"
    taught[mark, 1] = 0.0
    of_another = {**NUMBERS, ACCOUNT_TABLE: taught}
    assert explain_editors([editor], USUAL, judge, VOCABULARIES, of_another) == [[]], "whose one place is another's"


def test_nobody_is_told_numbers_of_features() -> None:
    for reason in explain({"bio": "best casino", "website": "http://a.example"}, range(SLOTS)):
        assert not any(char.isdigit() for char in reason.feature.replace("bio of 11 characters", ""))
