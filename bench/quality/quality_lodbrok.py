"""Lodbrok beside other classifiers of the same vectors: a part of `make bench-quality`.

In one go: the shipped original, and scikit-learn's logistic regression and gradient boosting, all fitted to the
training part of `sb-api bootstrap` and measured on the part that it holds out and uses for nothing. A threshold is
chosen for each on the calibration part, because Lodbrok's loss makes it more cautious than the others. On a stream of
verdicts: see `prequential.py`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from bench.figures import Figures, figure, tell
from bench.learning.prequential import bench_stream, signed_logarithms
from bench.shipped_parts import shipped_parts
from bench.speed.comparison import Judged, best_threshold, compare, f1, roc_auc
from sb_api.bootstrap.editors import EDITORS_AT_A_TIME, Parts
from sb_api.broker.connection import connect
from sb_api.broker.shared_state import Broker
from sb_api.config import load_settings
from sb_api.learning.trainer import Trainer
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.measures import recall_at_budget
from sb_api.processes.redis_server import embedded_redis
from sb_api.processes.supervisor import Stop

Matrix = npt.NDArray[np.float32]
Judge = Callable[[Matrix], npt.NDArray[np.floating[Any]]]  # vectors (n, length) -> P(spam) (n,)

# Without column 0: that is the verdict.
FEATURES = slice(1, 524)
MAIN, TOKENS, WORDS = (slice(start, end) for start, end in ((0, 9), (9, 11), (11, 523)))
QUICK_ROWS = 4000


def bench_lodbrok(quick: bool) -> Figures:
    """All figures of Lodbrok. With `quick`, beside models that learned from fewer rows, on a shorter stream."""
    with tempfile.TemporaryDirectory() as folder, open_trainer(Path(folder)) as trainer:
        tell(f"making {EDITORS_AT_A_TIME} editors")
        parts = shipped_parts(trainer)
        return [*bench_batch(trainer, parts, quick), *bench_stream(trainer, parts, quick)]


@contextmanager
def open_trainer(folder: Path) -> Iterator[Trainer]:
    """The service's trainer of Lodbrok, with the shipped original, a state directory and a Redis of its own."""
    settings = load_settings({}, state_dir=str(folder))
    with embedded_redis(settings, Stop()) as url:
        broker = Broker.of(connect(msgspec.structs.replace(settings, redis_url=url)), settings)
        yield Trainer(broker, CLASSIFIERS["lodbrok"])


def bench_batch(trainer: Trainer, parts: Parts, quick: bool) -> Figures:
    training = parts.training[:QUICK_ROWS] if quick else parts.training
    trainer.fitting.load(trainer.original)
    name_inputs = trainer.classifier.name_inputs
    judges: dict[str, Judge] = {"Lodbrok": lambda vectors: trainer.fitting.predict(name_inputs(vectors))[:, 1]}
    seconds = {}
    for name, fit in (("logistic regression", fit_logistic_regression), ("gradient boosting", fit_gradient_boosting)):
        tell(f"{name}: learning {len(training)} editors")
        start = time.process_time()
        judges[name] = fit(training)
        seconds[name] = time.process_time() - start
    targets = parts.test[:, 0].astype(int)
    budget = trainer.settings.fp_budget
    judged = {}
    for name, judge in judges.items():
        threshold = best_threshold(parts.calibration[:, 0].astype(int), judge(parts.calibration))
        judged[name] = Judged(judge(parts.test), threshold)
    tell("comparing")
    at_budget = f"recall at {budget:.2%} false positives"
    measures = {
        "ROC AUC": roc_auc,
        "F1": f1,
        at_budget: lambda targets, one: recall_at_budget(targets, one.scores, budget),
    }
    taken = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    tell(f"processor seconds of learning: {taken}")
    labels = {name: Judged(one.scores) for name, one in judged.items()}
    return [
        *compare("Lodbrok, held out", targets, judged, measures, np.arange(len(targets))[:, None]),
        *plain_labels(targets, labels, budget),
    ]


def plain_labels(targets: npt.NDArray[Any], judged: dict[str, Judged], budget: float) -> Figures:
    """What the label says, at one half for everyone, and the precision where the budget is spent."""
    rows: dict[str, Callable[[Judged], float]] = {
        "F1 of the label": lambda one: f1(targets, one),
        "false positives of the label": lambda one: float(one.flagged[targets == 0].mean()),
        f"precision at {budget:.2%} false positives": partial(precision_at_budget, targets, budget=budget),
    }
    figures = []
    for name, measure in rows.items():
        mine, *others = ((owner, measure(one)) for owner, one in judged.items())
        beside = ", ".join(f"{owner} {value:.4f}" for owner, value in others)
        figures.append(figure(f"Lodbrok, held out: {name}", mine[1], "share", beside))
    return figures


def precision_at_budget(targets: npt.NDArray[Any], judged: Judged, budget: float) -> float:
    """The precision at the lowest threshold which at most a share `budget` of the innocent rows exceeds."""
    innocent = np.sort(judged.scores[targets == 0])
    flagged = judged.scores > innocent[len(innocent) - 1 - int(budget * len(innocent))]
    return float(targets[flagged].mean()) if flagged.any() else 0.0


def fit_logistic_regression(training: Matrix) -> Judge:
    """With each number in the form that it is best in: main inputs as the network scales them, tokens one-hot."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (make_pipeline(FunctionTransformer(signed_logarithms), StandardScaler()), MAIN),
        (OneHotEncoder(handle_unknown="ignore"), TOKENS),
        (StandardScaler(with_mean=False), WORDS),
    )
    return fit_model(make_pipeline(columns, LogisticRegression(max_iter=1000)), training)


def fit_gradient_boosting(training: Matrix) -> Judge:
    """Trees take the numbers as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return fit_model(HistGradientBoostingClassifier(max_iter=200, early_stopping=False, random_state=0), training)


def fit_model(model: Any, training: Matrix) -> Judge:
    # On a busy machine threads that wait for each other take ten times as long as one.
    with threadpool_limits(1):
        model.fit(training[:, FEATURES], training[:, 0])
    return lambda vectors: model.predict_proba(vectors[:, FEATURES])[:, 1]  # type: ignore[no-any-return]
