"""The staged weights of a classifier: in the store of this host, and in Redis, where every other process finds them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import redis

from sb_api.broker.shared_state import Published
from sb_api.broker.staging import Staged, StagedWeights
from sb_api.config import Settings
from sb_api.errors import InvalidParameter, InvalidWeights, NothingStaged, UnknownVersion
from sb_api.judgements import Labelled
from sb_api.models.classifiers import find_classifier
from sb_api.models.predictor import Predictor, parse_published
from sb_api.models.weights_file import Weights, dump_weights, named
from sb_api.models.weights_store import WeightsStore
from sb_api.text.tokenizers import TextEncoder
from sb_api.versions import Version

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)

REFERENCE = "reference.npz"  # among the files that go with staged weights; the others are vocabularies


class Staging:
    """Stages weights and drops them. The later of two that were staged on two hosts counts for both."""

    def __init__(self, client: redis.Redis, store: WeightsStore) -> None:
        self.weights = StagedWeights(client)
        self.store = store
        self._loaded: tuple[Weights, Predictor] | None = None
        # What the current and the staged version were last found to be worth on the reference set.
        self.measured: dict[tuple[str, str], Labelled] = {}

    @property
    def classifier(self) -> str:
        return self.store.classifier

    def synchronize(self) -> None:
        """Publish what is staged on this host, unless something was staged or dropped later elsewhere: then let go of
        it."""
        mine = self.store.staged_since()
        if mine is None:
            return
        _, since = self.weights.versions([self.classifier]).get(self.classifier, ("", 0.0))
        if mine == since:
            return
        try:
            if mine > since:
                self._publish(mine)
                return
        except (InvalidWeights, UnknownVersion) as error:
            if self.store.staged_since() == mine:
                logger.error("the staged weights of %s are let go of: %s", self.classifier, error.detail)
        # Nothing of what another process stages just now: that drops what there was, and writes the weights at the end.
        if self.store.staged_since() == mine:
            self.store.drop_staged()

    def find(self) -> Staged:
        """What is staged. Raises NothingStaged."""
        staged = self.weights.find(self.classifier)
        if staged is None:
            raise NothingStaged(f"No weights of {self.classifier} are staged; `sb-api weights stage` stages some.")
        return staged

    def version(self) -> str:
        """The version that is staged, on whatever host; "" for none."""
        version, _ = self.weights.versions([self.classifier]).get(self.classifier, ("", 0.0))
        return version

    def load(self, settings: Settings, encoder: TextEncoder | None) -> tuple[Weights, Predictor]:
        """The staged weights, and a predictor that judges by them. `encoder` is the one that is loaded already. Raises
        NothingStaged, InvalidWeights or Unavailable."""
        if self._loaded is None or self._loaded[1].version != self.version():
            self._loaded = None
            staged = self.find()
            published = Published(staged.version, staged.file, staged.vocabularies, b"", b"")
            weights, vocabularies = parse_published(published, settings.encoder, encoder)
            self._loaded = weights, Predictor(find_classifier(weights.about), weights, vocabularies)
        return self._loaded

    def stage(self, weights: Weights, files: Mapping[str, bytes]) -> Version:
        """Stage weights with their vocabularies and reference set."""
        self.store.stage(weights, files)
        self.synchronize()
        logger.info("the weights %s of %s are staged", weights.about.version, self.classifier)
        return weights.about

    def drop(self) -> None:
        """Stage nothing any more, on whatever host, but what was staged here since and is not published yet."""
        # Not before what is staged, should the clock have been set back since.
        _, since = self.weights.versions([self.classifier]).get(self.classifier, ("", 0.0))
        self._loaded = None
        if (self.store.staged_since() or 0.0) > since:
            self.synchronize()
            return
        self.weights.drop(self.classifier, max(time.time(), since + 0.001))
        self.store.drop_staged()

    def _publish(self, since: float) -> None:
        weights, files = self.store.load_staged()
        vocabularies = {name.removesuffix(".json"): files[name] for name in files if name != REFERENCE}
        staged = Staged(
            version=weights.about.version,
            since=since,
            about=msgspec.json.encode(weights.about),
            file=dump_weights(weights),
            vocabularies=vocabularies,
        )
        self.weights.publish(self.classifier, staged)


def stage_kept(trainer: Trainer, wanted: str) -> dict[str, Any]:
    """Stage a kept version, or what a slot has. Raises UnknownVersion, InvalidWeights, or InvalidParameter for what is
    current."""
    store = trainer.store
    weights = store.load_version(store.chain().resolve(wanted))
    refuse_current(store, weights.about)
    files = {f"{name}.json": one.to_json() for name, one in trainer.vocabularies.by_name.items()}
    files[REFERENCE] = trainer.settings.find(f"reference/{trainer.classifier.name}.npz").read_bytes()
    about = trainer.staging.stage(weights, files)
    return _describe(trainer, about.version, f"{about.version} is staged")


def drop_staged(trainer: Trainer, wanted: str) -> dict[str, Any]:
    """Stage nothing any more. Raises NothingStaged, also where other weights are staged than `wanted`, if any is."""
    version = trainer.staging.find().version
    if wanted not in ("", version):
        raise NothingStaged(f"{wanted[:40]!r} is not what is staged: that is {version}. Nothing was changed.")
    trainer.staging.drop()
    return _describe(trainer, version, f"{version} is no longer staged")


def _describe(trainer: Trainer, version: str, response: str) -> dict[str, Any]:
    current = trainer.publication.version
    return {"response": response, "staged": version, "weights": {"version": current, "previous": current}}


def refuse_current(store: WeightsStore, about: Version) -> None:
    """Raises InvalidParameter for what is current."""
    if about.version == store.load_current().about.version:
        raise InvalidParameter(f"{about.version} is current; there is nothing to compare it with.")


def adopt(store: WeightsStore, weights: Weights) -> Weights:
    """Weights from elsewhere as a version of this chain, or as they are where it has them.

    Such that take the same numbers of records as those in use come from the original, as far as verdicts are concerned:
    they have learned none of the log. Raises InvalidWeights for what this release has no network of.
    """
    find_classifier(weights.about)
    chain = store.chain()
    if weights.about.version in {about.version for about in chain.versions}:
        return weights
    original = chain.find("original")
    parent = original.version if weights.about.takes_the_same(original) else None
    about = msgspec.structs.replace(weights.about, parent=parent, task=None)
    return named(Weights(about, weights.arrays, weights.optimizer), 1 + max(one.number for one in chain.versions))
