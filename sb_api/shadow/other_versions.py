"""Versions of the weights that are not the current ones, for whoever asks what one of them says of an account."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sb_api.broker.shared_state import Broker
from sb_api.broker.staging import StagedWeights
from sb_api.errors import InvalidWeights, SbApiError, UnknownVersion
from sb_api.models.classifiers import find_classifier
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.shadow.judging import load_staged

logger = logging.getLogger(__name__)


class OtherVersions:
    """The versions that a classify process can judge by: the current ones, those that are staged, and those that this
    host has the files of.

    One of each classifier is kept at hand, the last that was asked for. `current` has what the process judges by, by
    classifier. Only one thread may use it.
    """

    def __init__(self, broker: Broker, current: Mapping[str, Predictor]) -> None:
        self.broker = broker
        self.staged = StagedWeights(broker.redis)
        self.current = current
        self._last: dict[str, Predictor] = {}

    def find(self, classifier: str, version: str) -> Predictor:
        """What judges by a version of a classifier.

        Raises UnknownVersion where it is none of those, InvalidWeights where it cannot be used, Unavailable where it
        needs a sentence encoder that is not here.
        """
        current = self.current[classifier]
        if current.version == version:
            return current
        if classifier not in self._last or self._last[classifier].version != version:
            self._last.pop(classifier, None)  # before: not two of them in memory
            try:
                self._last[classifier] = self._load(current, version)
            except SbApiError:
                raise
            except Exception as error:  # whatever they lead the engine to must not end the process
                logger.exception("the weights %s of %s cannot be judged by", version, classifier)
                raise InvalidWeights(f"The weights {version} cannot be used: {error!r}.") from error
        return self._last[classifier]

    def _load(self, current: Predictor, version: str) -> Predictor:
        name, encoder = current.classifier.name, current.vocabularies.encoder
        if self.staged.versions([name]).get(name, ("", 0.0))[0] == version:
            staged = self.staged.find(name)
            if staged is not None and staged.version == version:
                return load_staged(self.broker, staged, encoder)
        try:
            weights = WeightsStore.of(self.broker.settings, name).load_version(version)
        except UnknownVersion:
            raise UnknownVersion(
                f"The weights {version} are not on the host of the classify process that was asked; it has the current "
                f"and the staged ones, and those whose files it has. `sb-api weights stage {version}` gives them to "
                "every host."
            ) from None
        classifier = find_classifier(weights.about)
        vocabularies = current.vocabularies
        if vocabularies.fingerprint != weights.about.tokenizers or classifier.encoded != current.classifier.encoded:
            vocabularies = classifier.load_vocabularies(self.broker.settings)
        return Predictor(classifier, weights, vocabularies, self.broker.settings.engine)
