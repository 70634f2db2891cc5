"""Lodbrok beside river's online classifiers on one stream of verdicts: each judges a batch, then learns it.

The stream drifts: every few batches a campaign begins that nobody has seen, and an older one ends; half of each batch
are innocent. Lodbrok learns through the service's own `Trainer`, with verdict log, replay, guard, calibration and
promotion, from the shipped original; its scores are those that the trainer wrote into the verdict log before learning.
The others have learned the training part of `sb-api bootstrap` before: logistic regression all of it, the forest as
many rows as it is fast enough for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import count
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bench.figures import Figures, figure, tell
from bench.speed.comparison import Judged, best_threshold, compare, f1, roc_auc
from sb_api.bootstrap.editors import LOG_UNITS, Parts
from sb_api.bootstrap.originals import to_verdicts
from sb_api.errors import TrainingRefused
from sb_api.learning.trainer import Trainer
from sb_api.models.calibration import calibrated
from sb_api.preprocessing import VECTOR_LENGTH
from sb_api.records import Verdict
from sb_api.synthetic.editors import CAMPAIGNS, generate_campaign, generate_editors

SEEDS, QUICK_SEEDS = (41, 42), (41,)
BATCHES, QUICK_BATCHES = 60, 8
EVERY, ACTIVE, PER_CAMPAIGN = 6, 2, 3  # a campaign begins every 6 batches and lasts 12, with 3 accounts in each
KNOWN, INNOCENT = 4, 10  # of a batch: spam such as the original has seen, and editors
BATCH = ACTIVE * PER_CAMPAIGN + KNOWN + INNOCENT
FOREST_ROWS, FOREST_WORDS, QUICK_ROWS = 6000, 30, 500
CHECKED_ROWS = 1500  # of the calibration part, to choose thresholds on
MAIN_NAMES = [f"main {place}" for place in range(9)]

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating[Any]]
Features = dict[str, float]
Learner = Callable[[Sequence[Verdict], Matrix], Scores]  # verdicts and their vectors -> P(spam), said before learning


def bench_stream(trainer: Trainer, parts: Parts, quick: bool) -> Figures:
    seeds, batches = (QUICK_SEEDS, QUICK_BATCHES) if quick else (SEEDS, BATCHES)
    checked = parts.calibration[:: -(-len(parts.calibration) // CHECKED_ROWS)]
    known = checked[:, 0].astype(int)
    random = np.random.default_rng(0)
    shuffled = parts.training[random.permutation(len(parts.training))]
    fitted = {
        "river logistic regression": fit_logistic_regression(shuffled[:QUICK_ROWS] if quick else shuffled),
        "river adaptive forest": fit_forest(shuffled[: QUICK_ROWS if quick else FOREST_ROWS]),
    }
    trainer.warm_up()
    thresholds = {"Lodbrok": best_threshold(known, score_original(trainer, checked))}
    for name, (model, features) in fitted.items():
        thresholds[name] = best_threshold(known, predict(model, list(features(checked))))

    scores: dict[str, list[Scores]] = {name: [] for name in thresholds}
    seconds = dict.fromkeys(thresholds, 0.0)
    unlearned, targets = [], []
    refused = 0
    for seed in seeds:
        lodbrok = LodbrokLearner(trainer)
        learners: dict[str, Learner] = {"Lodbrok": lodbrok}
        learners |= {name: river_learner(deepcopy(model), features) for name, (model, features) in fitted.items()}
        for number, verdicts in enumerate(make_stream(seed, batches), start=1):
            vectors = trainer.classifier.vectors(verdicts, trainer.vocabularies)
            unlearned.append(score_original(trainer, vectors))
            targets.append(vectors[:, 0].astype(int))
            for name, learn in learners.items():
                start = time.process_time()
                scores[name].append(learn(verdicts, vectors))
                seconds[name] += time.process_time() - start
            if number % 10 == 0:
                tell(f"stream {seed}: {number} of {batches} batches")
        refused += lodbrok.refused

    blocks = np.arange(len(targets) * BATCH).reshape(-1, BATCH)
    truth = np.concatenate(targets)
    judged = {name: Judged(np.concatenate(parts), thresholds[name]) for name, parts in scores.items()}
    original = Judged(np.concatenate(unlearned), thresholds["Lodbrok"])
    labels = {name: f1(truth, Judged(one.scores)) for name, one in judged.items()}
    milliseconds = {name: 1000 * taken / len(truth) for name, taken in seconds.items()}
    prefix = "Lodbrok, stream"
    return [
        *compare(prefix, truth, judged, {"ROC AUC": roc_auc, "F1": f1}, blocks),
        figure(f"{prefix}: F1 of the label", labels.pop("Lodbrok"), "share", beside(labels)),
        figure(f"{prefix}: ROC AUC of the original", roc_auc(truth, original), "share", "learns nothing"),
        figure(f"{prefix}: F1 of the original", f1(truth, original), "share", "learns nothing"),
        figure(f"{prefix}: trainings refused", refused, "trainings", f"of {len(targets)}"),
        figure(
            f"{prefix}: processor time of a verdict", milliseconds.pop("Lodbrok"), "ms", beside(milliseconds, digits=1)
        ),
    ]


def beside(values: dict[str, float], digits: int = 4) -> str:
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def make_stream(seed: int, batches: int) -> Iterator[list[Verdict]]:
    """Batches of twenty verdicts in random order, all right, with an id of its own for each account."""
    random = np.random.default_rng(seed)
    innocent = to_verdicts(list(generate_editors(INNOCENT * batches, 10_000 + seed, 0.0)))
    known = to_verdicts(list(generate_editors(KNOWN * batches, 20_000 + seed, 1.0)))
    accounts = ACTIVE * EVERY * PER_CAMPAIGN
    starts = range(-(ACTIVE - 1), -(-batches // EVERY))
    order = random.permutation(len(CAMPAIGNS))
    campaigns = {
        start: to_verdicts(list(generate_campaign(int(order[place % len(order)]), accounts, seed + place)))
        for place, start in enumerate(starts)
    }
    ids = count()
    for number in range(batches):
        batch = innocent[INNOCENT * number :][:INNOCENT] + known[KNOWN * number :][:KNOWN]
        for start in range(number // EVERY - ACTIVE + 1, number // EVERY + 1):
            batch += campaigns[start][PER_CAMPAIGN * (number - EVERY * start) :][:PER_CAMPAIGN]
        yield [msgspec.structs.replace(batch[place], id=next(ids)) for place in random.permutation(len(batch))]


class LodbrokLearner:
    """The service's trainer, from the original on; what the guard refuses is not learned."""

    def __init__(self, trainer: Trainer) -> None:
        log = trainer.intake.log
        assert log is not None
        log.purge([row.number for row in log.find()], {})
        trainer.roll_back("original", proceed)
        trainer.store.install_original(trainer.original)
        self.trainer, self.refused, self._tasks = trainer, 0, count()

    def __call__(self, verdicts: Sequence[Verdict], _: Matrix) -> Scores:
        task = f"task {next(self._tasks)}"
        try:
            self.trainer.train(task, verdicts, proceed)
        except TrainingRefused:
            self.refused += 1
        log = self.trainer.intake.log
        assert log is not None
        # The log holds the score of the verdict's own label.
        said = {row.record: row.score if row.label else 1 - row.score for row in log.of_task(task)}
        return np.array([said[str(verdict.id)] for verdict in verdicts])


def proceed() -> None:
    """A lease that is never lost."""


def score_original(trainer: Trainer, vectors: Matrix) -> Scores:
    trainer.fitting.load(trainer.original)
    scores = trainer.fitting.predict(trainer.classifier.name_inputs(vectors))
    return calibrated(scores, trainer.original.about.temperature)[:, 1]


def river_learner(model: Any, features: Callable[[Matrix], Iterator[Features]]) -> Learner:
    def learn(_: Sequence[Verdict], vectors: Matrix) -> Scores:
        rows = list(features(vectors))
        scores = predict(model, rows)
        for row, verdict in zip(rows, vectors[:, 0], strict=True):
            model.learn_one(row, bool(verdict))
        return scores

    return learn


def predict(model: Any, rows: Sequence[Features]) -> Scores:
    return np.array([model.predict_proba_one(row).get(True, 0.0) for row in rows])


def fit_logistic_regression(vectors: Matrix) -> tuple[Any, Callable[[Matrix], Iterator[Features]]]:
    """Of river's optimizers AdaGrad served it best; tokens are one-hot, and words that do not occur are left out."""
    from river import compose, linear_model, optim, preprocessing

    main = compose.Select(*MAIN_NAMES) | preprocessing.StandardScaler()
    model = (main + compose.Discard(*MAIN_NAMES)) | linear_model.LogisticRegression(optim.AdaGrad(0.1))
    return fit_model("river logistic regression", model, vectors, sparse_features)


def fit_forest(vectors: Matrix) -> tuple[Any, Callable[[Matrix], Iterator[Features]]]:
    from river import forest  # takes seconds to load

    model = forest.ARFClassifier(n_models=10, seed=1)
    return fit_model("river adaptive forest", model, vectors, dense_features)


def fit_model(
    name: str, model: Any, vectors: Matrix, features: Callable[[Matrix], Iterator[Features]]
) -> tuple[Any, Callable[[Matrix], Iterator[Features]]]:
    tell(f"{name}: learning {len(vectors)} editors")
    for row, verdict in zip(features(vectors), vectors[:, 0], strict=True):
        model.learn_one(row, bool(verdict))
    return model, features


def sparse_features(vectors: Matrix) -> Iterator[Features]:
    for numbers, vector in zip(signed_logarithms(vectors[:, 1:10]).tolist(), vectors, strict=True):
        words = {f"word {place}": float(vector[12 + place]) for place in np.flatnonzero(vector[12:VECTOR_LENGTH])}
        tokens = {f"email {int(vector[10])}": 1.0, f"website {int(vector[11])}": 1.0}
        yield dict(zip(MAIN_NAMES, numbers, strict=True)) | tokens | words


def dense_features(vectors: Matrix) -> Iterator[Features]:
    """Main inputs, tokens, and the most common words: what a forest of Python objects can hold."""
    names = [*MAIN_NAMES, "email", "website", *(f"word {place}" for place in range(FOREST_WORDS + 1))]
    for row in vectors[:, 1 : 13 + FOREST_WORDS].tolist():
        yield dict(zip(names, row, strict=True))


def signed_logarithms(main: Matrix) -> Matrix:
    """The main inputs (n, 9) as the network's scaling takes them, before it normalizes them."""
    return np.where(LOG_UNITS > 0, np.sign(main) * np.log1p(LOG_UNITS * np.abs(main)), main)
