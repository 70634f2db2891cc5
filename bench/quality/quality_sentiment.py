"""How well the sentiment classifier does: a part of `make bench-quality`.

There are no messages with sentiments here that people wrote. What is measured is how it understands made-up sentences
that it has not learned, beside scikit-learn's classifiers that have learned the same; what the shipped weights make of
sentences with a negation (`negations.tsv`), which were written before anything was made for them, but by which ways of
making it were compared; and how often they take what people asked an assistant (CLINC150), which is a question or a
request nearly always, for neutral.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from bench.figures import Figures, figure
from bench.quality.quality_text import DATA, costs, fit, fit_plain, number
from sb_api.bootstrap.messages import synthetic_split
from sb_api.bootstrap.no_class import make_no_class
from sb_api.config import load_settings
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.records import SENTIMENTS, Message
from sb_api.synthetic.sources import SOURCES

SEED = 1  # that of the shipped weights
NAME = "Sentiment"
NEGATIONS, ALL = Path(__file__).parent / "negations.tsv", "accuracy"
# What the weights said of these sentences that had learned next to none like them.
BEFORE = {ALL: 0.5493, "negative": 0.7167, "positive": 0.3846, "neutral": 0.5}


def bench_sentiment() -> Figures:
    """The figures on made-up and on other people's messages."""
    split = synthetic_split(SENTIMENTS, SEED)
    train, test = list(split.train), list(split.test)
    source = SOURCES[SENTIMENTS.name]
    fitted = fit([*train, *make_no_class(train, SEED, source.nothing).learned], features=source.features)
    right = fitted.judge(test).argmax(axis=1) == number(test, fitted.labels)
    true = np.array([message.label for message in test])
    learners = {"linear SVM": None, "logistic regression": LogisticRegression(C=10, max_iter=1000)}
    others = {
        name: float((fit_plain(train, learner).predict([message.text for message in test]) == true).mean())
        for name, learner in learners.items()
    }
    beside = ", ".join(f"{name} {share:.4f}" for name, share in others.items())
    told = f"{NAME}, {len(test)} made-up messages of sentences that were not learned"
    figures = [figure(f"{told}: accuracy", right.mean(), "share", beside, round(max(others.values()), 4))]
    figures += [figure(f"{told}: {label}", right[true == label].mean(), "share", "") for label in fitted.labels]
    return [*figures, *bench_negations(), *bench_questions(), *costs(NAME, fitted, test)]


def judge_shipped(texts: Sequence[str]) -> list[str | None]:
    """What the shipped weights call n texts; None where none of their classes is likely enough."""
    settings = load_settings({}, state_dir=os.devnull)
    classifier = CLASSIFIERS[SENTIMENTS.name]
    weights = WeightsStore.of(settings, classifier.name).load("original")
    predictor = Predictor(classifier, weights, classifier.load_vocabularies(settings))
    scores, errors = predictor.judge([Message(id=n, text=text) for n, text in enumerate(texts)])
    return list(predictor.describe(scores, errors).predictions)


def bench_negations() -> Figures:
    """What the shipped weights make of sentences with a negation."""
    with NEGATIONS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    said = judge_shipped([row["text"] for row in rows])
    figures = []
    for label, before in BEFORE.items():
        right = [
            one == row["sentiment"] for row, one in zip(rows, said, strict=True) if label in (ALL, row["sentiment"])
        ]
        told = f"{NAME}, {len(rows)} sentences with a negation: {label}"
        figures.append(figure(told, float(np.mean(right)), "share", f"shipped weights; {before} before"))
    return figures


def bench_questions() -> Figures:
    """What the shipped weights say of questions to an assistant."""
    if not (DATA / "clinc150.json").is_file():
        sys.exit(f"There are no bench data in {DATA}; set SB_API_BENCH_DATA.")
    texts = [text for text, _ in json.loads((DATA / "clinc150.json").read_text("utf-8"))["test"]]
    said = Counter(judge_shipped(texts))
    told = f"{NAME}, {len(texts)} questions of people to an assistant"
    return [
        figure(f"{told}: {label or 'none'}", said[label] / len(texts), "share", "shipped weights")
        for label in ("neutral", "positive", "negative", None)
    ]
