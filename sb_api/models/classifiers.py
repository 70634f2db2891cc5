"""The classifiers: what differs between them, as data. Everything else is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sb_api import preprocessing
from sb_api.arrays import Arrays, Matrix, pack_rows, unpack_rows
from sb_api.config import Settings
from sb_api.errors import InvalidRecords, InvalidWeights
from sb_api.judgements import NO_CLASS, Reason
from sb_api.models import encoder, explain_wide, measures, networks, onnx_graphs, wide_features
from sb_api.models.encoder import load_encoder
from sb_api.models.explain import Judge, explain_editors, explain_messages, usual_editor, usual_inputs
from sb_api.records import (
    EDITORS,
    INTENTS,
    NO_CLASS_NAME,
    RECORD_TYPES,
    SENTIMENTS,
    LabelledMessage,
    RecordType,
    field_of_label,
)
from sb_api.text.normalization import clean_class
from sb_api.text.tokenizers import TextEncoder, Vocabularies, load_vocabularies
from sb_api.versions import Version, find_merged

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Classifier:
    """A network, and what it needs to judge one kind of records.

    Editors and messages may be judged by networks of two architectures, each a record of its own; `architecture` tells
    which, and several classifiers may have networks of one. `labels` are those of a classifier made anew; a trained one
    goes by the labels that its weights carry, to which the `labels` arguments below refer. `preprocess` turns n queued
    records into named arrays of n rows; `vectors` turns labelled records into vectors (n, vector_length) with their
    labels in front, 0 where weights have labels of their own; `name_inputs` turns stored vectors into the arrays of
    `preprocess`, of which those that are `derived` follow from the others. `target` turns a verdict into the number of
    its label, `NO_CLASS` for none, `score` is the figures of probabilities (n, labels) against n targets, at a
    threshold if one is given, `build` makes the untrained network, `graph` is the same network as an ONNX graph,
    `answer` is what a client is told of n rows of probabilities: the predictions and the scores. A row whose largest
    probability lies below the weights' threshold is of no class. `caution` is how many times as much a record of the
    first label weighs in the loss. An `encoded` one needs a sentence encoder beside its vocabularies. `explain` says
    what moved the scores of n records; `usual` is what it compares them with, from the vectors of innocent records, and
    `usual_inputs` is that as the arrays of one record.
    """

    record_type: RecordType
    architecture: str
    labels: tuple[str, ...]
    vocabulary_sizes: Mapping[str, int]
    vector_length: int
    preprocess: Callable[[Sequence[Any], Vocabularies], Arrays]
    name_inputs: Callable[[Any], Arrays]
    target: Callable[[Any, Sequence[str]], int]
    score: Callable[..., dict[str, Any]]
    build: Callable[[Sequence[str], Vocabularies], keras.Model]
    graph: Callable[[Sequence[str], Vocabularies], str]
    answer: Callable[[Any, Sequence[str], float], tuple[list[Any], list[Any]]]
    derived: Mapping[str, Callable[[Arrays], npt.NDArray[Any]]] = field(default_factory=dict)
    vectors: Callable[[Sequence[Any], Vocabularies], Matrix] | None = None
    caution: float = 1.0
    encoded: bool = False
    explain: Callable[[Sequence[Any], Sequence[float], Judge, Vocabularies, Arrays], list[list[Reason]]] | None = None
    usual: Callable[[Any], list[float]] | None = None
    usual_inputs: Callable[[Sequence[float]], Arrays] | None = None

    @property
    def name(self) -> str:
        return self.record_type.name

    def pack(self, arrays: Arrays) -> list[bytes]:
        """Each of n rows as the verdict log keeps it, without what is derived."""
        return pack_rows({name: array for name, array in arrays.items() if name not in self.derived})

    def unpack(self, packed: Sequence[bytes], like: Arrays) -> Arrays:
        """The arrays of n rows of the verdict log; `like` has arrays of the same names, row shapes and types."""
        arrays = unpack_rows(packed, {name: array for name, array in like.items() if name not in self.derived})
        return arrays | {name: derive(arrays) for name, derive in self.derived.items()}

    def load_vocabularies(self, settings: Settings) -> Vocabularies:
        """The vocabularies of this host: those kept in the state directory, else those shipped."""
        folders = [folder / self.vocabulary_folder for folder in (settings.state, settings.static)]
        vocabularies = load_vocabularies(dict.fromkeys(folders), self.vocabulary_sizes)
        return self.with_encoder(vocabularies, settings.encoder)

    @property
    def vocabulary_folder(self) -> str:
        """Where its vocabularies are kept, in the state directory and among what is shipped."""
        return f"tokenizers/{self.record_type.namespace}".removesuffix("/")

    def vocabulary_files(self, vocabularies: Vocabularies) -> dict[str, bytes]:
        """The files of its vocabularies, by their paths in the state directory."""
        return {f"{self.vocabulary_folder}/{name}.json": one.to_json() for name, one in vocabularies.by_name.items()}

    def with_encoder(
        self, vocabularies: Vocabularies, directory: str, loaded: TextEncoder | None = None
    ) -> Vocabularies:
        """The vocabularies with the sentence encoder of this host, if one is needed: what is `loaded` of it already, or
        that of a directory, "" for the installed one. Raises Unavailable where there is none."""
        return replace(vocabularies, encoder=loaded or load_encoder(directory)) if self.encoded else vocabularies


def _target_of_message(message: LabelledMessage, labels: Sequence[str]) -> int:
    if message.label is None:
        return NO_CLASS
    try:
        return _number_of(message.label if message.label in labels else clean_class(message.label), labels)
    except ValueError:
        field = field_of_label(type(message))
        detail = (
            f"{message.label[:60]!r} is no class of the current weights; there are {', '.join(dict.fromkeys(labels))}; "
            f"null or {NO_CLASS_NAME!r} says that it fits none"
        )
        raise InvalidRecords(
            f"The message {str(message.id)!r} has an unknown {field}: {detail}. With `new_classes=true` an admin has "
            "new ones learned.",
            errors={str(message.id): {"field": field, "detail": detail}},
        ) from None


def _answer_of_editors(scores: Any, labels: Sequence[str], _: float) -> tuple[list[str], list[float]]:
    return [labels[best] for best in scores.argmax(axis=1).tolist()], scores[:, 1].tolist()


def _answer_of_messages(
    scores: Any, labels: Sequence[str], threshold: float
) -> tuple[list[str | None], list[dict[str, float]]]:
    best = measures.best_labels(scores, threshold).tolist()
    predictions = [None if label == NO_CLASS else labels[label] for label in best]
    return predictions, [dict(zip(labels, row, strict=True)) for row in scores.tolist()]


def _message_sizes(labels: Sequence[str], vocabularies: Vocabularies) -> tuple[int, int, int]:
    return len(labels), len(vocabularies["features"].words), len(vocabularies["words"].words)


def _build_messages(
    labels: Sequence[str], vocabularies: Vocabularies, encoded: bool = False, refusing: bool = False
) -> keras.Model:
    return networks.build_intent(*_message_sizes(labels, vocabularies), encoded, find_merged(labels), refusing)


def _graph_of_messages(
    labels: Sequence[str], vocabularies: Vocabularies, encoded: bool = False, refusing: bool = False
) -> str:
    return onnx_graphs.intent_graph(*_message_sizes(labels, vocabularies), encoded, refusing)


def _number_of(name: str, labels: Sequence[str]) -> int:
    """The number of a class. Raises ValueError where there is none of this name."""
    number = labels.index(name)
    merged = find_merged(labels)
    return number if merged is None else merged[number]


LODBROK = Classifier(
    record_type=EDITORS,
    architecture="lodbrok",
    labels=("Non Spam Editor Account", "Spam Editor Account"),
    vocabulary_sizes={
        "bio": preprocessing.BIO_WORDS,
        "email": preprocessing.EMAIL_DOMAINS,
        "website": preprocessing.WEBSITE_HOSTS,
    },
    vector_length=preprocessing.VECTOR_LENGTH,
    preprocess=preprocessing.preprocess_editors,
    name_inputs=preprocessing.name_inputs,
    target=lambda verdict, _: int(verdict.verdict),
    score=lambda targets, scores, _=0.0: measures.score_binary(targets, scores),
    build=lambda *_: networks.build_lodbrok(),
    graph=lambda *_: onnx_graphs.lodbrok_graph(),
    answer=_answer_of_editors,
    vectors=preprocessing.editor_vectors,
    caution=8.0,
    explain=explain_editors,
    usual=usual_editor,
    usual_inputs=usual_inputs,
)
# Without caution in its loss, so that its scores are what they say: it stands in the borders of the bands.
WIDE_DEEP = replace(
    LODBROK,
    architecture=wide_features.ARCHITECTURE,
    vector_length=wide_features.VECTOR_LENGTH,
    preprocess=wide_features.preprocess_editors,
    name_inputs=wide_features.name_inputs,
    build=lambda *_: networks.build_wide_deep(),
    graph=lambda *_: onnx_graphs.wide_deep_graph(),
    derived={"account_input": lambda arrays: wide_features.number_accounts(arrays["feature_input"])},
    vectors=wide_features.editor_vectors,
    caution=1.0,
    explain=explain_wide.explain_editors,
    usual=explain_wide.usual_editor,
    usual_inputs=explain_wide.usual_inputs,
)


def sort_messages(record_type: RecordType) -> tuple[Classifier, Classifier, Classifier]:
    """The classifiers of messages of one record type: one that knows words and their parts; one with a fourth member,
    which knows what a sentence encoder makes of a text, or that it is of no class; and the latter as it was when that
    member had to choose, of which there are weights. Their architectures are called as they were when intents were all
    that messages were sorted by."""
    plain = Classifier(
        record_type=record_type,
        architecture="intent",
        labels=(),
        vocabulary_sizes={"features": preprocessing.FEATURES, "words": preprocessing.WORDS},
        vector_length=preprocessing.MESSAGE_LENGTH,
        preprocess=preprocessing.preprocess_messages,
        name_inputs=preprocessing.name_message_inputs,
        target=_target_of_message,
        score=measures.score_classes,
        build=_build_messages,
        graph=_graph_of_messages,
        answer=_answer_of_messages,
        vectors=preprocessing.message_vectors,
        explain=explain_messages,
    )
    choosing = replace(
        plain,
        architecture="intent-encoder",
        vector_length=encoder.VECTOR_LENGTH,
        preprocess=encoder.preprocess_messages,
        name_inputs=encoder.name_inputs,
        build=partial(_build_messages, encoded=True),
        graph=partial(_graph_of_messages, encoded=True),
        vectors=encoder.message_vectors,
        encoded=True,
    )
    refusing = replace(
        choosing,
        architecture="intent-encoder-or-none",
        build=partial(_build_messages, encoded=True, refusing=True),
        graph=partial(_graph_of_messages, encoded=True, refusing=True),
    )
    return plain, refusing, choosing


INTENT, INTENT_ENCODED, INTENT_CHOOSING = sort_messages(INTENTS)
# Of several architectures of one name the first is the one that weights files have that do not say which; what is made
# anew is of the first that has an encoder, or none.
_ROWS = (LODBROK, WIDE_DEEP, INTENT, INTENT_ENCODED, INTENT_CHOOSING, *sort_messages(SENTIMENTS))
ARCHITECTURES = {(classifier.name, classifier.architecture): classifier for classifier in _ROWS}
CLASSIFIERS = {name: next(row for row in _ROWS if row.name == name) for name in RECORD_TYPES}


def find_classifier(about: Version) -> Classifier:
    """The classifier whose network a version's numbers are of. Raises InvalidWeights when this release has none."""
    first = CLASSIFIERS.get(about.classifier)
    architecture = about.architecture or (first.architecture if first else about.classifier)
    classifier = ARCHITECTURES.get((about.classifier, architecture))
    if classifier is None:
        known = [each for name, each in ARCHITECTURES if first is None or name == first.name]
        raise InvalidWeights(
            f"The weights {about.version} of {about.classifier[:40]!r} are of the architecture {architecture[:40]!r}, "
            f"which this release does not have; there are {', '.join(dict.fromkeys(known))}. `sb-api bootstrap` makes "
            "weights anew, of your own data too; the release that they were made with goes on with them."
        )
    return classifier
