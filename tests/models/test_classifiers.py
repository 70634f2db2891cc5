"""One suite of checks over every classifier: what `Classifier` promises, each of them keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from sb_api.arrays import pack_rows
from sb_api.config import Settings
from sb_api.errors import InvalidRecords, InvalidTokenizer
from sb_api.json_bodies import decode_records
from sb_api.models.classifiers import (
    ARCHITECTURES,
    CLASSIFIERS,
    INTENT_CHOOSING,
    INTENT_ENCODED,
    LODBROK,
    WIDE_DEEP,
    Classifier,
    sort_messages,
)
from sb_api.models.networks import compile_predict, get_arrays, set_arrays
from sb_api.preprocessing import message_features, message_words
from sb_api.records import INTENTS, LabelledMessage, Message, RecordType, decode_payload, encode_payload
from sb_api.text.tokenizers import Vocabularies, fit_vocabulary
from tests.support.encoders import encoder_directory, small_encoder
from tests.support.factories import LABELS, VOCABULARIES, call_network, lodbrok

EDITORS = [
    {"id": 1, "verdict": 1, "email": "a@spam.example", "website": "http://spam.example", "bio": "visit the casino"},
    {"id": "two", "verdict": 0, "email": "b@gmail.com", "bio": "music", "member_since": "2000-07-05T14:22:08"},
    {"id": 3, "verdict": 0},
]
MESSAGES = [
    {"id": 1, "intent": "refund", "text": "I want my money back"},
    {"id": "two", "intent": "greeting", "text": "hello there"},
    {"id": 3, "intent": "delivery", "text": "where is my parcel?"},
    {"id": 4, "intent": "refund", "text": "\u8bdd \U0001f600"},
]


def message_vocabularies() -> Vocabularies:
    texts = [message_words(message["text"]) for message in MESSAGES]  # type: ignore[arg-type]
    features = [[feature for block in message_features(words) for feature in block] for words in texts]
    return Vocabularies({"features": fit_vocabulary(features, 1000), "words": fit_vocabulary(texts, 100)})


@dataclass(frozen=True)
class Sample:
    """Labelled records of a classifier as clients send them, with the labels and vocabularies that go with them."""

    classifier: Classifier
    bodies: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    targets: Sequence[int]
    vocabularies: Vocabularies

    def decode(self, kind: Any) -> list[Any]:
        return decode_records(json.dumps(self.bodies).encode(), kind, 100).all_sound()

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        return self.classifier.preprocess(self.decode(self.classifier.record_type.record), self.vocabularies)

    @cached_property
    def network(self) -> Any:
        if self.classifier.architecture == "lodbrok":
            return lodbrok()
        return self.classifier.build(self.labels, self.vocabularies)


SAMPLES = {
    "lodbrok": Sample(LODBROK, EDITORS, LABELS, [1, 0, 0], VOCABULARIES),
    "wide-deep-3": Sample(WIDE_DEEP, EDITORS, LABELS, [1, 0, 0], VOCABULARIES),
    "intent": Sample(
        CLASSIFIERS["intent"], MESSAGES, ["delivery", "greeting", "refund"], [2, 1, 0, 2], message_vocabularies()
    ),
    "intent-encoder": Sample(
        INTENT_CHOOSING,
        MESSAGES,
        ["delivery", "greeting", "refund"],
        [2, 1, 0, 2],
        replace(message_vocabularies(), encoder=small_encoder()),
    ),
    "intent-encoder-or-none": Sample(
        INTENT_ENCODED,
        MESSAGES,
        ["delivery", "greeting", "refund"],
        [2, 1, 0, 2],
        replace(message_vocabularies(), encoder=small_encoder()),
    ),
}


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Iterator[Sample]:
    return SAMPLES[request.param]


def test_every_classifier_is_checked_and_known_by_its_name() -> None:
    """Several classifiers may have networks of one architecture."""
    assert SAMPLES.keys() == {architecture for _, architecture in ARCHITECTURES}
    assert all(classifier.name == name for name, classifier in CLASSIFIERS.items())
    assert all((classifier.name, classifier.architecture) == key for key, classifier in ARCHITECTURES.items())
    assert list(dict.fromkeys(name for name, _ in ARCHITECTURES)) == list(CLASSIFIERS)


def test_classifiers_of_messages_share_all_but_their_records_and_their_files(tmp_path: Path) -> None:
    """A row of data: what it calls its classes, where its calls and its files are."""

    class Rated(LabelledMessage, kw_only=True):
        label: str | None = msgspec.field(name="rating")

    ratings = RecordType("rating", Message, Message, Rated, "/ratings", "Ratings", namespace="rating")
    plain, encoded, _ = sort_messages(ratings)
    assert (plain.name, encoded.name) == ("rating", "rating")
    assert replace(plain, record_type=INTENTS).architecture == CLASSIFIERS["intent"].architecture
    (record,) = decode_records(b'[{"id": 7, "text": "x", "rating": "good"}]', Rated, 1).all_sound()
    assert plain.target(record, ["bad", "good"]) == 1
    with pytest.raises(InvalidRecords, match="unknown rating") as caught:
        plain.target(record, ["bad"])
    assert caught.value.problem()["errors"]["7"]["field"] == "rating"
    for classifier, words in ((CLASSIFIERS["intent"], ["refund"]), (plain, ["lovely"])):
        vocabularies = Vocabularies(dict.fromkeys(classifier.vocabulary_sizes, fit_vocabulary([words], 5)))
        for path, content in classifier.vocabulary_files(vocabularies).items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(content)
        assert classifier.load_vocabularies(Settings(state_dir=str(tmp_path))) == vocabularies


def test_lodbrok_is_made_with_the_labels_of_the_contract() -> None:
    assert CLASSIFIERS["lodbrok"].labels == ("Non Spam Editor Account", "Spam Editor Account")


def test_its_records_decode(sample: Sample) -> None:
    records = sample.decode(sample.classifier.record_type.record)
    assert [record.id for record in records] == [body["id"] for body in sample.bodies]
    assert all(type(record) is sample.classifier.record_type.record for record in records)


def test_its_verdicts_decode_and_are_records_too(sample: Sample) -> None:
    verdicts = sample.decode(sample.classifier.record_type.verdict)
    assert all(isinstance(verdict, sample.classifier.record_type.record) for verdict in verdicts)
    with pytest.raises(InvalidRecords):
        decode_records(b'[{"id": 1}]', sample.classifier.record_type.verdict, 10).all_sound()


def test_its_records_travel_through_the_queue(sample: Sample) -> None:
    for kind in (sample.classifier.record_type.record, sample.classifier.record_type.verdict):
        records = sample.decode(kind)
        assert decode_payload(encode_payload(records), list[kind]) == records  # type: ignore[valid-type]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_preprocessing_gives_named_arrays_of_a_row_per_record(sample: Sample, rows: int) -> None:
    records = sample.decode(sample.classifier.record_type.record)[:rows]
    arrays = sample.classifier.preprocess(records, sample.vocabularies)
    assert arrays
    assert {len(array) for array in arrays.values()} == {rows}
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_record_is_preprocessed_the_same_alone_and_among_others(sample: Sample) -> None:
    for position, record in enumerate(sample.decode(sample.classifier.record_type.record)):
        alone = sample.classifier.preprocess([record], sample.vocabularies)
        assert all(np.array_equal(alone[name][0], sample.arrays[name][position]) for name in alone)


def test_what_a_moderator_says_of_a_record_is_no_input(sample: Sample) -> None:
    """Else the network would learn to read it."""
    verdicts = sample.decode(sample.classifier.record_type.verdict)
    told = sample.classifier.preprocess(verdicts, sample.vocabularies)
    assert told.keys() == sample.arrays.keys()
    assert all(np.array_equal(told[name], sample.arrays[name]) for name in told)


def test_records_that_differ_are_preprocessed_to_arrays_that_differ(sample: Sample) -> None:
    rows = {b"".join(array[row].tobytes() for array in sample.arrays.values()) for row in range(len(sample.bodies))}
    assert len(rows) == len(sample.bodies)


def stored(arrays: Mapping[str, Any], classifier: Classifier) -> dict[str, Any]:
    """The arrays that vectors hold; the weights of an editor's features follow from their numbers, and so does what is
    derived."""
    followed = {*classifier.derived, *(["weight_input"] if classifier is WIDE_DEEP else [])}
    return {name: array for name, array in arrays.items() if name not in followed}


def test_stored_vectors_are_named_as_preprocessing_names_them(sample: Sample) -> None:
    """Training reads vectors that were stored, prediction preprocesses: both must see the same names and shapes."""
    length = sample.classifier.vector_length
    vectors = np.arange(2 * length, dtype=np.float32).reshape(2, length)
    named = sample.classifier.name_inputs(vectors)
    assert {name: (array.shape[1:], array.dtype) for name, array in named.items()} == {
        name: (array.shape[1:], array.dtype) for name, array in sample.arrays.items()
    }
    kept = stored(named, sample.classifier)
    columns = np.concatenate([array[0] for array in kept.values()]).astype(int).tolist()
    assert sorted(columns) == list(range(1, length))  # each column once; column 0 is the label


def test_stored_vectors_give_the_arrays_they_were_made_of(sample: Sample) -> None:
    """The round trip: arrays -> one vector per row -> the same arrays."""
    width = sample.classifier.vector_length
    places = sample.classifier.name_inputs(np.arange(width, dtype=np.float32)[None])
    vectors = np.zeros((len(sample.bodies), width), np.float32)
    for name, columns in stored(places, sample.classifier).items():
        vectors[:, columns[0].astype(int)] = sample.arrays[name]
    again = sample.classifier.name_inputs(vectors)
    assert again.keys() == sample.arrays.keys()
    assert all(np.array_equal(again[name], sample.arrays[name]) for name in again)


def test_the_verdict_log_gives_the_arrays_that_it_was_given(sample: Sample) -> None:
    again = sample.classifier.unpack(sample.classifier.pack(sample.arrays), sample.arrays)
    assert again.keys() == sample.arrays.keys()
    for name, array in sample.arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_rows_of_before_accounts_had_numbers_are_rows_of_now() -> None:
    sample = SAMPLES["wide-deep-3"]
    before = pack_rows({name: array for name, array in sample.arrays.items() if name != "account_input"})
    assert WIDE_DEEP.pack(sample.arrays) == before
    numbers = WIDE_DEEP.unpack(before, sample.arrays)["account_input"]
    np.testing.assert_array_equal(numbers, sample.arrays["account_input"])


def test_vectors_of_labelled_records_are_those_of_the_records_with_their_labels(sample: Sample) -> None:
    assert sample.classifier.vectors is not None
    vectors = sample.classifier.vectors(sample.decode(sample.classifier.record_type.verdict), sample.vocabularies)
    assert vectors.shape == (len(sample.bodies), sample.classifier.vector_length)
    # Where weights have labels of their own, the numbers of these are not known yet.
    assert vectors[:, 0].tolist() == (list(sample.targets) if sample.classifier.labels else [0] * len(vectors))
    named = sample.classifier.name_inputs(vectors)
    assert all(np.array_equal(named[name], sample.arrays[name]) for name in sample.arrays)


def test_its_network_takes_what_preprocessing_gives(sample: Sample) -> None:
    assert {name: (tuple(tensor.shape[1:]), tensor.dtype) for name, tensor in sample.network.input.items()} == {
        name: (array.shape[1:], str(array.dtype)) for name, array in sample.arrays.items()
    }


def test_its_network_gives_a_probability_per_label(sample: Sample) -> None:
    scores = call_network(sample.network, sample.arrays)
    assert scores.shape == (len(sample.bodies), len(sample.labels))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_its_network_is_the_same_compiled(sample: Sample) -> None:
    scores = compile_predict(sample.network)(sample.arrays)
    np.testing.assert_allclose(scores, call_network(sample.network, sample.arrays), rtol=0, atol=1e-6)


def test_the_numbers_of_its_network_can_be_taken_out_and_put_back(sample: Sample) -> None:
    arrays, scores = get_arrays(sample.network), call_network(sample.network, sample.arrays)
    set_arrays(sample.network, {path: array * 1.5 for path, array in arrays.items()})
    changed = call_network(sample.network, sample.arrays)
    set_arrays(sample.network, arrays)
    assert not np.allclose(changed, scores)
    np.testing.assert_array_equal(call_network(sample.network, sample.arrays), scores)


def test_a_verdict_is_turned_into_the_number_of_its_label(sample: Sample) -> None:
    verdicts = sample.decode(sample.classifier.record_type.verdict)
    targets = [sample.classifier.target(verdict, sample.labels) for verdict in verdicts]
    assert targets == sample.targets
    assert all(0 <= target < len(sample.labels) for target in targets)


def test_its_figures_are_numbers_that_json_can_hold(sample: Sample) -> None:
    scores = call_network(sample.network, sample.arrays)
    figures = sample.classifier.score(np.array(sample.targets), scores)
    assert figures["count"] == len(sample.bodies)
    assert 0 <= figures["accuracy"] <= 1
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_perfect_scores_are_accurate(sample: Sample) -> None:
    perfect = np.eye(len(sample.labels), dtype=np.float32)[sample.targets]
    assert sample.classifier.score(np.array(sample.targets), perfect)["accuracy"] == 1.0


def test_the_most_probable_label_is_the_answer(sample: Sample) -> None:
    rows = np.full((len(sample.labels), len(sample.labels)), 0.1, np.float32)
    np.fill_diagonal(rows, 0.9)
    predictions, scores = sample.classifier.answer(rows, sample.labels, 0.0)
    assert predictions == list(sample.labels)
    assert len(scores) == len(rows)
    json.dumps(scores, allow_nan=False)


def test_the_vocabularies_in_use_are_those_kept_on_this_host(sample: Sample, tmp_path: Any) -> None:
    (tmp_path / "tokenizers").mkdir()
    for name, vocabulary in sample.vocabularies.by_name.items():
        (tmp_path / "tokenizers" / f"{name}.json").write_bytes(vocabulary.to_json())
    assert sample.vocabularies.by_name.keys() == sample.classifier.vocabulary_sizes.keys()
    settings = Settings(state_dir=str(tmp_path), encoder=str(encoder_directory()))
    assert sample.classifier.load_vocabularies(settings) == sample.vocabularies


def test_a_damaged_vocabulary_is_refused(sample: Sample, tmp_path: Any) -> None:
    (tmp_path / "tokenizers").mkdir()
    for name in sample.classifier.vocabulary_sizes:
        (tmp_path / "tokenizers" / f"{name}.json").write_bytes(b"{}")
    with pytest.raises(InvalidTokenizer):
        sample.classifier.load_vocabularies(Settings(state_dir=str(tmp_path)))


def test_an_intent_that_is_no_class_is_named_by_its_message() -> None:
    sample = SAMPLES["intent"]
    (message,) = decode_records(
        b'[{"id": 7, "text": "x", "intent": "unheard of"}]', sample.classifier.record_type.verdict, 1
    ).all_sound()
    with pytest.raises(InvalidRecords, match="unheard of") as caught:
        sample.classifier.target(message, sample.labels)
    assert caught.value.problem()["errors"]["7"]["field"] == "intent"


def test_a_message_below_the_threshold_is_of_no_class() -> None:
    sample = SAMPLES["intent"]
    rows = np.array([[0.5, 0.3, 0.2]], np.float32)
    assert sample.classifier.answer(rows, sample.labels, 0.5)[0] == ["delivery"]
    predictions, scores = sample.classifier.answer(rows, sample.labels, 0.51)
    assert predictions == [None]
    assert scores == [pytest.approx({"delivery": 0.5, "greeting": 0.3, "refund": 0.2})]
