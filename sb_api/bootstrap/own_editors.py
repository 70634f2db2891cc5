"""The original made from somebody's own labelled editors: looked over, judged across folds, set beside the weights in
use, and only then put in their place, learned anew from all rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sb_api.arrays import Matrix, Scores, Targets
from sb_api.bootstrap.checks import Checked
from sb_api.bootstrap.cross_validation import (
    FOLDS,
    CrossFitted,
    Progress,
    Start,
    cross_fit,
    editor_rows,
    fine_tuning_recipes,
    fit_from,
    make_folds,
    recipes_for,
)
from sb_api.bootstrap.editors import editor_facts, fit_vocabularies
from sb_api.bootstrap.originals import (
    REPLAY_RECORDS,
    install_original,
    make_original,
    pack_reference,
    to_verdicts,
    unpack_reference,
)
from sb_api.bootstrap.reports.editor_card import TITLE, USE, figure_tables
from sb_api.bootstrap.reports.model_card import ModelCard, Table
from sb_api.config import Settings
from sb_api.errors import InvalidRecords, SbApiError
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import Recipe, weigh_labels
from sb_api.learning.reference_set import GUARD, SHARPEST_TEMPERATURE, Calibration, calibrate_scores, read_part
from sb_api.models.calibration import BUDGETS, apply_temperature, correct_log_odds, fit_shift, log_odds
from sb_api.models.classifiers import CLASSIFIERS, WIDE_DEEP, Classifier, find_classifier
from sb_api.models.measures import best_f1, recall_at_budget, reliability
from sb_api.models.networks import shift_odds
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import parse_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.records import EDITORS, Verdict
from sb_api.synthetic.editors import SyntheticEditor
from sb_api.text.tokenizers import load_vocabularies
from sb_api.versions import Version

logger = logging.getLogger(__name__)

# Accounts of each verdict, to learn from nothing and from the shipped weights: two in each fold at least.
LEAST_OF_A_VERDICT, LEAST_TO_FINE_TUNE = 50, 10
REFERENCE_ROWS = 5000  # that later trainings are measured and calibrated on
SURELY = 1.645  # standard errors: 95%, one-sided
ALARMS = (1, 2, 5)  # false alarms per thousand innocent accounts
LARGE_ERROR = 0.1  # of calibration: more than that of some hundred accounts is by chance alone
UNKNOWN = "unknown"
SURE = 0.9  # of what accounts without a false alarm say of others


@dataclass(frozen=True)
class Plan:
    """All that is known before anything is replaced: what the new weights would say of n accounts that they have not
    learned, and what those in use say of the same accounts. `shift` is what scores lack on the whole (log odds), which
    those of `crossed` have been given. `losses` are those of the shipped weights, untouched and fine-tuned, where these
    are what is learned from; `wanted` is the budget of false positives that is asked for."""

    classifier: Classifier
    fitting: Fitting
    start: Start
    caution: float | None
    seed: int
    checked: Checked
    verdicts: Sequence[Verdict]
    crossed: CrossFitted
    shift: float
    calibration: Calibration
    new: dict[str, Any]
    in_use: tuple[str, dict[str, Any]] | None
    losses: tuple[float, float] | None
    wanted: float

    @property
    def targets(self) -> Targets:
        return np.array([verdict.verdict for verdict in self.verdicts])

    @property
    def innocent(self) -> int:
        return int((self.targets == 0).sum())

    @property
    def recipe(self) -> Recipe:
        """How all accounts are learned: in as many steps as the networks of the folds learned theirs, whose scores the
        borders are of. With more, scores go further apart, and more innocent accounts would be above a border."""
        chosen = self.crossed.recipe
        return replace(chosen, epochs=max(1, round(chosen.epochs * (FOLDS - 1) / FOLDS)))


def plan_original(
    settings: Settings,
    checked: Checked,
    *,
    seed: int,
    classifier: Classifier = WIDE_DEEP,
    caution: float | None = None,
    from_shipped: bool = False,
    progress: Progress,
) -> Plan:
    """Find out what an original made from labelled editors would be worth; nothing is written.

    Learned from nothing, or from the shipped weights (whose architecture it then has). Raises InvalidRecords when the
    editors are too few, or when the shipped weights are better as they are.
    """
    require_enough(checked.editors, from_shipped)
    verdicts = to_verdicts(checked.editors)
    folds = make_folds(checked.editors, seed)
    start, fitting = _from_shipped(settings, classifier.name) if from_shipped else _from_nothing(classifier, verdicts)
    classifier = fitting.classifier
    tried = fine_tuning_recipes if from_shipped else recipes_for
    crossed = cross_fit(start, fitting, verdicts, folds, tried(classifier, len(verdicts), caution), seed, progress)
    targets = np.array([verdict.verdict for verdict in verdicts])
    losses = _compare_losses(start, fitting, verdicts, crossed) if from_shipped else None
    weighed = classifier.caution if caution is None else caution
    shift = fit_shift(targets, crossed.scores, np.array(weigh_labels(weighed) or (1.0, 1.0))[targets])
    shifted = correct_log_odds(crossed.scores, np.full(len(targets), shift))
    crossed = replace(crossed, scores=shifted.astype(np.float32))
    calibration = calibrate_scores(targets, crossed.scores, settings.fp_budget, weighed)
    spam = apply_temperature(crossed.scores, calibration.temperature)[:, 1]
    new = describe_scores(targets, spam, calibration.borders)
    return Plan(
        classifier=classifier,
        fitting=fitting,
        start=start,
        caution=caution,
        seed=seed,
        checked=checked,
        verdicts=verdicts,
        crossed=crossed,
        shift=shift,
        calibration=calibration,
        new=new,
        in_use=_judge_in_use(settings, verdicts, targets),
        losses=losses,
        wanted=settings.fp_budget,
    )


def replace_original(settings: Settings, plan: Plan) -> Version:
    """Learn all editors of a plan and make that the original; the weights that it replaces are kept.

    Writes weights, tokenizers, the reference set and the model card: all of it or nothing. Raises EngineDisagrees.
    """
    classifier, fitting, targets = plan.classifier, plan.fitting, plan.targets
    vocabularies = fit_from(plan.start, fitting, plan.verdicts, plan.recipe, plan.seed)
    shift_odds(fitting.network, plan.shift)
    vectors = editor_rows(classifier, plan.verdicts, vocabularies)
    learned = fitting.predict(classifier.name_inputs(vectors))
    # What cross-validation says of a record and what is said of it once it is learned differ by this.
    corrections = log_odds(plan.crossed.scores) - log_odds(learned)
    figures = {
        "held_out": classifier.score(targets, plan.crossed.scores),
        "calibrated": plan.new,
        "budget": plan.calibration.budget,
    }
    reference = _make_reference(settings, plan, vectors, corrections)
    weights = make_original(
        settings,
        classifier,
        fitting,
        vocabularies,
        unpack_reference(classifier, reference),
        len(plan.verdicts),
        figures,
        caution=plan.caution,
    )
    install_original(settings, classifier, weights, vocabularies, reference, _model_card(plan, weights.about))
    return weights.about


def require_enough(editors: Sequence[SyntheticEditor], from_shipped: bool) -> None:
    """Raises InvalidRecords, with what to do, when there are too few editors of a verdict."""
    spam = sum(editor.verdict for editor in editors)
    innocent = len(editors) - spam
    least = LEAST_TO_FINE_TUNE if from_shipped else LEAST_OF_A_VERDICT
    if min(spam, innocent) >= least:
        return
    if not spam or not innocent:
        advice = "Nothing can be told apart with one verdict alone; add accounts of the other."
    elif from_shipped or min(spam, innocent) < LEAST_TO_FINE_TUNE:
        advice = "Send them as verdicts instead (`sb-api train`), and come back with more."
    else:
        advice = (
            "Add more, or let the shipped weights learn them with `--from shipped`, which is done only when "
            "cross-validation says that it makes them better."
        )
    raise InvalidRecords(
        f"There are {spam} accounts of spam and {innocent} that are not; at least {least} of each are needed. {advice}",
        errors={},
    )


def describe_scores(targets: Targets, spam: Scores, borders: Sequence[float]) -> dict[str, Any]:
    """What n calibrated scores (n,) of label 1 are worth to those who decide by them.

    `caught`: the share of spam above the threshold that lets through 1, 2 and 5 of 1,000 innocent accounts, None where
    one of these is more than that, and of none; `certain`: the shares of innocent accounts and of spam in that band;
    `unsure`: the share of all in that one.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    innocent = targets == 0
    described: dict[str, Any] = {
        "roc_auc": roc_auc_score(targets, spam),
        "f1": f1_score(targets, spam > 0.5),
        "best_f1": best_f1(targets, spam),
        "calibration_error": reliability(spam, targets == 1)["expected_calibration_error"],
    }
    for alarms in ALARMS:
        can_show = innocent.sum() * alarms >= 1000
        described[f"caught_at_{alarms}"] = recall_at_budget(targets, spam, alarms / 1000) if can_show else None
    described["caught_at_none"] = recall_at_budget(targets, spam, 0)
    if borders:
        certain, probable, fine = borders
        described |= {
            "innocent_certain": float((spam[innocent] > certain).mean()),
            "spam_certain": float((spam[~innocent] > certain).mean()),
            "unsure": float(((spam <= probable) & (spam >= fine)).mean()),
        }
    return {name: None if value is None else round(float(value), 4) for name, value in described.items()}


def _from_nothing(classifier: Classifier, verdicts: Sequence[Verdict]) -> tuple[Start, Fitting]:
    fitting = Fitting(classifier, classifier.labels, fit_vocabularies(verdicts))
    about = Version(classifier=classifier.name, version="", parent=None, created="", tokenizers="", labels=[])
    return Start(fitting.snapshot(about)), fitting


def _from_shipped(settings: Settings, name: str) -> tuple[Start, Fitting]:
    path = settings.static / "weights" / f"original_{name}.h5"
    weights = parse_weights(path.read_bytes(), str(path))
    classifier = find_classifier(weights.about)
    vocabularies = load_vocabularies([settings.static / "tokenizers"], classifier.vocabulary_sizes)
    return Start(weights, vocabularies), Fitting(classifier, weights.about.labels, vocabularies)


def _compare_losses(
    start: Start, fitting: Fitting, verdicts: Sequence[Verdict], crossed: CrossFitted
) -> tuple[float, float]:
    """The loss on n accounts of weights before they learn any of them, and once they have learned the others. Raises
    InvalidRecords unless it is surely less then."""
    if start.vocabularies is None:
        raise ValueError("There is nothing to judge with that has not learned anything.")
    fitting.load(start.weights)
    vectors = editor_rows(fitting.classifier, verdicts, start.vocabularies)
    targets = vectors[:, 0].astype(np.int64)
    scores = fitting.predict(fitting.classifier.name_inputs(vectors))
    before, after = (_losses(targets, one) for one in (scores, crossed.scores))
    gains = before - after
    if gains.mean() <= SURELY * gains.std(ddof=1) / np.sqrt(len(gains)):
        raise InvalidRecords(
            f"The shipped weights are as good as they are: learning these {len(verdicts)} accounts takes the loss on "
            f"accounts that were not learned from {before.mean():.4f} to {after.mean():.4f}, which is no sure gain. "
            "Nothing was changed; send them as verdicts instead (`sb-api train`), and come back with more.",
            errors={},
        )
    return float(before.mean()), float(after.mean())


def _losses(targets: Targets, scores: Scores) -> Scores:
    """-ln P(target) of each of n scores (n, 2) after Platt scaling (Probabilistic Outputs for Support Vector Machines,
    1999): that spam is more or less common here than elsewhere is no reason to learn anew."""
    from sklearn.linear_model import LogisticRegression

    odds = log_odds(scores)[:, None]
    fitted = LogisticRegression().fit(odds, targets).predict_proba(odds)
    return np.asarray(-np.log(fitted[np.arange(len(targets)), targets]), np.float64)


def _judge_in_use(
    settings: Settings, verdicts: Sequence[Verdict], targets: Targets
) -> tuple[str, dict[str, Any]] | None:
    """The version in use and what its scores are worth on the same accounts; None when it cannot be used."""
    classifier = CLASSIFIERS[EDITORS.name]
    try:
        weights = WeightsStore.of(settings, classifier.name).load_current()
        model = Predictor(classifier, weights, classifier.load_vocabularies(settings), settings.engine)
        scores, _ = model.judge(verdicts)
    except SbApiError as error:
        logger.warning("the weights in use cannot be set beside the new ones: %s", error.detail)
        return None
    return weights.about.version, describe_scores(targets, scores[:, 1].astype(np.float64), weights.about.borders)


def _make_reference(settings: Settings, plan: Plan, vectors: Matrix, corrections: Scores) -> bytes:
    """All rows are replayed; some thousand of them are what later trainings are measured and calibrated on. Where the
    shipped weights are fine-tuned, what they know is replayed and guarded too."""
    random = np.random.default_rng(plan.seed)
    chosen = np.sort(random.permutation(len(vectors))[:REFERENCE_ROWS])
    own, corrected = vectors[chosen], corrections[chosen]
    replay, guard = vectors[:REPLAY_RECORDS], own
    if plan.start.vocabularies is not None:
        shipped = settings.static / "reference" / f"{plan.classifier.name}.npz"
        known = read_part(shipped, GUARD)
        replay = np.concatenate([vectors, read_part(shipped, "replay")])[:REPLAY_RECORDS]
        guard = np.concatenate([own, known])
        guarded = np.concatenate([corrected, np.zeros(len(known))])
    else:
        guarded = corrected
    return pack_reference(guard, {GUARD: guarded, "calibration": corrected}, replay=replay, calibration=own)


def _model_card(plan: Plan, about: Version) -> ModelCard:
    spam = int(plan.targets.sum())
    start = "the shipped weights" if plan.start.vocabularies else "nothing"
    shares = {f"{alarms} of 1,000": plan.new[f"caught_at_{alarms}"] for alarms in ALARMS}
    shares[f"none of these {plan.innocent}"] = plan.new["caught_at_none"]
    caught = [(called, UNKNOWN if share is None else f"{share:.1%}") for called, share in shares.items()]
    beside = [("new", about.version, plan.new), *([("in use before", *plan.in_use)] if plan.in_use else [])]
    names = ("roc_auc", "f1", "best_f1", "calibration_error")
    return ModelCard(
        title=TITLE,
        command="sb-api bootstrap",
        facts=editor_facts(about, plan.recipe),
        data=[
            f"Labelled editors given to `sb-api bootstrap` (seed {plan.seed}): {spam} of spam and "
            f"{len(plan.targets) - spam} that are not, learned from {start}. "
            f"{len(plan.checked.unused)} were reported and not used as they stood.",
            f"All {len(plan.targets)} accounts were learned from. The figures below are from cross-validation: each "
            f"account was judged by weights that had learned {FOLDS - 1} of {FOLDS} parts of the others and not the "
            "part that it is in. Accounts that share a website host or an e-mail domain of their own are in one part, "
            "so no figure comes from a memorised host. How long to learn was chosen on two of the parts.",
            *plan.checked.warnings,
        ],
        figures=[
            *figure_tables(about.figures["held_out"]),
            Table(
                ("weights", "version", "ROC AUC", "F1 at 0.5", "F1 at the best threshold", "calibration error"),
                [(owner, f"`{version}`", *(figures[name] for name in names)) for owner, version, figures in beside],
            ),
            Table(("innocent accounts called spam", "spam caught"), caught),
        ],
        notes=[*describe_calibration(plan), *describe_alarms(plan), describe_budget(plan)],
        use=USE,
    )


def describe_calibration(plan: Plan) -> list[str]:
    """Why scores are far from how right they are though their order is sound; nothing where they are not."""
    temperature, error = plan.calibration.temperature, plan.new["calibration_error"]
    if temperature > SHARPEST_TEMPERATURE or error <= LARGE_ERROR:
        return []
    return [
        f"The calibration error is {error:.2f} because scores are less sure than they are right: none are made sharper "
        f"than by a temperature of {SHARPEST_TEMPERATURE}. Their order is not touched by it."
    ]


def describe_alarms(plan: Plan) -> list[str]:
    """Why figures at so few false alarms cannot be told, and what can be; nothing where all can."""
    if plan.new[f"caught_at_{ALARMS[0]}"] is not None:
        return []
    # Of n others drawn alike, none lies above a threshold that a share p exceeds with the probability (1 - p)^n.
    most = 1 - (1 - SURE) ** (1 / plan.innocent)
    return [
        f"So few false alarms in 1,000 cannot be told of {plan.innocent} accounts that are not spam: with none of them "
        f"called spam, it may be up to {1000 * most:.0f} in 1,000 of others ({SURE:.0%} sure)."
    ]


def describe_budget(plan: Plan) -> str:
    """Which share of innocent accounts `certain spam` is known to keep to, and why not the wanted one."""
    innocent, kept = plan.innocent, plan.calibration.budget
    wanted = plan.wanted
    if kept == wanted:
        return f"`certain spam` lets at most {kept:.2%} of innocent accounts through (90% sure, of {innocent})."
    cannot = f"With {innocent} accounts that are not spam a budget of {wanted:.2%} cannot be kept"
    if kept is None:
        return f"{cannot}, nor any up to {BUDGETS[-1]:.0%}: no account is called `certain spam`."
    return f"{cannot}; {kept:.2%} can: `certain spam` lets at most that share of them through (90% sure)."
