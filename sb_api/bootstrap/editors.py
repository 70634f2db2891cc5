"""Making the original weights: editors -> vocabularies, a fitted network, held-out figures, a reference set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api import preprocessing
from sb_api.arrays import Matrix
from sb_api.bootstrap.originals import (
    CALIBRATION_INNOCENT,
    CALIBRATION_SPAM,
    REPLAY_RECORDS,
    install_original,
    to_examples,
    to_verdicts,
    write_reference,
    write_vocabularies,
)
from sb_api.bootstrap.reports.model_card import ModelCard, Table, write_card
from sb_api.config import Settings
from sb_api.learning.recipe import Recipe, weigh_labels
from sb_api.learning.training_loop import Fitting
from sb_api.models import wide_features
from sb_api.models.calibration import calibrated
from sb_api.models.classifiers import WIDE_DEEP, Classifier
from sb_api.models.networks import get_arrays, set_arrays, shift_odds
from sb_api.models.wide_features import FEATURES, HAS_URL
from sb_api.preprocessing import VECTOR_LENGTH, read_bios, texts_of_words
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor, generate_editors, generate_in_language, split_by_host
from sb_api.synthetic.phrases import Language, languages
from sb_api.text.hosts import email_domain, website_host
from sb_api.text.scripts import KINDS, count_kinds
from sb_api.text.tokenizers import Vocabularies, fit_vocabulary
from sb_api.text.words import split_words
from sb_api.versions import Version

# Of Lodbrok, one epoch with dropout, three as the network predicts: with half of the nine main inputs gone at each
# step, it never learns to trust one of them, and that costs half a point of accuracy. The wide member gains by dropout
# to the end, and by more epochs: most of its features are rare.
BOOTSTRAPPING = {
    "lodbrok": Recipe(learning_rate=0.002, batch_size=64, epochs=4, final=0.1, dropout_epochs=1, averaged=True),
    "wide-deep-20": Recipe(learning_rate=0.002, batch_size=64, epochs=8, final=0.1, averaged=True),
}
LEAST_STEPS = 300  # of the wide-and-deep network, however few the rows
# Words tell most, so a network that always sees them learns little else. Held-out bios have fewer words that it knows.
# The wide member needs no such copies: dropout of its features is the same to it.
MASKED_COPIES, MASKED_SHARE = {"lodbrok": 2, "wide-deep-20": 0}, 0.7
# What is added to the log-odds of spam in the end. By how many made-up texts are of unknown words the level is set
# roughly, one seed by 0.3 from the next; of what people write a little too much was called spam.
LEVEL = -0.25
TEST_SHARE = 0.35
SYNTHETIC_EDITORS = 200_000
TITLE = "Lodbrok, the editor classifier"
USE = (
    "The score is for people who decide; no account should be removed on it alone. It knows accounts by their fields, "
    "not by what they edited. It must not be used to judge people, to remove or block accounts without somebody who "
    "looks, on accounts of other sites than it was made for, on languages that the figures above say nothing of, nor "
    "as evidence against anybody."
)
MOST_OF_A_LANGUAGE = 400  # accounts that the card's figures of a language are from
# A budget of 0.0025 needs some thousand innocent accounts; among fewer, chance decides what the guard sees.
GUARD_INNOCENT, GUARD_SPAM = 3000, 1000
# A host, a domain, a word or a part of one that fewer accounts have tells the network nothing but who they were. A
# hundred thousand accounts have two million such, four for each number of the wide member's table: by what it learned
# of them it judged the words of everybody. Of fewer accounts, one more for each so many.
LEAST_ACCOUNTS, ACCOUNTS_FOR_ONE_MORE = 8, 16_000
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

    Writes weights, tokenizers, the reference set and the model card; returns the held-out figures.
    """
    echo(f"making {count} synthetic editors")
    editors = list(generate_editors(count, seed))
    vocabularies, parts = split_editors(editors, seed, classifier)
    recipe = choose_recipe(classifier, len(parts.training), caution)
    held_out = sum(map(len, (parts.guard, parts.calibration, parts.test)))
    echo(f"{len(parts.training)} editors to learn from, {held_out} held out, no host on both sides")
    fitting = Fitting(classifier, classifier.labels, vocabularies)
    fit_scaling(fitting, parts.training)
    epochs = itertools.count(1)

    def progress(_: int) -> None:
        echo(f"epoch {next(epochs)} of {recipe.epochs}: {len(parts.training)} editors")

    rows = add_masked(parts.training, MASKED_COPIES[classifier.architecture], seed)
    examples = to_examples(classifier, rows)
    if parts.common is not None:
        # In place: weights of that many rows are half of the memory that this takes.
        np.multiply(examples.arrays["weight_input"], parts.common, out=examples.arrays["weight_input"])
    fitting.fit(examples, seed, recipe=recipe, progress=progress)
    if parts.common is not None:
        shift_odds(fitting.network, LEVEL)

    test = to_examples(classifier, parts.test)
    figures = classifier.score(test.targets, fitting.predict(test.arrays))
    write_vocabularies(settings, classifier, vocabularies)
    write_reference(settings, classifier, parts.guard, replay=parts.replay, calibration=parts.calibration)
    about = install_original(
        settings, classifier, fitting, vocabularies, len(parts.training), {"held_out": figures}, caution=caution
    )
    by_language = measure_languages(fitting, vocabularies, about, min(count // 100, MOST_OF_A_LANGUAGE), seed + 1)
    card = write_card(settings, classifier.name, _model_card(about, recipe, seed, parts, by_language))
    echo(f"held out: {_line(figures)}")
    echo(f"the original weights are {about.version}; model card: {card}")
    return figures


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
    to learn from also which of their slots hold what several accounts have, if the network knows features."""

    training: Matrix
    guard: Matrix
    calibration: Matrix
    test: Matrix
    common: npt.NDArray[np.bool_] | None = None

    @property
    def replay(self) -> Matrix:
        """The rows of the training part that ship, so that later trainings do not forget. Longer vectors are fewer,
        because the train process has them all in memory."""
        return self.training[: REPLAY_RECORDS if self.training.shape[1] == VECTOR_LENGTH else REPLAY_RECORDS // 2]


def split_editors(editors: Sequence[SyntheticEditor], seed: int, classifier: Classifier) -> tuple[Vocabularies, Parts]:
    """Vocabularies of the training part, and the parts. No host is both in the training part and held out."""
    if classifier.vectors is None:
        raise ValueError(f"{classifier.name} has no vectors of labelled records.")
    training, held_out = (to_verdicts(side) for side in split_by_host(editors, TEST_SHARE, seed))
    vocabularies = fit_vocabularies(training)
    vectors = classifier.vectors(held_out, vocabularies)
    random = np.random.default_rng(seed)
    # Few editors make small parts: at most a sixth of what is held out each, so that some are left to test on.
    most = len(vectors) // 6
    guard, vectors = _draw(vectors, (min(GUARD_INNOCENT, most), min(GUARD_SPAM, most)), random)
    calibration, test = _draw(vectors, (min(CALIBRATION_INNOCENT, most), min(CALIBRATION_SPAM, most)), random)
    learned = classifier.vectors(training, vocabularies)
    has_features = learned.shape[1] == wide_features.VECTOR_LENGTH
    least = min(LEAST_ACCOUNTS, 1 + len(training) // ACCOUNTS_FOR_ONE_MORE)
    common = wide_features.find_common(training, learned[:, HAS_URL] > 0, least) if has_features else None
    return vocabularies, Parts(learned, guard, calibration, test, common)


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


def figure_tables(figures: dict[str, Any]) -> list[Table]:
    """The held-out figures of an editor classifier, as `score_binary` gives them."""
    names = ("precision", "recall", "f1", "roc_auc", "accuracy", "false_positives_per_thousand")
    header = ("precision", "recall", "F1", "ROC AUC", "accuracy", "false positives per thousand")
    innocent, spam = figures["confusion"]
    confusion = Table(("", "judged not spam", "judged spam"), [("not spam", *innocent), ("spam", *spam)])
    return [Table(header, [[figures[name] for name in names]]), confusion]


def measure_languages(fitting: Fitting, vocabularies: Vocabularies, about: Version, count: int, seed: int) -> Table:
    """What is said of `count` made-up accounts of each language that have a bio, half of them spam."""
    classifier = fitting.classifier
    if classifier.vectors is None:
        raise ValueError(f"{classifier.name} has no vectors of labelled records.")
    rows = []
    for code, language in sorted(languages().items()):
        verdicts = to_verdicts(list(generate_in_language(code, count, seed)))
        vectors = classifier.vectors(verdicts, vocabularies)
        scores = calibrated(fitting.predict(classifier.name_inputs(vectors)), about.temperature)[:, 1]
        innocent, spam = (scores[vectors[:, 0] == verdict] for verdict in (0, 1))
        certain = f"{(innocent > about.borders[0]).mean():.1%}" if about.borders and len(innocent) else ""
        shares = (f"{(some >= 0.5).mean():.1%}" if len(some) else "" for some in (innocent, spam))
        called, caught = shares
        rows.append((code, _script_of(language), called, certain, caught))
    header = ("language", "script", "innocent: 0.5 or more", "innocent: `certain spam`", "spam: 0.5 or more")
    return Table(header, rows)


def _script_of(language: Language) -> str:
    """The script that most letters of its sentences are of."""
    kinds = count_kinds(["".join(language.everyday)])[0]
    latin = kinds[KINDS.index("small letter")]
    others = {kind: kinds[KINDS.index(kind)] for kind in KINDS[KINDS.index("Greek") :]}
    most = max(others, key=others.__getitem__)
    return most.removesuffix(" letter") if others[most] > latin else "Latin"


def _model_card(about: Version, recipe: Recipe, seed: int, parts: Parts, by_language: Table) -> ModelCard:
    figures = about.figures["held_out"]
    total = sum(map(len, (parts.training, parts.guard, parts.calibration, parts.test)))
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
            f"{len(parts.training)} accounts were learned from; {len(parts.replay)} of them ship, to be mixed into "
            f"later trainings. {len(parts.test)} others were held out for the figures below, {len(parts.guard)} more "
            f"to measure every later training on, and {len(parts.calibration)} to calibrate its scores and choose its "
            "thresholds. Accounts that share a website host or an e-mail domain of their own are all on one side, so "
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
