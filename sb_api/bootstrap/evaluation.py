"""How good the current weights of a classifier are on labelled records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sb_api.arrays import Arrays, Scores, Targets
from sb_api.bootstrap.datasets import SYNTHETIC, load_split, open_messages
from sb_api.bootstrap.no_class import find_right, measure_threshold
from sb_api.bootstrap.reports.findings import find_worst, measure_answers, measure_groups, measure_spam
from sb_api.bootstrap.reports.groups import group_records
from sb_api.config import Settings
from sb_api.errors import InvalidRecords
from sb_api.judgements import NO_CLASS
from sb_api.learning.reference_set import load_reference
from sb_api.models.calibration import calibrated, undo_temperature
from sb_api.models.classifiers import Classifier, find_classifier
from sb_api.models.measures import describe_classes
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.records import EDITORS, Message, RecordType
from sb_api.versions import Version

TEST_PART = "the test part of the stored messages"


@dataclass(frozen=True)
class Answers:
    """What weights say of n records with known labels: targets (n,) and probabilities (n, labels). `records` is empty
    where only their numbers are kept; `source` says where they are from. `is_learned` says that the weights have
    learned them since, and that the probabilities are as if they had not."""

    records: Sequence[Any]
    targets: Targets
    scores: Scores
    source: str
    is_learned: bool = False


def evaluate_weights(
    settings: Settings,
    classifier: Classifier,
    records: Sequence[Any] = (),
    source: str = "",
    *,
    texts: bool = True,
) -> dict[str, Any]:
    """The figures of the current weights on labelled records from `source`, else on the test part of the stored
    messages, else on the reference set; of records that they have learned since, as if they had not.

    `figures` is what `describe_classes` gives of those that have a class, with the texts of the examples where they are
    known; `no_class_recall` is the share of the others that is given none, and `no_class` says what the threshold is
    worth: by these others, or as it was measured when the weights were made. `spam`, or of messages `answers`, is what
    a report begins with. Beside them, where the records are known: `groups`, how each script, language and kind of
    profile is judged, and the `worst` errors. Without `texts` nothing that people wrote is in it.

    Raises InvalidRecords when there is a source without records.
    """
    if source and not records:
        raise InvalidRecords(f"{source} is empty.", errors={})
    weights = WeightsStore.of(settings, classifier.name).load_current()
    about = weights.about
    classifier = find_classifier(about)
    model = Predictor(classifier, weights, classifier.load_vocabularies(settings), settings.engine)
    answers = _judge(settings, model, records, source)
    of_a_class = answers.targets != NO_CLASS
    if not of_a_class.any():
        raise InvalidRecords(f"{answers.source} holds no record of a class.", errors={})
    known = [record for record, is_known in zip(answers.records, of_a_class.tolist(), strict=False) if is_known]
    targets, scores = answers.targets[of_a_class], answers.scores[of_a_class]
    figures = describe_classes(targets, scores, about.labels) | _describe_refusal(about, answers)
    for pair in figures["confused"]:
        pair["examples"] = [_name_example(known, place, texts) for place in pair["examples"]]
    is_spam = classifier.record_type is EDITORS
    if is_spam:
        figures["spam"] = measure_spam(targets, scores, about.borders)
    else:
        figures["answers"] = measure_answers(targets, scores, about.threshold)
    groups = group_records(known, classifier.record_type) if known else {}
    called = scores.argmax(axis=1)
    # The weights as they are would give reasons for what they say now.
    explain = None if answers.is_learned else model.explain
    return {
        "model": classifier.name,
        "weights": about.version,
        "made": about.created,
        "source": answers.source,
        "figures": figures,
        "groups": [
            {"by": by, "rows": measure_groups(names, targets, called, of_spam=is_spam)} for by, names in groups.items()
        ],
        "worst": find_worst(known, targets, scores, about.labels, about.borders, explain, of_spam=is_spam, texts=texts)
        if known
        else [],
    }


def _judge(settings: Settings, model: Predictor, records: Sequence[Any], source: str) -> Answers:
    """What the weights say of the records, or of those that are kept for it."""
    about, classifier = model.about, model.classifier
    stored, fingerprint = ((), "") if records else _test_messages(settings, classifier.record_type)
    if stored and str(about.figures.get("data", "")).startswith(SYNTHETIC):
        records, source = stored, TEST_PART
    if records:
        arrays: Arrays = classifier.preprocess(records, model.vocabularies)
        targets: Targets = np.array([classifier.target(record, about.labels) for record in records], np.int64)
        return Answers(records, targets, model.score(arrays), source)
    reference = load_reference(settings.find(f"reference/{classifier.name}.npz"), classifier, about.labels)
    source, targets = "the reference set", reference.guard.targets
    raw = undo_temperature(model.score(reference.guard.arrays), about.temperature)
    scores = calibrated(reference.unlearn(raw).astype(np.float32), about.temperature)
    known = [message for message in stored if message.label in about.labels][: len(targets)]
    if fingerprint == about.figures.get("data") and len(known) == len(targets):
        records, source = known, TEST_PART
    return Answers(records, targets, scores, source, is_learned=reference.unlearning is not None)


def _describe_refusal(about: Version, answers: Answers) -> dict[str, Any]:
    """How many records of a class are answered, and how many of none are not."""
    best, of_a_class = answers.scores.max(axis=1), answers.targets != NO_CLASS
    answered = best >= about.threshold
    figures: dict[str, Any] = {"answered_share": round(float(answered[of_a_class].mean()), 6)}
    if not of_a_class.all():
        figures["no_class_recall"] = round(float((~answered[~of_a_class]).mean()), 6)
        right = find_right(answers.targets, answers.scores)
        figures["no_class"] = measure_threshold(about.threshold, right, best[~of_a_class])
    elif "no_class" in about.figures:
        figures["no_class"] = about.figures["no_class"]
    return figures


def _name_example(records: Sequence[Any], place: int, texts: bool) -> str:
    if not records:
        return f"record {place}"
    record = records[place]
    return record.text if texts and isinstance(record, Message) else str(record.id)


def _test_messages(settings: Settings, record_type: RecordType) -> tuple[Sequence[Any], str]:
    """The test part of the stored messages, and the fingerprint of them all."""
    there = settings.messages_url or (settings.state / "messages.sqlite").exists()
    if not record_type.of_messages or not there:
        return (), ""
    table = open_messages(settings, record_type)
    try:
        split = load_split(table)
    except InvalidRecords:
        return (), ""
    finally:
        table.close()
    return split.test, split.fingerprint
