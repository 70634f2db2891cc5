"""What every peer serves: the network, preprocessing and answers of sb_api itself, without its queue and processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sb_api.config import load_settings
from sb_api.judgements import Judged, describe_answers
from sb_api.models.calibration import calibrated, name_bands
from sb_api.models.classifiers import find_classifier
from sb_api.models.engine import load_engine
from sb_api.models.weights_store import WeightsStore
from sb_api.records import Editor


class Lodbrok:
    """The classifier with its shipped weights."""

    def __init__(self) -> None:
        settings = load_settings({}, state_dir="/nonexistent")
        weights = WeightsStore.of(settings, "lodbrok").load("original")
        self.about = weights.about
        self.classifier = find_classifier(self.about)
        self.vocabularies = self.classifier.load_vocabularies(settings)
        load = load_engine("onnx", self.classifier, self.about.labels, self.vocabularies)
        self.predict = load(weights.arrays)

    def score(self, editors: Sequence[Editor]) -> Any:
        """Probabilities (n, 2) of n editors."""
        arrays = self.classifier.preprocess(editors, self.vocabularies)
        return calibrated(self.predict(arrays), self.about.temperature)

    def judge(self, groups: Sequence[Sequence[Editor]]) -> list[dict[str, Any]]:
        """One answer for each group of editors; all of them are judged in one call."""
        scores = self.score([editor for group in groups for editor in group])
        predictions, told = self.classifier.answer(scores, self.about.labels, self.about.threshold)
        bands = name_bands(scores[:, 1], self.about.borders)
        answers, start = [], 0
        for group in groups:
            part = slice(start, start + len(group))
            start = part.stop
            judged = Judged(self.about.version, predictions[part], told[part], {}, bands[part])
            answers.append(describe_answers(group, judged))
        return answers


def decode(records: Any) -> list[Editor]:
    """Editors out of plain JSON data."""
    return msgspec.convert(records, list[Editor])
