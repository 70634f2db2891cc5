"""How well the intent classifier learns data that other people collected: a part of `make bench-quality`.

Everything was chosen on validation data; the test parts are read here, once a run.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from bench.figures import Figures, figure
from sb_api.bootstrap.csv_messages import same_text
from sb_api.bootstrap.messages import EPOCHS, REJECTED_SHARE, fit_messages
from sb_api.cli.terminal.output import progress_bar
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.measures import calibrate_threshold
from sb_api.records import LabelledMessage

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SB_API_BENCH_DATA") or ROOT.parent / "shared" / "data")
SEED = 42
TRAINING_SECONDS, MESSAGE_MILLISECONDS = 180.0, 1.0

Messages = list[LabelledMessage]


@dataclass
class Fitted:
    """A classifier that has learned: `judge` gives probabilities (n, labels)."""

    labels: Sequence[str]
    judge: Callable[[Messages], np.ndarray]
    seconds: float
    threshold: float


def label(pairs: Sequence[tuple[str, str]]) -> Messages:
    return [LabelledMessage(id=n, text=text, intent=intent) for n, (text, intent) in enumerate(pairs)]


def fit(train: Messages, validation: Messages) -> Fitted:
    start = time.perf_counter()
    with progress_bar(EPOCHS, f"learning {len(train)} messages") as advance:
        fitting, vocabularies = fit_messages(train, SEED, lambda _: advance())
    seconds = time.perf_counter() - start

    def judge(messages: Messages) -> np.ndarray:
        return fitting.predict(CLASSIFIERS["intent"].preprocess(messages, vocabularies))

    threshold = calibrate_threshold(number(validation, fitting.labels), judge(validation), REJECTED_SHARE)
    return Fitted(fitting.labels, judge, seconds, threshold)


def number(messages: Messages, labels: Sequence[str]) -> np.ndarray:
    places = {name: place for place, name in enumerate(labels)}
    return np.array([places[message.intent] for message in messages])


def milliseconds_per_message(fitted: Fitted, messages: Messages) -> float:
    start = time.process_time()
    fitted.judge(messages)
    return 1000 * (time.process_time() - start) / len(messages)


def fit_svm(train: Messages) -> Any:
    """The plain linear SVM that is printed beside: tf-idf of words, word pairs and character n-grams."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )
    svm = make_pipeline(features, LinearSVC())
    return svm.fit([message.text for message in train], [message.intent for message in train])


def customer_split() -> tuple[Messages, Messages, Messages]:
    """70/15/15, stratified; messages that differ in case or marks alone are all in one part."""
    same: dict[str, list[tuple[str, str]]] = {}
    with (DATA / "customer_intents.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            same.setdefault(same_text(row["query"]), []).append((row["query"], row["intent"]))
    groups = list(same.values())
    train, rest = train_test_split(groups, test_size=0.3, random_state=SEED, stratify=[g[0][1] for g in groups])
    validation, test = train_test_split(rest, test_size=0.5, random_state=SEED, stratify=[g[0][1] for g in rest])
    return tuple(label([pair for group in part for pair in group]) for part in (train, validation, test))


def bench_customers() -> Figures:
    train, validation, test = customer_split()
    fitted = fit(train, validation)
    targets, scores = number(test, fitted.labels), fitted.judge(test)
    predicted = scores.argmax(axis=1)
    true = [message.intent for message in test]
    svm = fit_svm(train).predict([message.text for message in test])
    accuracy, macro = float((predicted == targets).mean()), f1_score(targets, predicted, average="macro")
    svm_accuracy, svm_macro = float((svm == np.array(true)).mean()), f1_score(true, svm, average="macro")
    name = "customer intents"
    return [
        figure(f"{name}: accuracy", accuracy, "share", f"linear SVM {svm_accuracy:.4f}, BERT 0.925", 0.998),
        figure(f"{name}: macro F1", macro, "share", f"linear SVM {svm_macro:.4f}, BERT 0.925", 0.998),
        *costs(name, fitted, test),
    ]


def bench_clinc() -> Figures:
    data = json.loads((DATA / "clinc150.json").read_text("utf-8"))
    train, validation, test, outside = (label(data[part]) for part in ("train", "val", "test", "oos_test"))
    fitted = fit(train, validation)
    targets, scores = number(test, fitted.labels), fitted.judge(test)
    right = scores.argmax(axis=1) == targets
    # An answer that the threshold holds back counts as wrong.
    accuracy = float((right & (scores.max(axis=1) >= fitted.threshold)).mean())
    recall = float((fitted.judge(outside).max(axis=1) < fitted.threshold).mean())
    svm = fit_svm(train).predict([message.text for message in test])
    svm_accuracy = float((svm == np.array([message.intent for message in test])).mean())
    others = f"linear SVM {svm_accuracy:.4f}, MLP on sentence embeddings 0.935, BERT 0.969"
    setting = f"threshold {fitted.threshold:.3f}, calibrated on validation data"
    return [
        figure("CLINC150: in-scope accuracy", accuracy, "share", others, 0.935),
        figure("CLINC150: in-scope accuracy without threshold", float(right.mean()), "share", others),
        figure("CLINC150: out-of-scope recall", recall, "share", f"{setting}; MLP 0.491, BERT 0.523"),
        *costs("CLINC150", fitted, test),
    ]


def bench_text(quick: bool) -> Figures:
    """The figures of both data sets, or with `quick` of the smaller one."""
    if not (DATA / "clinc150.json").is_file():
        sys.exit(f"There are no bench data in {DATA}; set SB_API_BENCH_DATA.")
    return bench_customers() if quick else [*bench_customers(), *bench_clinc()]


def costs(name: str, fitted: Fitted, test: Messages) -> Figures:
    cost = milliseconds_per_message(fitted, test)
    return [
        figure(f"{name}: training", fitted.seconds, "s", "", TRAINING_SECONDS, most=True),
        figure(f"{name}: processor time of a message", cost, "ms", "", MESSAGE_MILLISECONDS, most=True),
    ]
