"""What a report says of judged records, counted again in the plainest way."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.bootstrap.reports.findings import (
    FALSE_ALARMS,
    LEAST_IN_GROUP,
    LONGEST,
    MOST_ERRORS,
    MOST_GROUPS,
    describe_record,
    find_worst,
    measure_answers,
    measure_groups,
    measure_spam,
    share,
)
from sb_api.bootstrap.reports.groups import NO_LETTERS, find_scripts, group_records, profile_of
from sb_api.judgements import Reason
from sb_api.records import EDITORS, INTENTS, Editor, LabelledMessage, Message, Verdict

BORDERS = (0.9, 0.7, 0.2)
LABELS = ["Non Spam Editor Account", "Spam Editor Account"]


def scored(spam: list[float]) -> np.ndarray:
    column = np.array(spam, np.float32)
    return np.stack([1 - column, column], axis=1)


def test_a_share_says_between_what_the_true_one_lies() -> None:
    """By Wilson's own formula."""
    z, n, p = 1.959964, 40, 0.9
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert share(36, 40) == {"number": 36, "of": 40, "between": [pytest.approx(low), pytest.approx(high, abs=1e-5)]}
    assert share(0, 0)["between"] is None


def test_spam_is_caught_at_so_many_false_alarms() -> None:
    random = np.random.default_rng(3)
    targets = np.repeat([0, 1], 1000)
    spam = np.clip(random.normal(0.3 + 0.4 * targets, 0.15), 0, 1).round(2)  # with ties
    figures = measure_spam(targets, scored(spam.tolist()), BORDERS)
    innocent, guilty = (scored(spam[targets == label].tolist())[:, 1] for label in (0, 1))
    for row, wanted in zip(figures["at"], FALSE_ALARMS, strict=True):
        assert row["innocents_per_thousand"] == wanted
        if wanted < 1:
            assert row["caught"] is None
            continue
        best = max((guilty > border).sum() for border in innocent if (innocent > border).sum() <= wanted)
        assert row["caught"]["number"] == best
    for level, border in zip(figures["levels"], (0.9, 0.7, 0.5), strict=True):
        assert level["false_alarms"]["number"] == (innocent > border).sum()
        assert level["caught"]["number"] == (guilty > border).sum()
    for alarms, caught in figures["curve"]:
        assert any((innocent > b).sum() == alarms and (guilty > b).sum() == caught for b in innocent)
    assert [alarms for alarms, _ in figures["curve"]] == sorted({alarms for alarms, _ in figures["curve"]})
    assert sum(figures["bands"]["spam"].values()) == 1000
    assert all(row["between"][0] <= row["right"] <= row["between"][1] for row in figures["calibration"]["bins"])


def test_answers_are_right_or_not_the_surest_first() -> None:
    targets = np.array([0, 1, 2, 0])
    scores = np.array([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.3, 0.5, 0.2]])
    found = measure_answers(targets, scores, 0.55)
    assert found["curve"] == [[1, 1], [2, 2], [3, 2], [4, 2]]
    assert (found["answered"]["number"], found["answered"]["of"]) == (3, 4)
    assert (found["right"]["number"], found["right"]["of"]) == (2, 3)


def test_groups_are_counted_and_small_ones_taken_together() -> None:
    names = [f"group {number}" for number in range(MOST_GROUPS + 3) for _ in range(LEAST_IN_GROUP)] + ["rare"]
    targets = np.arange(len(names)) % 2
    called = np.ones(len(names), np.int64)
    rows = measure_groups(names, targets, called, of_spam=True)
    assert [row["name"] for row in rows] == [*(f"group {n}" for n in range(MOST_GROUPS)), "4 others"]
    assert sum(row["count"] for row in rows) == len(names)
    assert sum(row["caught"]["of"] for row in rows) == targets.sum()
    assert all(row["caught"]["number"] == row["caught"]["of"] for row in rows)
    assert all(row["false_alarms"]["number"] == row["false_alarms"]["of"] for row in rows)
    (row,) = measure_groups(["a"] * 6, np.array([0, 1, 2, 0, 1, 2]), np.zeros(6), of_spam=False)
    assert (row["right"]["number"], row["right"]["of"]) == (2, 6)


def test_the_worst_errors_are_the_surest_of_either_kind_and_say_why() -> None:
    count = 3 * MOST_ERRORS
    targets = np.arange(count) % 2
    spam = np.where(targets == 0, 0.5 + np.arange(count) / 100, 0.5 - np.arange(count) / 100)
    editors = [Verdict(id=n, bio="x" * 500, verdict=int(t)) for n, t in enumerate(targets)]
    asked: list[int] = []

    def explain(chosen: list[Editor]) -> list[list[Reason]]:
        asked.extend(int(editor.id) for editor in chosen)
        return [[Reason("bio", "x", 0.1, 1.0)] for _ in chosen]

    found = find_worst(editors, targets, scored(spam.tolist()), LABELS, BORDERS, explain, of_spam=True, texts=True)
    assert len(found) == 2 * MOST_ERRORS
    assert asked == [int(one["id"]) for one in found] == [*range(28, 8, -2), *range(29, 9, -2)]
    assert found[0]["is"] == LABELS[0]
    assert found[0]["band"] == "likely spam"
    assert found[0]["reasons"] == [{"feature": "bio", "log_odds": 1.0}]
    assert len(found[0]["said"]["bio"]) == LONGEST["bio"] + 1
    hidden = find_worst(editors, targets, scored(spam.tolist()), LABELS, BORDERS, explain, of_spam=True, texts=False)
    assert [(one["said"], one["reasons"]) for one in hidden] == [({}, [])] * len(found)
    assert len(asked) == len(found)  # and nothing was asked for what is not shown


def test_the_worst_errors_of_messages_are_the_surest_however_few_the_classes() -> None:
    """Of two classes as of three: with the probability of the class that was said, and not of the second one."""
    messages = [LabelledMessage(id=n, text=f"text {n}", label="billing") for n in range(3)]
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    found = find_worst(
        messages, np.array([1, 1, 0]), scores, ["praise", "billing"], (), None, of_spam=False, texts=True
    )
    assert [(one["id"], one["called"], one["score"]) for one in found] == [
        ("0", "praise", 0.9),
        ("2", "billing", 0.8),
        ("1", "praise", 0.7),
    ]


def test_a_record_is_cut_to_what_is_shown_of_it() -> None:
    assert describe_record(Message(id=1, text="short")) == {"text": "short"}
    told = describe_record(Editor(id=1, name="n" * 300, email="secret@example.org", website="http://a.example"))
    assert told == {"name": "n" * LONGEST["name"] + "…", "website": "http://a.example"}


def test_scripts_and_kinds() -> None:
    assert find_scripts(["Grüße 12", "Привет all", "12 !", "", "音楽"]) == [
        "Latin",
        "Cyrillic",
        NO_LETTERS,
        NO_LETTERS,
        "Han",
    ]
    assert profile_of(Editor(id=1, bio="see http://casino.com")) == "bio with a link"
    assert profile_of(Editor(id=1, bio="I collect records", website="http://a.example")) == "bio without a link"
    assert profile_of(Editor(id=1, website="http://a.example")) == "website, no bio"
    assert profile_of(Editor(id=1, name="somebody")) == "neither bio nor website"
    german = "Ich sammle seit vielen Jahren Schallplatten und Noten aus Leipzig"
    groups = group_records([Editor(id=1, name="Иван", bio=german), Editor(id=2)], EDITORS)
    assert groups["language"] == ["German", "too short to tell"]
    assert groups["script"] == ["Latin", NO_LETTERS]
    assert list(group_records([Message(id=1, text=german)], INTENTS)) == ["script", "language"]


def test_languages_are_not_told_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb_api.bootstrap.reports.groups.tells_languages", lambda: False)
    assert "language" not in group_records([Message(id=1, text="hello there")], INTENTS)
