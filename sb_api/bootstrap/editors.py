"""Making the original weights: editors -> vocabularies, a fitted network, held-out figures, a reference set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api import preprocessing
from sb_api.arrays import Arrays, Matrix
from sb_api.bootstrap.originals import (
    CALIBRATION_INNOCENT,
    CALIBRATION_SPAM,
    REPLAY_RECORDS,
    install_original,
    make_original,
    pack_reference,
    to_examples,
    to_verdicts,
    unpack_reference,
)
from sb_api.bootstrap.reports.editor_card import MOST_OF_A_LANGUAGE, TITLE, USE, figure_tables, measure_languages
from sb_api.bootstrap.reports.model_card import ModelCard, Table
from sb_api.config import Settings
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import Recipe, weigh_labels
from sb_api.models import wide_features
from sb_api.models.calibration import log_odds
from sb_api.models.classifiers import WIDE_DEEP, Classifier
from sb_api.models.explain_wide import TABLE
from sb_api.models.networks import get_arrays, set_arrays, shift_odds
from sb_api.models.wide_features import FEATURES, FULL, HAS_URL, weigh_features
from sb_api.preprocessing import VECTOR_LENGTH, in_parts, read_bios, texts_of_words
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor, generate_editors, split_by_host
from sb_api.synthetic.people import generate_people
from sb_api.synthetic.split import drop_known, known_hosts
from sb_api.text.hosts import email_domain, website_host
from sb_api.text.tokenizers import Vocabularies, fit_vocabulary
from sb_api.text.words import split_words
from sb_api.versions import Version

Common = npt.NDArray[np.bool_]  # (n, slots)

# Of Lodbrok, one epoch with dropout, three as the network predicts: with half of the nine main inputs gone at each
# step, it never learns to trust one of them, and that costs half a point of accuracy. The wide member gains by dropout
# to the end, and by more epochs: most of its features are rare.
BOOTSTRAPPING = {
    "lodbrok": Recipe(learning_rate=0.002, batch_size=64, epochs=4, final=0.1, dropout_epochs=1, averaged=True),
    "wide-deep-3": Recipe(learning_rate=0.002, batch_size=64, epochs=8, final=0.1, averaged=True),
}
LEAST_STEPS = 300  # of the wide-and-deep network, however few the rows
# Words tell most, so a network that always sees them learns little else. Held-out bios have fewer words that it knows.
# The wide member needs no such copies: dropout of its features is the same to it.
MASKED_COPIES, MASKED_SHARE = {"lodbrok": 2, "wide-deep-3": 0}, 0.7
# By how many made-up texts are of unknown words the level of the scores is set, but roughly: one seed calls ten times
# as many people spam as the next. In the end it is set by so many of the accounts of `generate_people`.
PEOPLE_CALLED_SPAM = 0.07
ACCOUNTS_OF_A_SENTENCE = 3
TEST_SHARE = 0.15
EDITORS_AT_A_TIME = 150_000  # in 7 GB of memory
_SEED_OF_NEXT_PART = 10_000_000  # far from those that measure
# A budget of 0.0025 needs some thousand innocent accounts; among fewer, chance decides what the guard sees.
GUARD_INNOCENT, GUARD_SPAM = 3000, 1000
# A host, a domain, a word or a part of one that fewer accounts have tells the network nothing but who they were. A
# hundred thousand accounts have two million such, four for each number of the wide member's table: by what it learned
# of them it judged the words of everybody. Eight was better for one part alone; where several are averaged, what one
# knows of a rare word is worth more than what it costs. Of fewer accounts, one more for each so many.
LEAST_ACCOUNTS, ACCOUNTS_FOR_ONE_MORE = 4, 16_000
# Of the main inputs: bio length in characters, and the three deltas in minutes, because what tells a script from a
# person happens within the first hour.
LOG_UNITS = np.array([0, 0, 0, 0, 1, 0, 60, 60, 60], np.float32)
# The deviations that they are scaled to: at 1 the borders between minutes would take weights larger than Adam's steps
# come to.
DEVIATIONS = np.array([1, 1, 1, 1, 1, 1, 16, 16, 16], np.float32)


def from_verdicts(verdicts: Sequence[Verdict]) -> list[SyntheticEditor]:
    """Labelled editors, as everything that learns from them takes them."""
    return [
        SyntheticEditor(msgspec.to_builtins(verdict), verdict.verdict, "given", website_host(verdict.website or ""))
        for verdict in verdicts
    ]


def bootstrap_lodbrok(
    settings: Settings,
    *,
    count: int,
    seed: int,
    echo: Callable[[str], None],
    classifier: Classifier = WIDE_DEEP,
    caution: float | None = None,
) -> dict[str, Any]:
    """Make the original of the editor classifier from `count` synthetic editors, and start its chain anew. With
    `caution` a false positive weighs so many times as much as a miss while it learns, if not as its architecture has
    it.

    Writes weights, tokenizers, the reference set and the model card, all of it or nothing; what is replaced is kept.
    Returns the held-out figures.
    """
    sizes = part_sizes(count, classifier)
    echo(f"making {count} synthetic editors" + (f", {len(sizes)} parts one after another" if len(sizes) > 1 else ""))
    vocabularies, parts = split_editors(list(generate_editors(sizes[0], seed)), seed, classifier)
    recipe = choose_recipe(classifier, len(parts.training), caution)
    held_out = sum(map(len, (parts.guard, parts.calibration, parts.test)))
    echo(f"{len(parts.training)} editors to learn from, {held_out} held out, no host on both sides")
    fitting = Fitting(classifier, classifier.labels, vocabularies)
    fit_scaling(fitting, parts.training)
    fit = partial(_fit, fitting, recipe, seed, echo)
    begin = fitting.state()
    fit(parts.training, parts.common)
    others = _make_others(sizes, seed, parts.held_out_hosts, vocabularies, classifier, echo)
    learned = len(parts.training) + _average_tables(fitting, begin, fit, others)
    if parts.common is not None:
        shift_odds(fitting.network, find_level(fitting, vocabularies, seed))

    test = to_examples(classifier, parts.test)
    figures = classifier.score(test.targets, fitting.predict(test.arrays))
    reference = pack_reference(parts.guard, replay=parts.replay, calibration=parts.calibration)
    unpacked = unpack_reference(classifier, reference)
    weights = make_original(
        settings, classifier, fitting, vocabularies, unpacked, learned, {"held_out": figures}, caution=caution
    )
    about = weights.about
    by_language = measure_languages(fitting, vocabularies, about, min(count // 100, MOST_OF_A_LANGUAGE), seed + 1)
    card = _model_card(about, recipe, seed, parts, by_language)
    path = install_original(settings, classifier, weights, vocabularies, reference, card)
    echo(f"held out: {_line(figures)}")
    echo(f"the original weights are {about.version}; model card: {path}")
    return figures


def usual_count(classifier: Classifier) -> int:
    """How many synthetic editors an architecture is made from where nobody says."""
    return 8 * EDITORS_AT_A_TIME if classifier.architecture == WIDE_DEEP.architecture else EDITORS_AT_A_TIME


def part_sizes(count: int, classifier: Classifier) -> list[int]:
    """How many of `count` synthetic editors are made and learned at a time. Only a wide member can be learned in parts:
    it is linear, so that the mean of its tables is the mean of what they say."""
    parts = -(-count // EDITORS_AT_A_TIME) if classifier.architecture == WIDE_DEEP.architecture else 1
    return [count // parts + (place < count % parts) for place in range(parts)]


def _make_others(
    sizes: Sequence[int],
    seed: int,
    held_out: Set[str],
    vocabularies: Vocabularies,
    classifier: Classifier,
    echo: Callable[[str], None],
) -> Iterator[tuple[Matrix, Common | None]]:
    """Further editors to learn from, all parts but the first, without those of hosts that are held out."""
    for place, size in enumerate(sizes[1:], start=1):
        echo(f"part {place + 1} of {len(sizes)}: making {size} synthetic editors")
        made = drop_known(generate_editors(size, seed + place * _SEED_OF_NEXT_PART), held_out)
        yield read_training(to_verdicts(made), vocabularies, classifier)


def _average_tables(
    fitting: Fitting,
    begin: tuple[Arrays, Arrays],
    fit: Callable[[Matrix, Common | None], None],
    others: Iterable[tuple[Matrix, Common | None]],
) -> int:
    """Learn further parts, each anew from where the network began; its wide member is then the mean of all (Breiman,
    Bagging predictors, 1996), the rest of it what it was. Returns how many editors these parts had."""
    arrays, optimizer = fitting.state()
    tables, learned = [], 0
    for vectors, common in others:
        fitting.restore(begin)
        fit(vectors, common)
        tables.append(fitting.state()[0][TABLE])
        learned += len(vectors)
    if tables:
        fitting.restore(({**arrays, TABLE: np.mean([arrays[TABLE], *tables], axis=0)}, optimizer))
    return learned


def _fit(
    fitting: Fitting,
    recipe: Recipe,
    seed: int,
    echo: Callable[[str], None],
    vectors: Matrix,
    common: Common | None,
) -> None:
    """Fit to n vectors, of whose slots (n, slots) those that are not common say nothing; the others weigh in full."""
    epochs = itertools.count(1)

    def progress(_: int) -> None:
        echo(f"epoch {next(epochs)} of {recipe.epochs}: {len(vectors)} editors")

    classifier = fitting.classifier
    examples = to_examples(classifier, add_masked(vectors, MASKED_COPIES[classifier.architecture], seed))
    if common is not None:
        # In place: weights of that many rows are half of the memory that this takes.
        weights = examples.arrays["weight_input"]
        for part in in_parts(len(weights)):
            weights[part] = weigh_features(examples.arrays["feature_input"][part], FULL) * common[part]
    fitting.fit(examples, seed, recipe=recipe, progress=progress)


def find_level(fitting: Fitting, vocabularies: Vocabularies, seed: int) -> float:
    """What is to be added to the log-odds of spam, so that of people's accounts PEOPLE_CALLED_SPAM are called spam."""
    people = to_verdicts(list(generate_people(ACCOUNTS_OF_A_SENTENCE, seed)))
    scores = fitting.predict(fitting.classifier.preprocess(people, vocabularies))
    return -float(np.quantile(log_odds(scores), 1 - PEOPLE_CALLED_SPAM))


def choose_recipe(classifier: Classifier, rows: int, caution: float | None) -> Recipe:
    """How an architecture is fitted to so many rows."""
    recipe = BOOTSTRAPPING[classifier.architecture]
    steps = -(-rows // recipe.batch_size)
    epochs = recipe.epochs if classifier.architecture == "lodbrok" else max(recipe.epochs, -(-LEAST_STEPS // steps))
    weights = weigh_labels(classifier.caution if caution is None else caution)
    return replace(recipe, epochs=epochs, label_weights=weights)


def fit_vocabularies(editors: Sequence[Verdict]) -> Vocabularies:
    """The vocabularies of bio words, e-mail domains and website hosts of n editors."""
    bios = (split_words(text) for text in texts_of_words(read_bios(editors)) if text)
    domains = ([email_domain(editor.email)] for editor in editors if editor.email and "@" in editor.email)
    hosts = ([host] for editor in editors if editor.website and (host := website_host(editor.website)))
    return Vocabularies(
        {
            "bio": fit_vocabulary(bios, preprocessing.BIO_WORDS),
            "email": fit_vocabulary(domains, preprocessing.EMAIL_DOMAINS, LEAST_ACCOUNTS),
            "website": fit_vocabulary(hosts, preprocessing.WEBSITE_HOSTS, LEAST_ACCOUNTS),
        }
    )


def add_masked(vectors: Matrix, copies: int, seed: int) -> Matrix:
    """n vectors, followed by so many copies of each (DeVries and Taylor's cutout, 2017, of words). In a share
    `MASKED_SHARE` of the copies the words of the bio are left out, each with the same probability, which is drawn
    evenly for every copy."""
    random = np.random.default_rng(seed)
    parts = [vectors]
    for _ in range(copies):
        copy = vectors.copy()
        lost = random.random((len(copy), 1), np.float32) * (random.random((len(copy), 1)) < MASKED_SHARE)
        words = copy[:, 12:VECTOR_LENGTH]
        words[random.random(words.shape, np.float32) < lost] = 0.0
        parts.append(copy)
    return np.concatenate(parts) if copies else vectors


def fit_scaling(fitting: Fitting, vectors: Matrix) -> None:
    """Set the network's scaling of the main inputs so that their signed logarithms have the mean 0 and `DEVIATIONS`."""
    main = vectors[:, 1:10]
    scaled = np.where(LOG_UNITS > 0, np.sign(main) * np.log1p(LOG_UNITS * np.abs(main)), main)
    deviation = scaled.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0) / DEVIATIONS
    scaling = {"log": LOG_UNITS, "mean": scaled.mean(axis=0), "deviation": deviation}
    arrays = get_arrays(fitting.network)
    set_arrays(fitting.network, arrays | {f"main_scaling/{name}": value for name, value in scaling.items()})


@dataclass(frozen=True)
class Parts:
    """The vectors of labelled editors: what is learned, and what is held out, each row for one purpose alone; of those
    to learn from also which of their slots hold what several accounts have, if the network knows features; of those
    held out their hosts and mail domains."""

    training: Matrix
    guard: Matrix
    calibration: Matrix
    test: Matrix
    common: Common | None = None
    held_out_hosts: frozenset[str] = frozenset()

    @property
    def replay(self) -> Matrix:
        """The rows of the training part that ship, so that later trainings do not forget. Longer vectors are fewer,
        because the train process has them all in memory."""
        return self.training[: REPLAY_RECORDS if self.training.shape[1] == VECTOR_LENGTH else REPLAY_RECORDS // 2]


def split_editors(
    editors: Sequence[SyntheticEditor], seed: int, classifier: Classifier, vocabularies: Vocabularies | None = None
) -> tuple[Vocabularies, Parts]:
    """Vocabularies, of the training part if none are given, and the parts. No host is both in the training part and
    held out."""
    if classifier.vectors is None:
        raise ValueError(f"{classifier.name} has no vectors of labelled records.")
    sides = split_by_host(editors, TEST_SHARE, seed)
    training, held_out = map(to_verdicts, sides)
    vocabularies = vocabularies or fit_vocabularies(training)
    vectors = classifier.vectors(held_out, vocabularies)
    random = np.random.default_rng(seed)
    # Few editors make small parts: at most a sixth of what is held out each, so that some are left to test on.
    most = len(vectors) // 6
    guard, vectors = _draw(vectors, (min(GUARD_INNOCENT, most), min(GUARD_SPAM, most)), random)
    calibration, test = _draw(vectors, (min(CALIBRATION_INNOCENT, most), min(CALIBRATION_SPAM, most)), random)
    learned, common = read_training(training, vocabularies, classifier)
    return vocabularies, Parts(learned, guard, calibration, test, common, known_hosts(sides[1]))


def read_training(
    editors: Sequence[Verdict], vocabularies: Vocabularies, classifier: Classifier
) -> tuple[Matrix, Common | None]:
    """The vectors of editors to learn from, and which of their slots hold what several of them have."""
    if classifier.vectors is None:
        raise ValueError(f"{classifier.name} has no vectors of labelled records.")
    vectors = classifier.vectors(editors, vocabularies)
    if vectors.shape[1] != wide_features.VECTOR_LENGTH:
        return vectors, None
    least = min(LEAST_ACCOUNTS, 1 + len(editors) // ACCOUNTS_FOR_ONE_MORE)
    return vectors, wide_features.find_common(editors, vectors[:, HAS_URL] > 0, least)


def _draw(vectors: Matrix, sizes: tuple[int, int], random: np.random.Generator) -> tuple[Matrix, Matrix]:
    """So many rows of either verdict, and the rest."""
    places = (random.permutation(np.flatnonzero(vectors[:, 0] == verdict)) for verdict in (0, 1))
    chosen = np.sort(np.concatenate([part[:size] for part, size in zip(places, sizes, strict=True)]))
    return vectors[chosen], np.delete(vectors, chosen, axis=0)


def _line(figures: dict[str, Any]) -> str:
    names = ("precision", "recall", "f1", "roc_auc", "false_positives_per_thousand")
    return ", ".join(f"{name.replace('_', ' ')} {figures[name]}" for name in names)


def describe_recipe(recipe: Recipe, copies: int) -> str:
    """How accounts were learned, for the model card."""
    masked = f" and {copies} copies of it, {MASKED_SHARE:.0%} of which lack words" if copies else ""
    weights = recipe.label_weights
    costs = f"{weights[0] / weights[1]:.0f} misses" if weights else "a miss"
    return (
        f"Adam at {recipe.learning_rate}, falling along half a cosine to {recipe.final:.0%} of that, batch size "
        f"{recipe.batch_size}, {recipe.epochs} epochs, the first {min(recipe.dropout_epochs, recipe.epochs)} with "
        f"dropout, over each account{masked}; the mean of the second half of the iterates; a false positive costs as "
        f"much as {costs}"
    )


def editor_facts(about: Version, recipe: Recipe) -> list[tuple[str, str]]:
    """The head of an editor classifier's model card."""
    parameters = "759,618" if about.architecture == "lodbrok" else f"{759_618 + FEATURES:,}"
    return [
        ("weights", f"`{about.version}`"),
        ("tokenizers", f"`{about.tokenizers}`"),
        ("labels", ", ".join(about.labels)),
        ("network", f"{about.architecture}: {parameters} trainable parameters, see `sb_api/models/networks.py`"),
        ("recipe", describe_recipe(recipe, MASKED_COPIES[about.architecture or "lodbrok"])),
    ]


def _model_card(about: Version, recipe: Recipe, seed: int, parts: Parts, by_language: Table) -> ModelCard:
    figures = about.figures["held_out"]
    total = about.learned + sum(map(len, (parts.guard, parts.calibration, parts.test)))
    in_parts = (
        f", {len(parts.training)} of them by both members, the others by the wide one alone, which is the mean of what "
        "it learned of each part"
    )
    return ModelCard(
        title=TITLE,
        command="sb-api bootstrap",
        facts=editor_facts(about, recipe),
        data=[
            f"**Synthetic.** {total} accounts from the seeded generator `sb_api/synthetic/editors.py` (seed {seed}). "
            "No real account was seen. The figures say how well the network tells the generator's spam from its "
            "editors; they promise nothing about real accounts. Train on your own with `sb-api bootstrap "
            "editors.jsonl` before you rely on it. What moderators' verdicts do to it, and how it compares with other "
            "classifiers, is in `docs/learning.md`.",
            f"{about.learned} accounts were learned from{in_parts if about.learned > len(parts.training) else ''}; "
            f"{len(parts.replay)} ship, to be mixed into later trainings. {len(parts.test)} others were held out for "
            f"the figures below, {len(parts.guard)} more to measure every later training on, and "
            f"{len(parts.calibration)} to calibrate its scores and choose its thresholds. Accounts that share a "
            "website host or an e-mail domain of their own are all on one side, so "
            "no figure comes from a memorised host.",
        ],
        figures=[*figure_tables(figures), by_language],
        notes=[
            "Languages: accounts with a bio of another seed of the same generator, whose sentences it has learned from "
            "others; so the table says that no language or script is worse off, not how good it is on real people. "
            "What it says of words of real people, who are in nobody's training data, is in `docs/scores.md`.",
        ],
        use=USE,
    )
