"""The bare model: what every answer of the service is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sb_api.config import load_settings
from sb_api.judgements import describe_answers
from sb_api.models.classifiers import find_classifier
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.records import Editor

ROUNDING = 1e-6  # of a score: sums of float32 depend on the size of the batch (and in predict.lua)


def load_model() -> Predictor:
    """Lodbrok with the shipped weights, in this process."""
    settings = load_settings({}, state_dir="/nonexistent")
    weights = WeightsStore.of(settings, "lodbrok").load("original")
    classifier = find_classifier(weights.about)
    return Predictor(classifier, weights, classifier.load_vocabularies(settings), settings.engine)


def parse_editors(records: Sequence[dict[str, Any]]) -> list[Editor]:
    return msgspec.convert(records, list[Editor])


def expect_answers(model: Predictor, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the service must answer to these editors in one request."""
    editors = parse_editors(records)
    return describe_answers(editors, model.describe(*model.judge(editors)))
