"""How good the current weights of a classifier are on labelled records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sb_api.arrays import Arrays, Scores, Targets
from sb_api.bootstrap.datasets import SYNTHETIC, load_split, open_messages
from sb_api.bootstrap.no_class import measure_threshold
from sb_api.config import Settings
from sb_api.errors import InvalidRecords
from sb_api.judgements import NO_CLASS
from sb_api.learning.reference_set import load_reference
from sb_api.models.calibration import calibrated, undo_temperature
from sb_api.models.classifiers import Classifier, find_classifier
from sb_api.models.measures import describe_classes
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.records import RecordType


def evaluate_weights(
    settings: Settings, classifier: Classifier, records: Sequence[Any] = (), source: str = ""
) -> dict[str, Any]:
    """The figures of the current weights on labelled records from `source`, else on the test part of the stored
    messages, else on the reference set; of records that they have learned since, as if they had not. `figures` is what
    `describe_classes` gives of those that have a class, with the texts of the examples where they are known;
    `no_class_recall` is the share of the others that is given none, and `no_class` says what the threshold is worth:
    by these others, or as it was measured when the weights were made.

    Raises InvalidRecords when there is a source without records.
    """
    if source and not records:
        raise InvalidRecords(f"{source} is empty.", errors={})
    weights = WeightsStore.of(settings, classifier.name).load_current()
    about = weights.about
    classifier = find_classifier(about)
    model = Predictor(classifier, weights, classifier.load_vocabularies(settings), settings.engine)
    stored, fingerprint = ((), "") if records else _test_messages(settings, classifier.record_type)
    if stored and str(about.figures.get("data", "")).startswith(SYNTHETIC):
        records, source = stored, "the test part of the stored messages"
    if records:
        arrays: Arrays = classifier.preprocess(records, model.vocabularies)
        targets: Targets = np.array([classifier.target(record, about.labels) for record in records], np.int64)
        scores: Scores = model.score(arrays)
    else:
        reference = load_reference(settings.find(f"reference/{classifier.name}.npz"), classifier)
        source, targets = "the reference set", reference.guard.targets
        raw = undo_temperature(model.score(reference.guard.arrays), about.temperature)
        scores = calibrated(reference.unlearn(raw).astype(np.float32), about.temperature)
        known = [message for message in stored if message.label in about.labels][: len(targets)]
        if fingerprint == about.figures.get("data") and len(known) == len(targets):
            records, source = known, "the test part of the stored messages"
    answered, of_a_class = scores.max(axis=1) >= about.threshold, targets != NO_CLASS
    if not of_a_class.any():
        raise InvalidRecords(f"{source} holds no record of a class.", errors={})
    records = [record for record, known in zip(records, of_a_class.tolist(), strict=True) if known] if records else ()
    figures = describe_classes(targets[of_a_class], scores[of_a_class], about.labels)
    figures["answered_share"] = round(float(answered[of_a_class].mean()), 6)
    if not of_a_class.all():
        figures["no_class_recall"] = round(float((~answered[~of_a_class]).mean()), 6)
        outside = scores[~of_a_class].max(axis=1)
        figures["no_class"] = measure_threshold(about.threshold, targets, scores, outside)
    elif "no_class" in about.figures:
        figures["no_class"] = about.figures["no_class"]
    for pair in figures["confused"]:
        pair["examples"] = [
            getattr(records[place], "text", str(records[place].id)) if records else f"record {place}"
            for place in pair["examples"]
        ]
    return {"model": classifier.name, "weights": about.version, "source": source, "figures": figures}


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
