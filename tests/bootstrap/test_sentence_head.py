"""Few messages: the member of the text's vector is where a logistic regression has it, not where few steps end."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sb_api.bootstrap import sentence_head
from sb_api.bootstrap.messages import fit_messages
from sb_api.bootstrap.sentence_head import BIAS, EMPHASIS, FEW_OF_A_CLASS, KERNEL, SMALLNESS
from sb_api.models.networks import SENTENCE_SCALE, get_arrays
from sb_api.records import LabelledMessage
from tests.support.encoders import small_encoder

WORDS = {"refund": "money back please", "greeting": "hello dear friend", None: "the moon is far"}


def made(count: int, labels: tuple[str | None, ...] = tuple(WORDS)) -> list[LabelledMessage]:
    return [
        LabelledMessage(id=n, text=f"{WORDS[label]} {chr(97 + n % 26)}{n // 26}", label=label)
        for n in range(count)
        for label in labels
    ]


def test_few_messages_are_learned_as_well_as_can_be() -> None:
    few = made(8)
    fitting, vocabularies = fit_messages(few, 1, encoder=small_encoder())
    named = [LabelledMessage(id=label, text=label, label=label) for label in fitting.labels] * 3
    learned = [*few, *named]
    vectors = SENTENCE_SCALE * small_encoder().encode([message.text for message in learned])
    best = LogisticRegression(C=SMALLNESS, max_iter=1000).fit(vectors, [message.label or "" for message in learned])
    arrays = get_arrays(fitting.network)
    said = vectors @ arrays[KERNEL] + arrays[BIAS]
    of_none, *others = best.decision_function(vectors).T
    np.testing.assert_allclose(said, EMPHASIS * (np.array(others) - of_none).T, atol=0.05)
    judged = fitting.predict(fitting.classifier.preprocess(learned, vocabularies))
    own = [fitting.labels.index(message.label) for message in learned if message.label]
    of_a_class = [message.label is not None for message in learned]
    assert (judged[of_a_class].argmax(axis=1) == own).all()
    assert judged[np.logical_not(of_a_class)].max() < judged[of_a_class].max(axis=1).min()


def test_many_messages_and_those_beside_which_none_fits_no_class_are_left_to_the_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a logistic regression was fitted")

    monkeypatch.setattr("sklearn.linear_model.LogisticRegression.fit", refuse)
    fit_messages(made(8), 1)  # without an encoder
    fit_messages(made(8, ("refund", "greeting")), 1, encoder=small_encoder())
    fit_messages(made(FEW_OF_A_CLASS), 1, encoder=small_encoder())
    with pytest.raises(AssertionError, match="was fitted"):
        fit_messages(made(8), 1, encoder=small_encoder())
    monkeypatch.setattr(sentence_head, "FEW_OF_A_CLASS", 0)
    fit_messages(made(8), 1, encoder=small_encoder())
