"""`sb_api.load()`: a classifier that judges in the process that asks, and answers what the service would answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec

from sb_api.client import protocol
from sb_api.client.batching import ROWS, batches
from sb_api.client.rows import Fault, Judgement, judge_rows, shifted
from sb_api.config import load_settings
from sb_api.errors import InvalidParameter, InvalidSettings, InvalidWeights, SbApiError, UnknownVersion
from sb_api.json_bodies import decode_sound
from sb_api.judgements import Judged, answer_body
from sb_api.models.classifiers import CLASSIFIERS, Classifier, find_classifier
from sb_api.models.predictor import Predictor, parse_published
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from sb_api.records import find_record_type
from sb_api.text.tokenizers import Vocabularies

URLS = ("redis://", "rediss://", "unix://", "redis+sentinel://")
# One thread judges at a time, and none while the process is forked: a lock of the engine that another thread holds at
# that moment would never be let go in the child.
_JUDGING = threading.RLock()
os.register_at_fork(before=_JUDGING.acquire, after_in_parent=_JUDGING.release, after_in_child=_JUDGING.release)


@dataclass(frozen=True)
class Reference:
    """What a judge is made of, by name: the classifier, where its weights are (a state directory, an artefact's, or the
    URL of a Redis), and which version they are."""

    model: str
    source: str = field(repr=False)  # a URL may hold a password
    version: str


@dataclass(frozen=True)
class Judge:
    """Loaded weights as a function of records. Several threads and forked processes may use it; pickled, it is the
    reference alone (with the password, if it is a URL that has one), and loads the same version again where it is
    unpickled."""

    reference: Reference
    _predictor: Predictor = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return self.reference.version

    def __call__(self, records: Iterable[Any], *, explain: bool = False) -> list[Judgement | Fault]:
        """The judgements of records, in order. A record is a mapping, a msgspec struct, or JSON as bytes; a wrong one
        comes out as a Fault with its place. Raises InvalidParameter for what is no iterable of records."""
        if isinstance(records, (str, bytes, Mapping, msgspec.Struct)) or not isinstance(records, Iterable):
            raise InvalidParameter(f"Give a list of records, not one {type(records).__name__}: judge([record]).")
        if hasattr(records, "columns") and hasattr(records, "to_dict"):
            raise InvalidParameter("Give the rows of a data frame as records: judge(frame.to_dict('records')).")
        outcomes: list[Judgement | Fault] = []
        for rows in batches(records, ROWS):
            outcomes += [shifted(outcome, len(outcomes)) for outcome in self.judge_rows(rows, explain=explain)]
        return outcomes

    def judge_rows(self, rows: Sequence[bytes], *, explain: bool = False) -> list[Judgement | Fault]:
        """As the client's `judge_rows`: n rows, each the JSON of one record; n outcomes, in order."""
        sound = None if explain else self._judge_sound(rows)
        if sound is not None:
            return sound
        steps = judge_rows(rows, self.reference.model, explain)
        reply: protocol.Reply | None = None
        while not isinstance(step := protocol.go_on(steps, reply), protocol.Done):
            # Pauses come of answers that a busy service gives alone.
            reply = self._reply(step, explain) if isinstance(step, protocol.Request) else None
        return step.answer

    def _judge_sound(self, rows: Sequence[bytes]) -> list[Judgement | Fault] | None:
        """The judgements of n rows, without the detour over what a service would answer; None where there is anything
        to be said of one of them."""
        records = decode_sound(rows, find_record_type(self.reference.model).record)
        if not records:
            return None
        with _JUDGING:
            scores, errors = self._predictor.judge(records)
            judged = self._predictor.describe(scores, errors)
        if errors:
            return None
        bands: Sequence[str | None] = judged.bands or [None] * len(records)
        ids = [record.id for record in records]
        return [*map(Judgement, ids, judged.predictions, judged.scores, bands, repeat(judged.version))]

    def _reply(self, request: protocol.Request, explain: bool) -> protocol.Reply:
        """What the service would answer: the protocol's steps are the same, so that outcomes are."""

        def judge(records: Sequence[Any]) -> Judged:
            scores, errors = self._predictor.judge(records)
            judged = self._predictor.describe(scores, errors)
            reasons = self._predictor.explain(records) if explain and not errors else []
            return msgspec.structs.replace(judged, reasons=reasons)

        body = request.body or b""
        record_type = find_record_type(self.reference.model)
        try:
            with _JUDGING:
                answer = answer_body(body, record_type, len(body), judge, partial=True)
        except SbApiError as error:
            return protocol.Reply(error.status, {}, msgspec.json.encode(error.problem()))
        return protocol.Reply(200, {}, msgspec.json.encode(answer))

    def __reduce__(self) -> tuple[Callable[..., Judge], tuple[str, str, str]]:
        return load, (self.reference.model, self.reference.source, self.reference.version)


def load(model: str = "lodbrok", source: str | Path | None = None, version: str | None = None) -> Judge:
    """A classifier ("lodbrok" for editors, "intent" or "sentiment" for messages) with the weights of `source`: a state
    directory, that of an artefact, or the URL of the Redis they are published in; this host's state directory by
    default.

    Of a state directory `version` may be any that is kept; elsewhere it is the one that must be there. Raises
    InvalidParameter for a classifier that does not exist, InvalidSettings for a source that is none, UnknownVersion,
    InvalidWeights, Unavailable.
    """
    find_record_type(str(model))
    classifier = CLASSIFIERS[model]
    place = str(source if source is not None else load_settings().state)
    if not place.startswith(URLS):
        # With a version, as of a pickle, no other weights can be taken.
        if source is not None and version is None and not Path(place).exists():
            raise InvalidSettings(f"{place} is not there; name a state directory, an artefact's, or a Redis URL.")
        place = str(Path(place).absolute())  # it may be unpickled in another directory
    weights, vocabularies = _read(classifier, place, None if version is None else str(version))
    if version is not None and weights.about.version != version:
        raise UnknownVersion(f"The weights in {_named(place)} are {weights.about.version} by now, not {version}.")
    return Judge(Reference(model, place, weights.about.version), Predictor(classifier, weights, vocabularies))


def _named(place: str) -> str:
    """A source without the password that a URL may hold."""
    return "Redis" if place.startswith(URLS) else place


def _read(classifier: Classifier, place: str, version: str | None) -> tuple[Weights, Vocabularies]:
    if place.startswith(URLS):
        return _read_published(classifier, place)
    folder = Path(place)
    if (folder / "manifest.json").exists():
        return _read_artefact(classifier, folder)
    if folder.exists() and not folder.is_dir():
        raise InvalidSettings(f"{folder} is no directory; name a state directory, an artefact's, or a Redis URL.")
    settings = load_settings({}, state_dir=str(folder), encoder=load_settings().encoder)
    store = WeightsStore.of(settings, classifier.name)
    weights = store.load_version(version) if version else store.load_current()
    return weights, find_classifier(weights.about).load_vocabularies(settings)


def _read_artefact(classifier: Classifier, folder: Path) -> tuple[Weights, Vocabularies]:
    from sb_api.bootstrap.artefacts import read_artefact

    artefact = read_artefact(folder, load_settings().encoder, to_train=False)
    if artefact.manifest.model != classifier.name:
        raise InvalidWeights(f"{folder} is an artefact of {artefact.manifest.model}, not of {classifier.name}.")
    return artefact.weights, artefact.vocabularies


def _read_published(classifier: Classifier, url: str) -> tuple[Weights, Vocabularies]:
    from sb_api.broker.connection import connect, unavailable_when_lost
    from sb_api.broker.shared_state import Broker

    settings = load_settings({}, redis_url=url, encoder=load_settings().encoder)
    client = connect(settings)
    try:
        with unavailable_when_lost():
            published = Broker.of(client, settings).registry.published(classifier.name)
    finally:
        client.close()
    if published is None:
        raise UnknownVersion(f"No weights of {classifier.name} are published there; `sb-api trainer` publishes them.")
    return parse_published(published, settings.encoder)
