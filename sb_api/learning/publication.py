"""The current weights of a classifier, on this host and in Redis, where every other process finds them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from sb_api.arrays import Arrays
from sb_api.broker.shared_state import Published, Registry
from sb_api.errors import InvalidWeights, Unavailable
from sb_api.learning import quality
from sb_api.models.weights_file import Weights, dump_weights, name_state, parse_weights, split_state
from sb_api.models.weights_store import WeightsStore
from sb_api.telemetry.experiments import Run
from sb_api.text.tokenizers import Vocabularies
from sb_api.verdicts.log_schema import Event
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import Chain, EventKind

logger = logging.getLogger(__name__)


def find_missing_event(chain: Chain, events: Sequence[Event]) -> Event | None:
    """What the log does not know of: that the current weights took the place of what it knows to be current, the last
    of its `events`. A process that is killed between the two leaves that; None where nothing is missing."""
    about, original = chain.find("current"), chain.slots["original"]
    previous = events[-1].version if events else about.parent
    is_known = about.version in (previous, original) or "current" in chain.damaged
    if is_known or previous is None or (not events and previous != original):
        return None
    kind: EventKind = "replay" if about.parent == original != previous else "training"
    if about.version in {event.version for event in events}:
        kind = "rollback"
    moment = datetime.now(UTC) if kind == "rollback" else datetime.fromisoformat(about.created).astimezone(UTC)
    return Event(
        kind=kind,
        moment=moment.replace(tzinfo=None),
        version=about.version,
        previous=previous,
        learned=0 if kind == "rollback" else about.learned,
    )


def describe_run(kind: EventKind, current: Weights, previous: str, learned: int, seconds: float) -> Run:
    """How weights became the current ones in the place of the `previous`, for MLflow; no record is in it."""
    about = current.about
    return Run(
        kind,
        about.classifier,
        about.version,
        {
            "previous": previous,
            "parent": about.parent,
            "learned": learned,
            "architecture": about.architecture or about.classifier,
            "caution": about.caution,
            "temperature": about.temperature,
            "tokenizers": about.tokenizers,
        },
        about.figures,
        {"weights.h5": dump_weights(current)},
        seconds,
    )


def _parse_published(published: Published, state: bytes | None) -> Weights:
    """Published weights, with the state of their optimizer. Raises InvalidWeights."""
    source = f"the published weights {published.version}"
    weights = parse_weights(published.file, source)
    if not published.state:  # of before it was published apart
        return weights
    if state is None:
        raise InvalidWeights(f"The optimizer's state of {source} is not there.")
    return replace(weights, optimizer=parse_weights(state, f"the optimizer's state of {source}").optimizer)


class Publication:
    """Promotes weights: makes them current in the store of this host, and publishes them with all that goes with them.

    `version` is what is current and published. The quality of the published weights is that of the verdict log.
    """

    def __init__(
        self, registry: Registry, store: WeightsStore, vocabularies: Vocabularies, log: VerdictLog | None
    ) -> None:
        self.registry = registry
        self.store = store
        self.vocabularies = vocabularies
        self.log = log
        self.version = store.chain().slots["current"] or ""
        self._damaged: list[str] = []
        # An optimizer's state, and its name: of trainings of few verdicts it stays the same.
        self._state: tuple[Arrays, str] | None = None
        self._quality = b"{}"
        self.synchronize()

    @property
    def classifier(self) -> str:
        return self.store.classifier

    @property
    def labels(self) -> list[str]:
        """Those of the current weights."""
        chain = self.store.chain()
        return next(about.labels for about in chain.versions if about.version == chain.slots["current"])

    def promote(self, version: str) -> None:
        """Make a kept version current, here and for every other process. Raises UnknownVersion or InvalidWeights."""
        self._publish(self.store.promote(version))

    def synchronize(self) -> None:
        """Publish this host's current weights, unless another trainer has published later ones: then take those.

        Those published are the later ones when whoever published them knew ours and chose others (a training or a
        rollback), or when neither knows the other's and they were made later.
        """
        chain = self.store.chain()
        if self.registry.published_versions([self.classifier]).get(self.classifier) == self.version:
            if chain.damaged != self._damaged:
                self._mend(chain)
            return
        known = {about.version: about for about in chain.versions}
        newest = self.registry.published_with_state(self.classifier)
        if newest is not None:
            published, _ = newest
            theirs = msgspec.json.decode(published.chain, type=Chain).versions
            later = self.version in {about.version for about in theirs}
            if published.version not in known:
                weights = _parse_published(*newest)
                mine = known.get(self.version)
                later = later or mine is None or weights.about.created > mine.created
                if later:
                    self.store.save(weights)
            if later:
                self.store.promote(published.version)
        self._publish(self.store.load_current())
        self.publish_quality()

    def publish_quality(self) -> None:
        """Publish how right the weights have been on verdicts, as the log has it now."""
        try:
            self._quality = msgspec.json.encode(self._measure_quality())
        except Unavailable as error:
            logger.error("the published quality is not the latest: %s", error.detail)
        else:
            self.registry.publish_quality(self.classifier, self._quality)

    def _mend(self, chain: Chain) -> None:
        """Answer to a file of a slot that is damaged since, or no longer: a current one is restored from Redis."""
        newest = self.registry.published_with_state(self.classifier) if "current" in chain.damaged else None
        if newest is not None:
            try:
                weights = _parse_published(*newest)
                self.store.restore_current(weights)
                logger.error("the current weights file was damaged; it is %s again, from Redis", weights.about.version)
            except (InvalidWeights, OSError) as error:
                logger.error("the damaged file of the current weights cannot be restored: %s", error)
        self._publish(self.store.load_current())
        self.publish_quality()

    def _publish(self, current: Weights) -> None:
        """Publish the current weights, which do not wait for new figures on how right they are."""
        chain = self.store.chain()
        self.version = current.about.version
        self._damaged = chain.damaged
        stateless, state = split_state(current)
        if self._state is None or self._state[0] is not current.optimizer:
            self._state = current.optimizer, name_state(current)
        published = Published(
            version=self.version,
            file=dump_weights(stateless),
            vocabularies={name: vocabulary.to_json() for name, vocabulary in self.vocabularies.by_name.items()},
            chain=msgspec.json.encode(chain),
            quality=self._quality,
            state=self._state[1],
        )
        there = self.registry.published_state(self.classifier) == published.state
        self.registry.publish(self.classifier, published, None if there else dump_weights(state))

    def _measure_quality(self) -> dict[str, Any]:
        if self.log is None:
            return {"log": "off"}
        return quality.describe_log(self.log, self.labels)
