"""Making the original weights of a classifier of messages: labelled messages -> vocabularies, a fitted network, a
threshold, held-out figures, a reference set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sb_api.arrays import Matrix, Scores, Targets
from sb_api.bootstrap.cross_validation import judge_by_folds
from sb_api.bootstrap.datasets import PARTS, SYNTHETIC, Split, divide_into_folds
from sb_api.bootstrap.no_class import (
    DIGITS,
    NoClass,
    Unlearned,
    choose_threshold,
    describe_refusal,
    find_right,
    make_no_class,
    measure_crosswise,
    measure_threshold,
)
from sb_api.bootstrap.originals import (
    install_original,
    make_original,
    pack_reference,
    to_examples,
    unpack_reference,
)
from sb_api.bootstrap.reports.model_card import ModelCard, Table
from sb_api.bootstrap.sentence_head import learn_messages
from sb_api.config import Settings
from sb_api.errors import InvalidRecords
from sb_api.judgements import NO_CLASS
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import Examples, Recipe
from sb_api.learning.reference_set import GUARD
from sb_api.models.calibration import find_correction
from sb_api.models.classifiers import ARCHITECTURES, Classifier
from sb_api.models.explanations.neighbours import FOLDER, pack_neighbours
from sb_api.models.networks import message_width
from sb_api.preprocessing import FEATURES, WORDS, message_features, message_words
from sb_api.records import INTENTS, NO_CLASS_NAME, LabelledMessage, RecordType
from sb_api.synthetic.messages import SyntheticMessage, generate_messages, split_by_core
from sb_api.synthetic.sources import SOURCES
from sb_api.text.tokenizers import TextEncoder, Vocabularies, fit_vocabulary
from sb_api.versions import Version

EPOCHS = 12
LARGEST_BATCH, STEPS_PER_EPOCH = 256, 50  # few messages go in small batches, so that there are enough steps
# A network of so few units at most, which that of few classes has, learns many messages twice as often.
NARROW, MANY_MESSAGES = 64, LARGEST_BATCH * STEPS_PER_EPOCH
FEATURE_MESSAGES, WORD_MESSAGES = 3, 2  # a feature or word of fewer tells little but which message it was
NAMES = 3  # how many messages the name of a class counts for
HELD_OUT_SHARE = 0.25
REPLAY_MESSAGES, GUARD_MESSAGES = 10_000, 5_000
# Measured on fewer messages, an accuracy of nine in ten may be off by more than three in a hundred.
FEW_MEASURED, FOLDS, CONFIDENCE = 300, 5, 0.95

Messages = Sequence[LabelledMessage]


def synthetic_split(record_type: RecordType, seed: int, count: int | None = None) -> Split:
    """The shipped classifier's data, so many messages if not the usual number; no core sentence is in two parts."""
    source = SOURCES[record_type.name]
    messages = list(generate_messages(count or source.count, seed, source.phrases()))
    train, held_out = split_by_core(messages, HELD_OUT_SHARE, seed)
    validation, test = split_by_core(held_out, 0.5, seed)
    return Split(_labelled(train), _labelled(validation), _labelled(test), f"{SYNTHETIC}, seed {seed}")


def _labelled(messages: Sequence[SyntheticMessage]) -> Messages:
    return [LabelledMessage(id=n, text=message.text, label=message.label) for n, message in enumerate(messages)]


def fit_message_vocabularies(messages: Messages, most: int = FEATURES) -> Vocabularies:
    """The vocabularies of features, so many at most, and of words of n messages."""
    texts = [message_words(message.text) for message in messages]
    features = ([feature for block in message_features(words) for feature in block] for words in texts)
    return Vocabularies(
        {
            "features": fit_vocabulary(features, most, FEATURE_MESSAGES),
            "words": fit_vocabulary(texts, WORDS, WORD_MESSAGES),
        }
    )


@dataclass(frozen=True)
class Remembering:
    """An encoder that encodes each text once: messages are learned twice, and measured."""

    encoder: TextEncoder
    known: dict[str, Matrix] = field(default_factory=dict, repr=False, compare=False)

    @property
    def sha256(self) -> str:
        return self.encoder.sha256

    @property
    def identity(self) -> str:
        return self.encoder.identity

    def encode(self, texts: Sequence[str], /) -> Matrix:
        """As the encoder does."""
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        self.known.update(zip(new, self.encoder.encode(new), strict=True))
        return np.stack([self.known[text] for text in texts])


def fit_messages(
    messages: Messages,
    seed: int,
    progress: Callable[[int], None] | None = None,
    encoder: TextEncoder | None = None,
    record_type: RecordType = INTENTS,
    features: int = FEATURES,
) -> tuple[Fitting, Vocabularies]:
    """A network fitted to n messages, for the classes that occur among them, with a sentence encoder if one is given,
    which knows so many features at most. `progress` is called as often as `epochs_for` says.

    Raises InvalidRecords when there are fewer than two classes.
    """
    fitting, vocabularies, examples = _prepare(messages, encoder, record_type, features)
    learn_messages(fitting, examples, seed, recipe_for(len(messages), epochs_for(messages)), progress)
    return fitting, vocabularies


def _prepare(
    messages: Messages, encoder: TextEncoder | None, record_type: RecordType, features: int
) -> tuple[Fitting, Vocabularies, Examples]:
    """A network for n messages that has not learned them, and they as it takes them, with the names of their classes
    behind them."""
    labels = sorted({message.label for message in messages if message.label is not None})
    if len(labels) < 2:
        alone = repr(labels[0]) if labels else NO_CLASS_NAME
        raise InvalidRecords(f"All messages to learn are of {alone}; at least 2 classes are needed.")
    learned = [*messages, *spell_out(labels)]
    vocabularies = replace(fit_message_vocabularies(learned, features), encoder=encoder)
    fitting = Fitting(architecture_for(vocabularies, record_type), labels, vocabularies)
    return fitting, vocabularies, as_examples(learned, labels, vocabularies)


def spell_out(labels: Sequence[str]) -> Messages:
    """The names of classes as messages of theirs: what somebody calls a class says what it is about, which counts the
    more, the fewer messages there are."""
    texts = {label: " ".join(label.replace("_", " ").split()) for label in labels}
    named = [(label, text) for label, text in texts.items() if any(map(str.isalnum, text))]
    return [LabelledMessage(id=label, text=text, label=label) for label, text in named] * NAMES


def epochs_for(messages: Messages) -> int:
    """How often a network learns n messages."""
    labels = [message.label for message in messages if message.label is not None]
    is_narrow = message_width(len(set(labels))) <= NARROW
    return 2 * EPOCHS if is_narrow and len(labels) >= MANY_MESSAGES else EPOCHS


def recipe_for(count: int, epochs: int) -> Recipe:
    """How `count` messages are learned so often."""
    batch = min(LARGEST_BATCH, max(16, count // STEPS_PER_EPOCH))
    return Recipe(learning_rate=0.005, batch_size=batch, epochs=epochs, final=0.01)


def architecture_for(vocabularies: Vocabularies, record_type: RecordType = INTENTS) -> Classifier:
    """The classifier of messages that these vocabularies are for. All of those that have an encoder take the same
    vectors, and so do all that have none."""
    encoded = vocabularies.encoder is not None
    mine = (each for each in ARCHITECTURES.values() if each.record_type is record_type)
    return next(classifier for classifier in mine if classifier.encoded == encoded)


def labelled_vectors(messages: Messages, labels: Sequence[str], vocabularies: Vocabularies) -> Matrix:
    """The vectors of n messages with the numbers of their labels in column 0."""
    classifier = architecture_for(vocabularies)
    vectors = message_vectors(classifier, messages, vocabularies)
    vectors[:, 0] = [classifier.target(message, labels) for message in messages]
    return vectors


def message_vectors(classifier: Classifier, messages: Messages, vocabularies: Vocabularies) -> Matrix:
    """The vectors of n messages, those of no label."""
    if classifier.vectors is None:
        raise ValueError(f"{classifier.architecture} has no vectors of labelled records.")
    return classifier.vectors(messages, vocabularies)


def as_examples(messages: Messages, labels: Sequence[str], vocabularies: Vocabularies) -> Examples:
    """n messages as the fitting takes them."""
    return to_examples(architecture_for(vocabularies), labelled_vectors(messages, labels, vocabularies))


def bootstrap_messages(
    settings: Settings,
    record_type: RecordType,
    split: Split,
    *,
    seed: int,
    synthetic: bool,
    progress: Callable[[int], None] | None = None,
    encoder: TextEncoder | None = None,
) -> Version:
    """Make the original of the classifier of these messages and start its chain anew; what it replaces is kept.

    A network that has learned the train part alone says how good the recipe is, and what it says of the others chooses
    the threshold; then one learns all parts. Writes its weights, tokenizers, the reference set (the test part) and the
    model card. `progress` is called after each of `count_epochs`. Where few were held out, cross-validation over all of
    them says what to expect. Raises InvalidRecords or EngineDisagrees, and then nothing is changed.
    """
    encoder = None if encoder is None else Remembering(encoder)
    source = SOURCES[record_type.name]
    features = source.features if synthetic else FEATURES
    made_up = make_no_class(split.train, seed, source.nothing)
    learned = [*split.train, *made_up.learned]
    held = _measure_held_out(*fit_messages(learned, seed, progress, encoder, record_type, features), split, made_up)
    guards = set(map(id, held.guard))
    others = [m for m in (*split.validation, *split.test) if m.label in (None, *held.labels) and id(m) not in guards]
    # None of those that guard is replayed, or the guard would see less of what is lost.
    replayed = [*learned, *others, *made_up.chosen_by, *made_up.measured]
    everything = [*replayed, *held.guard]
    fitting, vocabularies, examples = _prepare(everything, encoder, record_type, features)
    figures = {"data": split.fingerprint, **held.figures}
    if _are_few(split) and (expected := _expect(fitting, examples, everything, seed, progress)):
        figures["expected"] = expected
    recipe = recipe_for(len(everything), epochs_for(split.train))
    learn_messages(fitting, examples, seed, recipe, progress)
    classifier = fitting.classifier
    guard = labelled_vectors(held.guard, fitting.labels, vocabularies)
    corrections = {
        GUARD: find_correction(held.scores, fitting.predict(classifier.name_inputs(guard))).astype(np.float16)
    }
    chosen = np.sort(np.random.default_rng(seed).permutation(len(replayed))[:REPLAY_MESSAGES])
    replay = labelled_vectors([replayed[place] for place in chosen], fitting.labels, vocabularies)
    reference = pack_reference(guard, corrections, replay=replay)
    count = len(split.train) + len(others) + len(guards)
    unpacked = unpack_reference(classifier, reference)
    weights = make_original(settings, classifier, fitting, vocabularies, unpacked, count, figures)
    about = weights.about
    counts = {str(name): len(getattr(split, name)) for name in PARTS}
    card = _model_card(about, fitting, counts, recipe, seed, synthetic)
    neighbours = _neighbours(settings, about, [*split.train, *others, *held.guard], vocabularies, seed)
    install_original(settings, classifier, weights, vocabularies, reference, card, neighbours)
    return about


def _neighbours(
    settings: Settings, about: Version, messages: Messages, vocabularies: Vocabularies, seed: int
) -> dict[str, bytes | None]:
    """The file of messages that explain others, as many as the setting says; without it those of before are forgotten,
    if there are any."""
    name = f"{FOLDER}/{about.classifier}.npz"
    if settings.neighbours:
        vectors = message_vectors(architecture_for(vocabularies), messages, vocabularies)
        return {name: pack_neighbours(messages, vectors, about.features, settings.neighbours, seed)}
    return {name: None} if (settings.state / name).exists() else {}


def count_epochs(split: Split) -> int:
    """How often `bootstrap_messages` calls `progress`."""
    return 2 * epochs_for(split.train) + (EPOCHS * FOLDS if _are_few(split) else 0)


def _are_few(split: Split) -> bool:
    return len(split.test) < FEW_MEASURED


def _expect(
    fitting: Fitting, examples: Examples, messages: Messages, seed: int, progress: Callable[[int], None] | None
) -> dict[str, Any]:
    """What cross-validation says of the network that is to learn n messages: the share of those of a class that it gets
    right with the others learned, and between what it lies (Wilson's interval, at 95%). Made-up messages and the names
    of classes are always learned. Nothing where no fold can be made."""
    from scipy.stats import binomtest

    is_own = (examples.targets != NO_CLASS) & (np.arange(len(examples)) < len(messages))
    own, others = np.flatnonzero(is_own), np.flatnonzero(~is_own)
    folds = [
        (np.concatenate([own[learned], others]), own[judged])
        for learned, judged in divide_into_folds([messages[place] for place in own.tolist()], FOLDS, seed)
    ]
    if not folds:
        return {}
    recipe = recipe_for(len(folds[0][0]), EPOCHS)
    scores = judge_by_folds(fitting, examples, folds, partial(learn_messages, recipe=recipe, progress=progress), seed)
    own = np.concatenate([judged for _, judged in folds])
    right = int((scores[own].argmax(axis=1) == examples.targets[own]).sum())
    between = binomtest(right, len(own)).proportion_ci(CONFIDENCE, "wilson")
    return {
        "folds": len(folds),
        "count": len(own),
        "classes": len(fitting.labels),
        "right": round(right / len(own), 6),
        "between": [round(float(between.low), 6), round(float(between.high), 6)],
    }


def describe_expectation(figures: Mapping[str, Any]) -> str:
    """The sentence on what `_expect` gives."""
    low, high = (f"{100 * bound:.0f}" for bound in figures["between"])
    return (
        f"With {figures['count'] / figures['classes']:.0f} messages a class: about {100 * figures['right']:.0f} of 100 "
        f"right, between {low} and {high}, by {figures['folds']}-fold cross-validation (each of the {figures['count']} "
        "messages was judged by a network that had learned the other folds; the threshold is left aside)."
    )


class _HeldOut(NamedTuple):
    """What a network that has learned the train part alone is worth: its `figures` with the threshold, and the scores
    (n, labels) of the n messages of the test part that guard later trainings."""

    labels: Sequence[str]
    figures: dict[str, Any]
    guard: Messages
    scores: Scores


def _measure_held_out(fitting: Fitting, vocabularies: Vocabularies, split: Split, made_up: NoClass) -> _HeldOut:
    """Raises InvalidRecords when a part has no message of a class that was learned."""

    def judge(messages: Messages) -> tuple[Targets, Scores]:
        vectors = labelled_vectors(messages, fitting.labels, vocabularies)
        return vectors[:, 0].astype(np.int64), fitting.predict(fitting.classifier.name_inputs(vectors))

    parts = {}
    for name, part in (("validation", split.validation), ("held_out", split.test)):
        parts[name] = [message for message in part if message.label in fitting.labels]
        if not parts[name]:
            raise InvalidRecords(f"The {name} part of the data holds no message of a class that was learned.")
    judged = {name: judge(part) for name, part in parts.items()}
    halves = []
    for name, part in (
        ("validation", (*split.validation, *made_up.chosen_by)),
        ("held_out", (*split.test, *made_up.measured)),
    ):
        outside = [message for message in part if message.label is None]
        sure = judge(outside)[1].max(axis=1) if outside else np.zeros(0, np.float32)
        halves.append(Unlearned(find_right(*judged[name]), sure, made_up.kinds_of(outside)))
    unlearned = halves[0].join(halves[1])
    choice = choose_threshold(*unlearned)
    threshold = round(choice.threshold, DIGITS)
    figures: dict[str, Any] = {name: fitting.classifier.score(*pair, 0.0) for name, pair in judged.items()}
    for name, (_, scores) in judged.items():
        figures[name]["answered_share"] = round(float((scores.max(axis=1) >= threshold).mean()), 6)
    figures["threshold"] = threshold
    figures["no_class"] = {
        "kept": choice.keeps_the_wish,
        **({"catch_all": made_up.catch_all} if made_up.catch_all is not None else {}),
        **measure_threshold(threshold, unlearned.right, unlearned.outside),
        **measure_crosswise((halves[0], halves[1])),
    }
    return _HeldOut(fitting.labels, figures, parts["held_out"][:GUARD_MESSAGES], judged["held_out"][1][:GUARD_MESSAGES])


def _model_card(
    about: Version, fitting: Fitting, counts: Mapping[str, int], recipe: Recipe, seed: int, synthetic: bool
) -> ModelCard:
    figures = about.figures["held_out"]
    source = (
        f"**Synthetic.** Messages from {SOURCES[about.classifier].described}. No real message was seen. No core "
        "sentence is in two parts, so the figures say how well it understands sentences of the generator's that it has "
        "not seen; they promise nothing about real messages. Train on your own (docs/data-pipeline.md) before you rely "
        "on it."
        if synthetic
        else f"Messages of the `messages` table; fingerprint of the split: `{about.figures['data']}`."
    )
    parameters = f"{fitting.network.count_params():,} parameters, see `build_intent` in `sb_api/models/networks.py`"
    learned = f"Adam from {recipe.learning_rate}, batch size {recipe.batch_size}, {recipe.epochs} epochs, seed {seed}"
    made_up = " and on made-up ones that fit no class (`sb_api/synthetic/nothing.py`)"
    beside = "" if "catch_all" in about.figures["no_class"] else made_up
    names = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "answered_share")
    header = ("accuracy", "macro precision", "macro recall", "macro F1", "share answered above the threshold")
    return ModelCard(
        title=f"the {about.classifier} classifier",
        command=f"sb-api bootstrap --model {about.classifier}",
        facts=[
            ("weights", f"`{about.version}`"),
            ("tokenizers", f"`{about.tokenizers}`"),
            ("labels", ", ".join(about.labels)),
            ("network", parameters),
            ("recipe", learned),
            ("threshold", f"{about.threshold}: below it a message is of no class"),
            *([("sentence encoder", f"SHA-256 `{about.encoder}`")] if about.encoder else []),
        ],
        data=[
            source,
            f"{counts['train']} messages were learned from first. Of {counts['test']} others are the figures below; "
            f"these and {counts['validation']} more chose the threshold. Then all were learned; later trainings are "
            "measured on those of the figures, as if they had not been.",
        ],
        figures=[Table(header, [[figures[name] for name in names]])],
        notes=[
            f"The threshold is {about.threshold}, chosen on the {counts['validation'] + counts['test']} messages"
            f"{beside}. By thresholds that one half chose, measured on the other: "
            f"{describe_refusal(about.figures['no_class'])}",
            *([describe_expectation(about.figures["expected"])] if "expected" in about.figures else []),
        ],
        use="It sorts messages for people who read them. It knows the words and phrases it was trained on, in their "
        "language; a message about something else mostly scores below the threshold and is of no class, but not "
        "always.",
    )
