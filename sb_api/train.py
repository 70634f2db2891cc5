"""The train process: verdicts -> candidate -> current weights; and back again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import cos, pi
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api import networks
from sb_api.classifiers import CLASSIFIERS, Classifier
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, JobFailed
from sb_api.jobs import TRAIN, Answer, Claim, Jobs, Published, connect
from sb_api.networks import Arrays, Predict
from sb_api.records import decode_payload
from sb_api.tokenizers import Vocabularies
from sb_api.weights import Chain, Version, Weights, WeightsStore, dump_weights, parse_weights, version_name
from sb_api.worker import Worker

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

Targets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted: Adam at `learning_rate`, `batch_size` rows a step, `epochs` times over the rows.

    Along half a cosine over the epochs the learning rate falls to a share `final` of itself.
    """

    learning_rate: float = 0.001
    batch_size: int = 1
    epochs: int = 2
    final: float = 1.0

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.learning_rate * (self.final + (1 - self.final) * (1 + cos(pi * epoch / self.epochs)) / 2)


RETRAINING = Recipe()


class Fitting:
    """A network with its optimizer and one compiled training loop; traced once, used for every training."""

    def __init__(
        self,
        classifier: Classifier,
        labels: Sequence[str],
        vocabularies: Vocabularies,
        recipe: Recipe = RETRAINING,
    ) -> None:
        self.recipe = recipe
        self.labels = labels
        # The same first numbers in every process, or the same seed would not give the same weights.
        networks.import_keras().utils.set_random_seed(0)
        self.network: keras.Model = classifier.build(labels, vocabularies)
        self.optimizer: Any = networks.import_keras().optimizers.Adam(recipe.learning_rate, name="adam")
        # An optimizer that is not built takes loaded moments without a word and starts from zero.
        self.optimizer.build(self.network.trainable_variables)
        self.predict: Predict = networks.compile_predict(self.network)
        self._epoch = _compile_epoch(self.network, self.optimizer)

    def load(self, weights: Weights) -> None:
        """Continue from `weights` and the optimizer state in them. Raises InvalidWeights."""
        networks.set_arrays(self.network, weights.arrays)
        networks.assign_all(self.optimizer.variables, weights.optimizer, "the optimizer")
        self.optimizer.learning_rate.assign(self.recipe.learning_rate)

    def fit(self, arrays: Arrays, targets: Targets, seed: int, progress: Callable[[int], None] | None = None) -> None:
        """Train on n rows in an order, and with dropout, that follow from `seed` alone.

        Loss: categorical cross-entropy. `progress` is called with the number of rows after each epoch.
        """
        for number, variable in enumerate(v for v in self.network.variables if "seed_generator" in v.path):
            variable.assign([seed % 2**31, number])
        random = np.random.default_rng(seed)
        for epoch in range(self.recipe.epochs):
            self.optimizer.learning_rate.assign(self.recipe.rate(epoch))
            order = random.permutation(len(targets))
            self._epoch({name: array[order] for name, array in arrays.items()}, targets[order], self.recipe.batch_size)
            if progress:
                progress(len(targets))

    def snapshot(self, about: Version) -> Weights:
        """Copies of what the network and its optimizer are now."""
        optimizer = {variable.path: np.array(variable.value.numpy()) for variable in self.optimizer.variables}
        return Weights(about, networks.get_arrays(self.network), optimizer)


def _compile_epoch(network: keras.Model, optimizer: Any) -> Callable[[Arrays, Targets, int], None]:
    import keras
    import tensorflow

    variables = network.trainable_variables
    signature = [
        {name: tensorflow.TensorSpec((None, *t.shape[1:]), t.dtype) for name, t in network.input.items()},
        tensorflow.TensorSpec((None,), tensorflow.int64),
        tensorflow.TensorSpec((), tensorflow.int32),
    ]

    def step(inputs: Any, targets: Any) -> None:
        with tensorflow.GradientTape() as tape:
            probabilities = network(inputs, training=True)
            if probabilities.shape.rank == 3:  # of members that each learn for themselves
                targets = tensorflow.repeat(targets[:, None], probabilities.shape[1], axis=1)
            loss = tensorflow.reduce_mean(keras.losses.sparse_categorical_crossentropy(targets, probabilities))
        optimizer.apply(tape.gradient(loss, variables), variables)

    # One compiled loop instead of a call per step: with one row a step, the calls would cost more than the steps.
    @tensorflow.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def epoch(inputs: Any, targets: Any, batch_size: Any) -> None:
        for start in tensorflow.range(0, tensorflow.shape(targets)[0], batch_size):
            end = start + batch_size
            step({name: tensor[start:end] for name, tensor in inputs.items()}, targets[start:end])

    return lambda arrays, targets, batch_size: epoch(dict(arrays), targets, np.int32(batch_size))


@dataclass(frozen=True)
class Reference:
    """Records with known targets that no training sees: what every version is measured on."""

    arrays: Arrays
    targets: Targets


def load_reference(path: Path, classifier: Classifier) -> Reference:
    """The shipped reference set. Raises InvalidWeights when it is missing or damaged."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            vectors = file["vectors"].astype(np.float32)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InvalidWeights(f"The reference set {path} cannot be read: {error}.") from None
    return Reference(classifier.name_inputs(vectors), vectors[:, 0].astype(np.int64))


def retrain_model(
    fitting: Fitting,
    classifier: Classifier,
    current: Weights,
    arrays: Arrays,
    targets: Targets,
    reference: Reference,
    *,
    number: int,
    task: str | None = None,
    now: datetime | None = None,
) -> Weights:
    """A candidate: `current`, its optimizer state carried on, fine-tuned on n records and their targets.

    Its figures are those on the records before and after learning them, and on the reference set. `number` is its
    number in the chain, and the seed. Nothing is stored.
    """
    labels = current.about.labels
    fitting.load(current)
    before = classifier.score(targets, fitting.predict(arrays), labels)
    fitting.fit(arrays, targets, seed=number)
    after = classifier.score(targets, fitting.predict(arrays), labels)
    on_reference = classifier.score(reference.targets, fitting.predict(reference.arrays), labels)
    figures = {"before": before, "after": after, "reference": on_reference}
    if "threshold" in current.about.figures:
        figures["threshold"] = current.about.figures["threshold"]
    about = Version(
        classifier=classifier.name,
        version="",
        parent=current.about.version,
        created=(now or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        tokenizers=current.about.tokenizers,
        labels=labels,
        task=task,
        learned=len(targets),
        figures=figures,
    )
    return named(fitting.snapshot(about), number)


def named(weights: Weights, number: int) -> Weights:
    """`weights` under the version name that follows from their number in the chain and their content."""
    version = version_name(number, weights.arrays)
    return replace(weights, about=msgspec.structs.replace(weights.about, version=version))


class Trainer:
    """A classifier's weights on this host, and the fitting that makes new ones."""

    def __init__(self, jobs: Jobs, classifier: Classifier) -> None:
        settings = jobs.settings
        self.jobs = jobs
        self.classifier = classifier
        self.store = WeightsStore.of(settings, classifier.name)
        self.store.clean()
        self.vocabularies: Vocabularies = classifier.load_vocabularies(settings)
        self.version = self.store.chain().slots["current"] or ""
        self.synchronize()
        self.reference = load_reference(settings.find(f"reference/{classifier.name}.npz"), classifier)
        current = self.store.load_current()
        self.fitting = Fitting(classifier, current.about.labels, self.vocabularies)
        self._warm_up(current)

    def _warm_up(self, current: Weights) -> None:
        """Trace the training loop, which takes seconds, before the first verdicts wait for it."""
        self.fitting.load(current)
        one = {name: array[:1] for name, array in self.reference.arrays.items()}
        self.fitting.fit(one, self.reference.targets[:1], seed=0)

    def synchronize(self) -> None:
        """Publish this host's current weights, unless another trainer has published later ones: then take those.

        Those published are the later ones when whoever published them knew ours and chose others (a training or a
        rollback), or when neither knows the other's and they were made later.
        """
        published = self.jobs.published_version(self.classifier.name)
        if published == self.version:
            return
        known = {about.version: about for about in self.store.chain().versions}
        newest = self.jobs.published(self.classifier.name)
        if newest is not None:
            theirs = msgspec.json.decode(newest.chain, type=Chain).versions
            later = self.version in {about.version for about in theirs}
            if newest.version not in known:
                weights = parse_weights(newest.file, f"the published weights {newest.version}")
                mine = known.get(self.version)
                later = later or mine is None or weights.about.created > mine.created
                if later:
                    self.store.save(weights)
            if later:
                self._promote(newest.version)
                return
        self._publish()

    def _promote(self, version: str) -> None:
        self.store.promote(version)
        self._publish()

    def _publish(self) -> None:
        current = self.store.load_current()
        self.version = current.about.version
        documents = {name: vocabulary.to_json() for name, vocabulary in self.vocabularies.by_name.items()}
        chain = msgspec.json.encode(self.store.chain())
        self.jobs.publish(self.classifier.name, Published(self.version, dump_weights(current), documents, chain))

    def train(self, task: str, verdicts: Sequence[Any], check: Callable[[], None]) -> dict[str, Any]:
        """Learn from verdicts and promote what came of it. `check` raises when this process may no longer.

        A task that was learned before its process died is not learned twice.
        """
        chain = self.store.chain()
        learned = next((about for about in chain.versions if about.task == task), None)
        if learned is None:
            current = self.store.load_current()
            candidate = retrain_model(
                self.fitting,
                self.classifier,
                current,
                self.classifier.preprocess(verdicts, self.vocabularies),
                np.array([self.classifier.target(verdict, current.about.labels) for verdict in verdicts], np.int64),
                self.reference,
                number=1 + max(about.number for about in chain.versions),
                task=task,
            )
            check()
            self.store.save(candidate)
            learned = candidate.about
        if learned.parent == self.store.chain().slots["current"]:
            check()
            self._promote(learned.version)
            logger.info("learned %d verdicts; the current weights are %s", learned.learned, learned.version)
        return {
            "learned": learned.learned,
            "weights": {"version": learned.version, "previous": learned.parent},
            **learned.figures,
        }

    def roll_back(self, to: str, check: Callable[[], None]) -> dict[str, Any]:
        """Make the weights `to`, a slot or a version, current. Raises UnknownVersion."""
        version = self.store.chain().resolve(to)
        previous = self.version
        check()
        self._promote(version)
        logger.info("rolled back from %s to %s", previous, version)
        return {"weights": {"version": version, "previous": previous}}


def do_job(trainers: dict[str, Trainer], worker: Worker, claim: Claim) -> Answer:
    """Train or roll back, as the job says. Raises SbApiError when it cannot be done; then nothing has changed."""
    job = claim.job
    trainer = trainers.get(job.classifier)
    if trainer is None:
        raise JobFailed(f"There is no classifier {job.classifier!r}.")
    with worker.alone(f"train:{job.classifier}") as check:
        trainer.synchronize()
        if job.operation == "train":
            verdicts = decode_payload(job.body, list[trainer.classifier.verdict])  # type: ignore[name-defined]
            return Answer(status="completed", data=trainer.train(job.task, verdicts, check))
        return Answer(status="completed", data=trainer.roll_back(decode_payload(job.body, str), check))


def train_process(settings: Settings) -> None:
    """Train and roll back, one job at a time, until told to stop."""
    jobs = Jobs(connect(settings), settings)
    trainers: dict[str, Trainer] = {}

    def refresh() -> dict[str, str]:
        for name, classifier in CLASSIFIERS.items():
            if name in trainers:
                trainers[name].synchronize()
            else:
                trainers[name] = Trainer(jobs, classifier)
        return {name: trainer.version for name, trainer in trainers.items()}

    worker = Worker(
        jobs,
        "train",
        [TRAIN],
        do=lambda claims: [do_job(trainers, worker, claim) for claim in claims],
        refresh=refresh,
        ordered=True,
    )
    worker.run_process()
