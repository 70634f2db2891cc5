"""What model cards of editor classifiers say: how well they tell spam, also by language and script."""

from __future__ import annotations

from typing import Any

from sb_api.bootstrap.originals import to_verdicts
from sb_api.bootstrap.reports.model_card import Table
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.models.calibration import calibrated
from sb_api.synthetic.editors import generate_in_language
from sb_api.synthetic.phrases import Language, languages
from sb_api.text.characters.scripts import KINDS, count_kinds
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

TITLE = "Lodbrok, the editor classifier"
USE = (
    "The score is for people who decide; no account should be removed on it alone. It knows accounts by their fields, "
    "not by what they edited. It must not be used to judge people, to remove or block accounts without somebody who "
    "looks, on accounts of other sites than it was made for, on languages that the figures above say nothing of, nor "
    "as evidence against anybody."
)
MOST_OF_A_LANGUAGE = 400  # accounts that the card's figures of a language are from


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
