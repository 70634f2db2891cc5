"""The reasons name what moved a score, strongest first, in words a moderator understands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logit

from sb_api.arrays import Arrays, Probabilities
from sb_api.bootstrap.messages import fit_message_vocabularies
from sb_api.config import load_settings
from sb_api.models.classifiers import LODBROK
from sb_api.models.explain import (
    LEAST_EFFECT,
    MOST_ENCODED,
    MOST_TRIED,
    explain_editors,
    explain_messages,
    usual_editor,
)
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights
from sb_api.preprocessing import VECTOR_LENGTH, editor_vectors, name_inputs
from sb_api.records import Editor, LabelledMessage, Message
from sb_api.text.tokenizers import TextEncoder, Vocabularies
from tests.support.encoders import small_encoder
from tests.support.originals import bootstrap_once
from tests.support.service import SHIPPED, make_editors

VOCABULARIES = SHIPPED.load_vocabularies(load_settings({}, state_dir="/nonexistent"))
PLAIN = {
    "id": 1,
    "email": "someone@gmail.com",
    "member_since": "2010-01-01T00:00:00",
    "email_confirm_date": "2010-01-01T00:10:00",
    "last_updated": "2010-01-01T01:00:00",
    "last_login_date": "2012-01-01T00:00:00",
}
USUAL = editor_vectors([Editor(**PLAIN)], VOCABULARIES)[0, 1:12].tolist()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Weights, Vocabularies]:
    """Of the first architecture, made from few editors."""
    made = bootstrap_once(tmp_path_factory)
    return made.original, LODBROK.load_vocabularies(made.settings)


@pytest.fixture
def lodbrok(original: tuple[Weights, Vocabularies]) -> Predictor:
    return Predictor(LODBROK, *original)


def judge_by(column: int, value: float) -> Any:
    """A judge for whom one number of the vector decides."""

    def judge(arrays: Arrays) -> Any:
        flat = np.concatenate(
            [arrays["main_input"], arrays["email_input"], arrays["website_input"], arrays["bio_input"]], axis=1
        )
        spam = np.where(flat[:, column - 1] == value, 0.95, 0.05).astype(np.float32)
        return np.stack([1 - spam, spam], axis=1)

    return judge


@pytest.mark.parametrize(
    ("changes", "column", "named"),
    [
        ({"email": "x@unknown-domain.example"}, 10, "e-mail domain unknown-domain.example"),
        ({"email": None}, 10, "no e-mail"),
        ({"website": "http://casino.example/x"}, 11, "website casino.example"),
        ({"email_confirm_date": None}, 7, "never confirmed the e-mail"),
        ({"last_login_date": None}, 9, "never logged in again"),
        ({"last_updated": None}, 8, "never updated the profile"),
        ({"area": 5}, 1, "area set"),
        ({"gender": "x"}, 2, "gender set"),
        ({"birth_date": "1990-01-01"}, 3, "birth date set"),
        ({"privs": 8}, 4, "has privileges"),
        ({"bio": "zzzz"}, 5, "bio of 4 characters"),
    ],
)
def test_a_single_decisive_field_comes_first(changes: dict[str, Any], column: int, named: str) -> None:
    editor = Editor(**{**PLAIN, **changes})
    value = float(editor_vectors([editor], VOCABULARIES)[0, column])
    (reasons,) = explain_editors([editor], USUAL, judge_by(column, value), VOCABULARIES, {})
    assert reasons[0].feature == named
    assert reasons[0].effect == pytest.approx(0.9, abs=1e-3)


def test_a_decisive_word_comes_first() -> None:
    word, rank = next(iter(VOCABULARIES["bio"].ranks.items()))
    editor = Editor(**PLAIN, bio=f"{word} zzzz")
    value = float(editor_vectors([editor], VOCABULARIES)[0, 12 + rank])
    (reasons,) = explain_editors([editor], USUAL, judge_by(12 + rank, value), VOCABULARIES, {})
    assert (reasons[0].feature, reasons[0].value) == (f"word {word!r}", word)


def test_an_editor_like_any_other_has_no_reasons() -> None:
    assert explain_editors([Editor(**PLAIN)], USUAL, judge_by(1, 1.0), VOCABULARIES, {}) == [[]]


def test_effects_are_with_and_without_by_the_real_model(lodbrok: Predictor) -> None:
    """Each effect is the score less the score of the same vector with that field as usual; strongest odds first."""
    editor = Editor(id=1, email="a@mail.ru", website="http://win.example", bio="best casino http://win.example")
    scores, _ = lodbrok.judge([editor])
    (reasons,) = lodbrok.explain([editor])
    strengths = [abs(reason.log_odds) for reason in reasons]
    assert strengths == sorted(strengths, reverse=True)
    assert all(reason.effect * reason.log_odds > 0 for reason in reasons)
    usual = lodbrok.about.usual
    vector = editor_vectors([editor], lodbrok.vocabularies)
    vector[0, 11] = usual[10]
    without = lodbrok.score(name_inputs(vector))[0, 1]
    (reason,) = [reason for reason in reasons if reason.feature == "website win.example"]
    assert reason.effect == pytest.approx(float(scores[0, 1] - without), abs=1e-4)
    assert reason.log_odds == pytest.approx(float(logit(scores[0, 1]) - logit(without)), abs=0.01)


def test_the_usual_editor_is_judged_once_for_its_weights(
    lodbrok: Predictor, original: tuple[Weights, Vocabularies], monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = np.zeros((1, VECTOR_LENGTH), np.float32)
    vector[0, 1:12] = lodbrok.about.usual
    assert lodbrok.judge_usual() == pytest.approx(float(lodbrok.score(name_inputs(vector))[0, 1]), abs=1e-6)
    weights, vocabularies = original
    about = msgspec.structs.replace(weights.about, version="000001-other", temperature=3.0)
    first = lodbrok.judge_usual()
    lodbrok.swap(replace(weights, about=about), vocabularies)
    second = lodbrok.judge_usual()
    assert second != first
    lodbrok.swap(weights, vocabularies)
    monkeypatch.setattr(lodbrok, "score", None)
    assert lodbrok.judge_usual() == first


def test_the_usual_editor_has_the_commonest_flags_and_the_median_numbers() -> None:
    editors = [Editor(**{**PLAIN, "id": n, "area": 1 if n < 2 else None, "bio": "x" * n}) for n in range(5)]
    usual = usual_editor(editor_vectors(editors, VOCABULARIES))
    assert len(usual) == 11
    assert usual[0] == 0.0
    assert usual[4] == 2.0


def test_reasons_cost_fourteen_rows_a_record_at_the_most_in_one_call(lodbrok: Predictor) -> None:
    """Counted, because times tell of the machine: a row that differs from the usual in nothing is not judged."""
    model = lodbrok
    editors = [Editor(**editor) for editor in make_editors(512)]
    rows: list[int] = []

    def judge(arrays: Arrays) -> Probabilities:
        rows.append(len(next(iter(arrays.values()))))
        return model.score(arrays)

    explain_editors(editors, model.about.usual, judge, model.vocabularies, {})
    assert len(rows) == 1
    assert sum(rows) <= 14 * len(editors)


def test_what_moves_the_odds_of_a_sure_score_is_a_reason(original: tuple[Weights, Vocabularies]) -> None:
    """A score of 0.9999 hardly moves with any one field, and its moderator wants to know why all the same."""
    editor = Editor(
        id=1,
        email="win@mail.example",
        website="http://win-casino.example",
        bio="Best online casino bonus, free spins and slots, register now, win real money: http://win-casino.example "
        "Cheap viagra without prescription, buy backlinks, payday loans with bad credit.",
        member_since="2024-01-01T10:00:00",
        last_updated="2024-01-01T10:02:00",
    )
    weights, vocabularies = original
    surer = replace(weights, about=msgspec.structs.replace(weights.about, temperature=0.3))
    sure = Predictor(LODBROK, surer, vocabularies)
    probabilities, _ = sure.judge([editor])
    assert probabilities[0, 1] > 0.999
    (reasons,) = sure.explain([editor])
    assert len(reasons) >= 2
    assert reasons[0].effect < LEAST_EFFECT
    assert all(abs(reason.log_odds) > 0 for reason in reasons)


@pytest.mark.parametrize(("encoder", "most"), [(None, MOST_TRIED), (small_encoder(), MOST_ENCODED)])
def test_a_long_message_is_judged_no_more_often_than_a_short_one(encoder: TextEncoder | None, most: int) -> None:
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    message = Message(id=1, text=" ".join(words))
    learned = [LabelledMessage(id=1, text=message.text, label="a")]
    vocabularies = replace(fit_message_vocabularies(learned), encoder=encoder)
    seen = []

    def judge(arrays: Arrays) -> npt.NDArray[np.float32]:
        seen.append(len(arrays["word_input"]))
        share = np.linspace(0.9, 0.1, seen[-1], dtype=np.float32)
        return np.stack([share, 1 - share], axis=1)

    (reasons,) = explain_messages([message], (), judge, vocabularies, {})
    assert seen == [most + 2]
    # The further down the rows, the more is lost: the last word that is tried tells most.
    assert [reason.value for reason in reasons] == words[:most][::-1][:8]
