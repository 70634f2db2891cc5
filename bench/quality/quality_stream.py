"""Verdicts on somebody's own accounts, one batch after the other, from the shipped weights: a part of
`make bench-quality`.

The accounts are the stand-in of `quality_own`, which the shipped weights were not made for: text messages on invented
accounts, which tell nothing; and whole profiles by one who had read nothing of the generator, of which fields and dates
tell something too, as those of people do (`profiles.jsonl`). Each batch of twenty is judged before it is learned: by
Lodbrok, through the service's own `Trainer`, and by two that start from nothing and see words and characters of bio,
website and area: river's logistic regression, and scikit-learn's `SGDClassifier` by `partial_fit` on hashed ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from river import feature_extraction, linear_model, optim
from scipy.sparse import hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score

from bench.figures import Figures, figure, tell
from bench.learning.prequential import LodbrokLearner
from bench.quality.quality_lodbrok import open_trainer
from bench.quality.quality_own import ACCOUNTS, halve, make_accounts, read_labelled_sms, targets_of, text_of
from bench.quality.quality_real import read_profiles
from sb_api.bootstrap.originals import to_verdicts
from sb_api.learning.trainer import Trainer
from sb_api.synthetic.editors import SyntheticEditor

VERDICTS, QUICK_VERDICTS, BATCH = 600, 60, 20
SEEDS = (7, 8, 9, 10)  # whose first halves the verdicts are of; 1 to 6 were looked at while this was worked out

Scores = npt.NDArray[np.float64]
Batches = list[Sequence[SyntheticEditor]]


def bench_streams(quick: bool) -> Figures:
    """Means over the streams of either kind of accounts; one of each, and a short one, with `quick`."""
    own = make_accounts(read_labelled_sms(), ACCOUNTS)
    profiles = read_profiles()
    orders = [np.random.default_rng(seed).permutation(len(profiles)) for seed in SEEDS]
    streams = {
        "Own accounts": [halve(own, seed)[0][:VERDICTS] for seed in SEEDS],
        "Profiles of one who knew nothing of them": [[profiles[place] for place in order] for order in orders],
    }
    figures = []
    with tempfile.TemporaryDirectory() as folder, open_trainer(Path(folder)) as trainer:
        trainer.warm_up()
        for name, of_kind in streams.items():
            chosen = [of_kind[0][:QUICK_VERDICTS]] if quick else of_kind
            figures += measure_streams(f"{name}, stream of {len(chosen[0])} verdicts", chosen, trainer)
    return figures


def measure_streams(name: str, streams: Sequence[Sequence[SyntheticEditor]], trainer: Trainer) -> Figures:
    rows: list[dict[str, float]] = []
    refused = 0
    for stream in streams:
        tell(name)
        batches: Batches = [stream[start : start + BATCH] for start in range(0, len(stream), BATCH)]
        lodbrok = LodbrokLearner(trainer)
        ours = judge_by_lodbrok(lodbrok, trainer, batches)
        targets, late = targets_of(stream), np.arange(len(stream)) >= len(stream) // 2
        judged = {"ours": ours, "river": judge_by_river(batches), "SGD": judge_by_sgd(batches)}
        scores = {one: float(roc_auc_score(targets, said)) for one, said in judged.items()}
        scores |= {f"{one}, late": float(roc_auc_score(targets[late], said[late])) for one, said in judged.items()}
        rows.append(scores)
        refused += lodbrok.refused
    mean = {one: float(np.mean([row[one] for row in rows])) for one in rows[0]}
    others = max(mean["river"], mean["SGD"])
    beside = f"river's logistic regression {mean['river']:.4f}, scikit-learn's partial_fit {mean['SGD']:.4f}"
    late_ones = f"river {mean['river, late']:.4f}, partial_fit {mean['SGD, late']:.4f}; {refused} trainings refused"
    return [
        figure(f"{name}: ROC AUC", mean["ours"], "", beside, 0.92),
        figure(f"{name}: ROC AUC ahead of the better one", mean["ours"] - others, "", "", 0.0),
        figure(f"{name}: ROC AUC of the second half", mean["ours, late"], "", late_ones),
    ]


def judge_by_lodbrok(learn: LodbrokLearner, trainer: Trainer, batches: Batches) -> Scores:
    assert trainer.classifier.vectors is not None
    parts = []
    for batch in batches:
        verdicts = to_verdicts(batch)
        parts.append(learn(verdicts, trainer.classifier.vectors(verdicts, trainer.vocabularies)))
    return np.concatenate(parts)


def judge_by_river(batches: Batches) -> Scores:
    """Words and characters as river counts them, by the optimizer that served its logistic regression best."""
    bags = (
        feature_extraction.BagOfWords(lowercase=True),
        feature_extraction.BagOfWords(lowercase=True, tokenizer=characters),
    )
    model = linear_model.LogisticRegression(optim.AdaGrad(0.1))
    scores = []
    for batch in batches:
        rows = [count_tokens(bags, text_of(editor)) for editor in batch]
        scores += [model.predict_proba_one(row).get(True, 0.0) for row in rows]
        for row, editor in zip(rows, batch, strict=True):
            model.learn_one(row, bool(editor.verdict))
    return np.array(scores)


def count_tokens(bags: Sequence[feature_extraction.BagOfWords], text: str) -> dict[str, float]:
    return {
        f"{number} {token}": float(count)
        for number, bag in enumerate(bags)
        for token, count in bag.transform_one(text).items()
    }


def characters(text: str) -> list[str]:
    return [text[start : start + length] for length in (3, 4) for start in range(len(text) - length + 1)]


def judge_by_sgd(batches: Batches) -> Scores:
    words = HashingVectorizer(n_features=2**18)
    parts = HashingVectorizer(n_features=2**18, analyzer="char_wb", ngram_range=(2, 4))
    model = SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0)
    scores: list[float] = []
    for batch in batches:
        texts = [text_of(editor) for editor in batch]
        vectors = hstack([words.transform(texts), parts.transform(texts)]).tocsr()
        scores += model.predict_proba(vectors)[:, 1].tolist() if scores else [0.5] * len(batch)
        model.partial_fit(vectors, targets_of(batch), classes=[0, 1])
    return np.array(scores)
