"""The classifiers: what differs between them, as data. Everything else is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sb_api import graphs, networks, preprocessing, scoring
from sb_api.config import Settings
from sb_api.errors import InvalidParameter, InvalidRecords
from sb_api.explain import Judge, Reason, explain_editors, usual_editor
from sb_api.networks import Arrays
from sb_api.records import Editor, EditorFields, LabelledMessage, Message, Verdict
from sb_api.tokenizers import Vocabularies, load_vocabularies

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Classifier:
    """One kind of record and the network that judges it.

    `labels` are those of a classifier made anew; a trained one goes by the labels that its weights carry, to which the
    `labels` arguments below refer. A `record` that was found sound comes from the queue as `queued`. `preprocess` turns
    n of these into named arrays of n rows, `name_inputs` turns stored vectors (n, length) into the same arrays,
    `target` turns a verdict into the number of its label, `score` is the figures of probabilities (n, labels) against n
    targets, `build` makes the untrained network, `graph` is the same network as an ONNX graph, `answer` is what a
    client is told of n rows of probabilities: the predictions and the scores. A row whose largest probability lies
    below the weights' threshold is of no class. `explain` says what moved the scores of n records; `usual` is what it
    compares them with, from the vectors of innocent records.
    """

    name: str
    labels: tuple[str, ...]
    record: type[Any]
    queued: type[Any]
    verdict: type[Any]
    vocabulary_sizes: Mapping[str, int]
    preprocess: Callable[[Sequence[Any], Vocabularies], Arrays]
    name_inputs: Callable[[Any], Arrays]
    target: Callable[[Any, Sequence[str]], int]
    score: Callable[[Any, Any, Sequence[str]], dict[str, Any]]
    build: Callable[[Sequence[str], Vocabularies], keras.Model]
    graph: Callable[[Sequence[str], Vocabularies], str]
    answer: Callable[[Any, Sequence[str], float], tuple[list[Any], list[Any]]]
    explain: Callable[[Sequence[Any], Sequence[float], Judge, Vocabularies], list[list[Reason]]] | None = None
    usual: Callable[[Any], list[float]] | None = None

    def load_vocabularies(self, settings: Settings) -> Vocabularies:
        """The vocabularies of this host: those kept in the state directory, else those shipped."""
        folders = [settings.state / "tokenizers", settings.static / "tokenizers"]
        return load_vocabularies(dict.fromkeys(folders), self.vocabulary_sizes)


def _target_of_message(message: LabelledMessage, labels: Sequence[str]) -> int:
    try:
        return labels.index(message.intent)
    except ValueError:
        detail = f"{message.intent[:60]!r} is no class of the current weights; there are {', '.join(labels)}"
        raise InvalidRecords(
            f"The message {str(message.id)!r} has an unknown intent: {detail}. New classes need `sb-api bootstrap`.",
            errors={str(message.id): {"field": "intent", "detail": detail}},
        ) from None


def _answer_of_editors(scores: Any, labels: Sequence[str], _: float) -> tuple[list[str], list[float]]:
    return [labels[best] for best in scores.argmax(axis=1).tolist()], scores[:, 1].tolist()


def _answer_of_messages(
    scores: Any, labels: Sequence[str], threshold: float
) -> tuple[list[str | None], list[dict[str, float]]]:
    best, sure = scores.argmax(axis=1).tolist(), (scores.max(axis=1) >= threshold).tolist()
    predictions = [labels[label] if of_a_class else None for label, of_a_class in zip(best, sure, strict=True)]
    return predictions, [dict(zip(labels, row, strict=True)) for row in scores.tolist()]


def _message_sizes(labels: Sequence[str], vocabularies: Vocabularies) -> tuple[int, int, int]:
    return len(labels), len(vocabularies["features"].words), len(vocabularies["words"].words)


CLASSIFIERS = {
    "lodbrok": Classifier(
        name="lodbrok",
        labels=("Non Spam Editor Account", "Spam Editor Account"),
        record=Editor,
        queued=EditorFields,
        verdict=Verdict,
        vocabulary_sizes={
            "bio": preprocessing.BIO_WORDS,
            "email": preprocessing.EMAIL_DOMAINS,
            "website": preprocessing.WEBSITE_HOSTS,
        },
        preprocess=preprocessing.preprocess_editors,
        name_inputs=preprocessing.name_inputs,
        target=lambda verdict, _: int(verdict.verdict),
        score=lambda targets, scores, _: scoring.score_binary(targets, scores),
        build=lambda *_: networks.build_lodbrok(),
        graph=lambda *_: graphs.lodbrok_graph(),
        answer=_answer_of_editors,
        explain=explain_editors,
        usual=usual_editor,
    ),
    "intent": Classifier(
        name="intent",
        labels=(),
        record=Message,
        queued=Message,
        verdict=LabelledMessage,
        vocabulary_sizes={"features": preprocessing.FEATURES, "words": preprocessing.WORDS},
        preprocess=preprocessing.preprocess_messages,
        name_inputs=preprocessing.name_message_inputs,
        target=_target_of_message,
        score=lambda targets, scores, _: scoring.score_classes(targets, scores),
        build=lambda labels, vocabularies: networks.build_intent(*_message_sizes(labels, vocabularies)),
        graph=lambda labels, vocabularies: graphs.intent_graph(*_message_sizes(labels, vocabularies)),
        answer=_answer_of_messages,
    ),
}


def find_classifier(name: str) -> Classifier:
    """The classifier of a name. Raises InvalidParameter."""
    try:
        return CLASSIFIERS[name]
    except KeyError:
        raise InvalidParameter(f"model={name[:40]!r}: there are {', '.join(CLASSIFIERS)}.") from None


class Judged(msgspec.Struct, frozen=True):
    """What n records are by one version of the weights: their predictions and scores as clients are told them, and by
    position why one could not be judged (what else is said of it means nothing).

    `bands` has the band of each record where the classifier has bands, `reasons` those of each when they were asked
    for; both are empty otherwise.
    """

    version: str
    predictions: Sequence[Any]
    scores: Sequence[Any]
    errors: Mapping[int, str] = {}
    bands: Sequence[str] = ()
    reasons: Sequence[Any] = ()


def describe_answers(records: Sequence[Any], judged: Judged) -> dict[str, Any]:
    """What a client is told of n records; those that could not be judged are left out."""
    columns = {"predictions": judged.predictions, "scores": judged.scores}
    columns |= {name: column for name in ("bands", "reasons") if (column := getattr(judged, name))}
    keys = [str(record.id) for record in records]
    wrong = {keys[position] for position in judged.errors}
    answer: dict[str, Any] = {
        name: {key: value for key, value in zip(keys, column, strict=True) if key not in wrong}
        if wrong
        else dict(zip(keys, column, strict=True))
        for name, column in columns.items()
    }
    return answer | {"weights": judged.version}
