"""The learned messages most like a message, by its features or by what an encoder makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_api.bootstrap.messages import fit_message_vocabularies, message_vectors
from sb_api.errors import InvalidWeights
from sb_api.models.classifiers import INTENT, INTENT_ENCODED, Classifier
from sb_api.models.explanations import neighbours
from sb_api.models.explanations.neighbours import Neighbours, pack_neighbours, read_neighbours
from sb_api.records import LabelledMessage
from sb_api.text.tokenizers import Vocabularies
from tests.support.encoders import small_encoder

TEXTS = {
    "where is my parcel, it should have come": "delivery",
    "my parcel has not come yet": "delivery",
    "please give me my money back": "refund",
    "I want my money back for this": "refund",
    "zebra quokka": None,
}
MESSAGES = [
    LabelledMessage(id=n, text=text, label=intent) for n, (text, intent) in enumerate([*TEXTS.items()] * 3) if n < 15
]
OWN = [*TEXTS]


def keep(path: Path, classifier: Classifier, vocabularies: Vocabularies, most: int = 100) -> Neighbours:
    messages = MESSAGES[: len(TEXTS)]
    vectors = message_vectors(classifier, messages, vocabularies)
    path.write_bytes(pack_neighbours(messages, vectors, "some", most, seed=1))
    return read_neighbours(path)


@pytest.mark.parametrize("classifier", [INTENT, INTENT_ENCODED], ids=["features", "encoder"])
def test_a_message_is_most_like_itself_and_then_like_those_of_its_words(classifier: Classifier, tmp_path: Path) -> None:
    vocabularies = fit_message_vocabularies(MESSAGES)
    if classifier is INTENT_ENCODED:
        vocabularies = Vocabularies(vocabularies.by_name, small_encoder())
    kept = keep(tmp_path / "some.npz", classifier, vocabularies)
    assert (kept.features, list(kept.texts)) == ("some", OWN)
    first, second = kept.find(message_vectors(classifier, [MESSAGES[0], MESSAGES[3]], vocabularies))
    assert (first[0].text, first[0].label) == (OWN[0], "delivery")
    assert first[0].likeness == pytest.approx(1, abs=2e-3)
    assert second[0].text == OWN[3]
    if classifier is INTENT:
        assert [one.text for one in first[:2]] == OWN[:2]
        assert [one.text for one in second[:2]] == [OWN[3], OWN[2]]
        assert all(one.likeness >= neighbours.LEAST_LIKENESS for one in (*first, *second))
        (unlike,) = kept.find(
            message_vectors(classifier, [LabelledMessage(id=1, text="xylophone", label=None)], vocabularies)
        )
        assert unlike == []


def test_no_more_are_kept_than_are_asked_for_nor_than_have_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabularies = fit_message_vocabularies(MESSAGES)
    assert len(keep(tmp_path / "few.npz", INTENT, vocabularies, most=2).texts) == 2
    monkeypatch.setattr(neighbours, "MOST_BYTES", 60)
    small = keep(tmp_path / "small.npz", INTENT, vocabularies)
    assert 0 < sum(len(text.encode()) for text in small.texts) <= 60


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidWeights, match=str(path)):
        read_neighbours(path)
