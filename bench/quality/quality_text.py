"""How well the intent classifier learns data that other people collected: a part of `make bench-quality`.

Everything was chosen on validation data; the test parts are read here, once a run.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.figures import Figures, figure
from sb_api.bootstrap.csv_messages import same_text
from sb_api.bootstrap.messages import (
    REPLAY_MESSAGES,
    as_examples,
    bootstrap_messages,
    epochs_for,
    fit_messages,
    synthetic_split,
)
from sb_api.bootstrap.no_class import choose_threshold, find_right, make_no_class
from sb_api.config import Settings, load_settings
from sb_api.errors import Unavailable
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import RETRAININGS
from sb_api.models.classifiers import CLASSIFIERS, find_classifier
from sb_api.models.encoder import Encoder, load_encoder
from sb_api.models.engine import load_engine
from sb_api.models.networks import get_arrays
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.preprocessing import FEATURES, in_parts
from sb_api.records import INTENTS, LabelledMessage, Message
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SB_API_BENCH_DATA") or ROOT.parent / "shared" / "data")
SEED, BOOTSTRAP_SEED = 42, 1
REJECTED_SHARE, CORRECTIONS = 0.002, 50
NEW_CLASSES, EXAMPLES = 5, 10
ROUNDS = 3  # of all messages of a test part, by which what a message costs is measured

Messages = list[LabelledMessage]


@dataclass
class Fitted:
    """A classifier that has learned `learned`: `judge` gives probabilities (n, labels); `threshold` is the one that was
    chosen by the wish, `cautious` the one that costs 0.2% of the right answers."""

    fitting: Fitting
    vocabularies: Vocabularies
    learned: Messages
    seconds: float
    threshold: float = 0.0
    cautious: float = 0.0

    @property
    def labels(self) -> Sequence[str]:
        return self.fitting.labels

    def judge(self, messages: Sequence[Message]) -> np.ndarray:
        return self.fitting.predict(self.fitting.classifier.preprocess(messages, self.vocabularies))


def label(pairs: Sequence[tuple[str, str]]) -> Messages:
    return [LabelledMessage(id=n, text=text, label=intent) for n, (text, intent) in enumerate(pairs)]


def fit(messages: Messages, encoder: Encoder | None = None, features: int = FEATURES) -> Fitted:
    start = time.perf_counter()
    told = f"learning {len(messages)} messages"
    with click.progressbar(length=epochs_for(messages), label=told, file=sys.stderr) as bar:
        fitting, vocabularies = fit_messages(messages, SEED, lambda _: bar.update(1), encoder, features=features)
    return Fitted(fitting, vocabularies, messages, time.perf_counter() - start)


def learn(train: Messages, validation: Messages, encoder: Encoder | None = None) -> Fitted:
    """As `sb-api bootstrap` does: thresholds by a network that has learned the one part, then one that learns both."""
    made_up = make_no_class(train, SEED)
    first = fit([*train, *made_up.learned], encoder)
    right = find_right(number(validation, first.labels), first.judge(validation))
    unsure = first.judge(made_up.chosen_by).max(axis=1) if made_up.chosen_by else np.zeros(0)
    choice = choose_threshold(right, unsure, made_up.kinds_of(made_up.chosen_by))
    final = fit([*train, *validation, *made_up.learned, *made_up.chosen_by, *made_up.measured], encoder)
    return replace(final, threshold=choice.threshold, cautious=float(right[int(REJECTED_SHARE * len(right))]))


def number(messages: Messages, labels: Sequence[str]) -> np.ndarray:
    places = {name: place for place, name in enumerate(labels)}
    return np.array([places[message.label] for message in messages])


def milliseconds_per_message(fitted: Fitted, messages: Messages) -> float:
    """From text to class as a classify process judges them, least of several rounds: by ONNX Runtime and not by Keras,
    which `judge` is and which takes twice as long for 150 classes."""
    classifier, labels, vocabularies = fitted.fitting.classifier, fitted.labels, fitted.vocabularies
    predict = load_engine("onnx", classifier, labels, vocabularies)(get_arrays(fitted.fitting.network))
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for part in in_parts(len(messages)):
            predict(classifier.preprocess(messages[part], vocabularies))
        times.append(time.process_time() - start)
    return 1000 * min(times) / len(messages)


def fit_plain(train: Messages, learner: Any = None) -> Any:
    """What is printed beside, a linear SVM by default: on tf-idf of words, word pairs and character n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )
    plain = make_pipeline(features, learner or LinearSVC())
    return plain.fit([message.text for message in train], [message.label for message in train])


def customer_split() -> tuple[Messages, Messages, Messages]:
    """70/15/15, stratified; messages that differ in case or marks alone are all in one part."""
    from sklearn.model_selection import train_test_split

    same: dict[str, list[tuple[str, str]]] = {}
    with (DATA / "customer_intents.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            same.setdefault(same_text(row["query"]), []).append((row["query"], row["intent"]))
    groups = list(same.values())
    train, rest = train_test_split(groups, test_size=0.3, random_state=SEED, stratify=[g[0][1] for g in groups])
    validation, test = train_test_split(rest, test_size=0.5, random_state=SEED, stratify=[g[0][1] for g in rest])
    return tuple(label([pair for group in part for pair in group]) for part in (train, validation, test))


def bench_customers() -> Figures:
    from sklearn.metrics import f1_score

    train, validation, test = customer_split()
    fitted = learn(train, validation)
    targets, scores = number(test, fitted.labels), fitted.judge(test)
    predicted = scores.argmax(axis=1)
    true = [message.label for message in test]
    svm = fit_plain(train).predict([message.text for message in test])
    accuracy, macro = float((predicted == targets).mean()), f1_score(targets, predicted, average="macro")
    svm_accuracy, svm_macro = float((svm == np.array(true)).mean()), f1_score(true, svm, average="macro")
    name = "customer intents"
    return [
        figure(f"{name}: accuracy", accuracy, "share", f"linear SVM {svm_accuracy:.4f}, BERT 0.925", 0.998),
        figure(f"{name}: macro F1", macro, "share", f"linear SVM {svm_macro:.4f}, BERT 0.925", 0.998),
        *costs(name, fitted, test),
    ]


@dataclass(frozen=True)
class Goals:
    """What is asked of a classifier of CLINC150: in-scope accuracy, without a threshold and with the cautious one, the
    out-of-scope recall at an in-scope accuracy, seconds of training, and milliseconds a message."""

    accuracy: float
    cautious: float
    level: float
    recall: float
    seconds: float
    milliseconds: float


PLAIN = Goals(accuracy=0.94, cautious=0.935, level=0.925, recall=0.73, seconds=180.0, milliseconds=0.34)
ENCODED = Goals(accuracy=0.96, cautious=0.95, level=0.95, recall=0.70, seconds=240.0, milliseconds=3.0)


def bench_clinc(name: str, goals: Goals, encoder: Encoder | None = None) -> Figures:
    data = json.loads((DATA / "clinc150.json").read_text("utf-8"))
    train, validation, test, outside = (label(data[part]) for part in ("train", "val", "test", "oos_test"))
    fitted = learn(train, validation, encoder)
    targets, scores = number(test, fitted.labels), fitted.judge(test)
    right, sure = scores.argmax(axis=1) == targets, scores.max(axis=1)
    unsure = fitted.judge(outside).max(axis=1)

    def in_scope(threshold: float) -> float:
        """An answer that the threshold holds back counts as wrong."""
        return float((right & (sure >= threshold)).mean())

    at_level = max((threshold for threshold in sure[right] if in_scope(threshold) >= goals.level), default=0.0)
    others = "MLP on sentence embeddings 0.935, BERT 0.969"
    if encoder is None:
        svm = fit_plain(train).predict([message.text for message in test])
        others = f"linear SVM {(svm == np.array([message.label for message in test])).mean():.4f}, {others}"
    wish = f"threshold {fitted.threshold:.3f}, chosen by the wish"
    recall = f"{name}: out-of-scope recall"
    return [
        figure(f"{name}: in-scope accuracy", in_scope(fitted.cautious), "share", others, goals.cautious),
        figure(f"{name}: in-scope accuracy without threshold", right.mean(), "share", others, goals.accuracy),
        figure(f"{name}: in-scope accuracy by the wish", in_scope(fitted.threshold), "share", wish),
        figure(f"{recall} by the wish", (unsure < fitted.threshold).mean(), "share", f"{wish}; MLP 0.491, BERT 0.523"),
        figure(f"{recall} at in-scope {goals.level}", (unsure < at_level).mean(), "share", "", goals.recall),
        *bench_corrections(name, fitted, test),
        *costs(name, fitted, test, goals.seconds, goals.milliseconds),
    ]


def bench_encoder() -> Figures:
    """The same with the sentence encoder, if there is one, and with few messages a class."""
    try:
        encoder = load_encoder(load_settings().encoder)
    except Unavailable as error:
        sys.exit(f"The figures with the sentence encoder need one. {error.detail}")
    name = "CLINC150 with encoder"
    figures = [
        *bench_shipped_encoded(encoder),
        *bench_clinc(name, ENCODED, encoder),
        *bench_new_classes(name, encoder),
    ]
    data = json.loads((DATA / "clinc150.json").read_text("utf-8"))
    for count, goal in ((50, 0.94), (10, 0.87)):
        few: list[LabelledMessage] = []
        for _, mine in groupby(sorted(label(data["train"]), key=intent_of), intent_of):
            few += islice(mine, count)
        fitted, test = fit([*few, *make_no_class(few, SEED).learned], encoder), label(data["test"])
        right = fitted.judge(test).argmax(axis=1) == number(test, fitted.labels)
        figures.append(figure(f"{name}, {count} a class: in-scope accuracy", right.mean(), "share", "", goal))
    return figures


def intent_of(message: LabelledMessage) -> str:
    return message.label or ""


def bench_corrections(name: str, fitted: Fitted, test: Messages) -> Figures:
    """Fifty wrong answers of the one half of the test part are corrected by one training; the other half says what that
    costs."""
    fitting = fitted.fitting
    order = np.random.default_rng(SEED).permutation(len(test))
    first, second = ([test[place] for place in half] for half in np.array_split(order, 2))
    before = fitted.judge(second).argmax(axis=1) == number(second, fitted.labels)
    wrong = fitted.judge(first).argmax(axis=1) != number(first, fitted.labels)
    corrected = [message for message, is_wrong in zip(first, wrong, strict=True) if is_wrong][:CORRECTIONS]
    known = np.random.default_rng(SEED).permutation(len(fitted.learned))[:REPLAY_MESSAGES]
    replay = as_examples([fitted.learned[place] for place in known], fitted.labels, fitted.vocabularies)
    replay = replace(replay, scores=fitting.predict(replay.arrays))
    fitting.fit(as_examples(corrected, fitted.labels, fitted.vocabularies), SEED, replay, recipe=RETRAININGS["intent"])
    after = fitted.judge(second).argmax(axis=1) == number(second, fitted.labels)
    mended = fitted.judge(corrected).argmax(axis=1) == number(corrected, fitted.labels)
    lost, told = 100 * float(before.mean() - after.mean()), f"{name}: {len(corrected)} corrections"
    return [
        figure(f"{told}, of them right", mended.mean(), "share", "1.00 before, at the next line's cost", 0.6),
        figure(f"{told}, accuracy on others lost", lost, "points", "1.7 before", 0.3, most=True),
    ]


def bench_new_classes(name: str, encoder: Encoder | None = None, few: int = 50, others: int = 140) -> Figures:
    """The last classes of CLINC150 come one training after the other to a network that knows the first ones, each with
    its first `EXAMPLES` messages; the test part says how many of theirs are found, and what that costs the others."""
    data = json.loads((DATA / "clinc150.json").read_text("utf-8"))
    by_class = {intent: list(mine) for intent, mine in groupby(sorted(label(data["train"]), key=intent_of), intent_of)}
    names = [str(one) for one in np.random.default_rng(SEED).permutation(list(by_class))]
    old, new = sorted(names[:others]), names[others : others + NEW_CLASSES]
    fitted = fit([message for intent in old for message in by_class[intent][:few]], encoder)
    about = Version(classifier="intent", version="", parent=None, created="", tokenizers="", labels=old)
    start = fitted.fitting.snapshot(about)
    known = as_examples(fitted.learned, old, fitted.vocabularies)
    known = replace(known, scores=fitted.fitting.predict(known.arrays))
    lost, found = [], []
    for intent in new:
        labels = [*old, intent]
        fitting = Fitting(fitted.fitting.classifier, labels, fitted.vocabularies)
        fitting.load(start)
        grown = replace(fitted, fitting=fitting)
        theirs, mine = ([m for m in label(data["test"]) if m.label in some] for some in (old, [intent]))
        before = grown.judge(theirs).argmax(axis=1) == number(theirs, labels)
        examples = as_examples(by_class[intent][:EXAMPLES], labels, fitted.vocabularies)
        rehearsed = replace(known, scores=np.pad(known.scores, [(0, 0), (0, 1)]))
        fitting.begin_classes(examples, rehearsed, SEED)
        fitting.fit(examples, SEED, rehearsed, recipe=RETRAININGS["intent"])
        after = grown.judge(theirs).argmax(axis=1) == number(theirs, labels)
        lost.append(100 * float(before.mean() - after.mean()))
        found.append(float((grown.judge(mine).argmax(axis=1) == len(old)).mean()))
    told = f"{name}: a new class of {EXAMPLES} messages, mean of {len(new)}"
    return [
        figure(f"{told}, found", np.mean(found), "share", "", None),
        figure(f"{told}, accuracy on others lost", np.mean(lost), "points", f"worst {max(lost):.2f}", 0.3, most=True),
    ]


def bench_shipped() -> Figures:
    """The shipped weights on what ordinary people write to each other, which is of none of their classes."""
    refused = refuse_chat(load_settings({}, state_dir=os.devnull))
    return [figure("Shipped intents, text messages about nothing: of no class", refused, "share", "0.077 before", 0.6)]


def bench_shipped_encoded(encoder: Encoder) -> Figures:
    """The same of weights that `sb-api bootstrap --model intent --encoder` makes of the messages that the shipped ones
    are made of."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({}, state_dir=folder)
        split = synthetic_split(INTENTS, BOOTSTRAP_SEED)
        bootstrap_messages(settings, INTENTS, split, seed=BOOTSTRAP_SEED, synthetic=True, encoder=encoder)
        refused = refuse_chat(settings, encoder)
    name = "Shipped intents with encoder, text messages about nothing: of no class"
    return [figure(name, refused, "share", "0.703 before", 0.8)]


def refuse_chat(settings: Settings, encoder: Encoder | None = None) -> float:
    """The share of people's text messages that the original intents there give no class."""
    weights = WeightsStore.of(settings, INTENTS.name).load("original")
    classifier = find_classifier(weights.about)
    vocabularies = replace(CLASSIFIERS[INTENTS.name].load_vocabularies(settings), encoder=encoder)
    with (DATA / "sms_spam.tsv").open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [row["SMS"] for row in rows if row["Label"] == "ham" and row["SMS"].strip()]
    predictor = Predictor(classifier, weights, vocabularies)
    scores, _ = predictor.judge([Message(id=n, text=text) for n, text in enumerate(texts)])
    return float((scores.max(axis=1) < weights.about.threshold).mean())


def bench_text(quick: bool) -> Figures:
    """The figures of both data sets, or with `quick` of the smaller one."""
    if not (DATA / "clinc150.json").is_file():
        sys.exit(f"There are no bench data in {DATA}; set SB_API_BENCH_DATA.")
    if quick:
        return bench_customers()
    return [
        *bench_shipped(),
        *bench_customers(),
        *bench_clinc("CLINC150", PLAIN),
        *bench_new_classes("CLINC150"),
        *bench_encoder(),
    ]


def costs(
    name: str, fitted: Fitted, test: Messages, seconds: float = PLAIN.seconds, milliseconds: float = PLAIN.milliseconds
) -> Figures:
    cost = milliseconds_per_message(fitted, test)
    return [
        figure(f"{name}: training", fitted.seconds, "s", "", seconds, most=True),
        figure(f"{name}: processor time of a message", cost, "ms", "", milliseconds, most=True),
    ]
