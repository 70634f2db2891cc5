"""What a new original would be worth, beside the weights in use: as data, and as tables for the terminal."""

from __future__ import annotations

from typing import Any

from sb_api.bootstrap.own_editors import ALARMS, UNKNOWN, Plan, describe_alarms, describe_budget, describe_calibration

# How each figure is called, and whether it is a share that reads better in percent.
_ROWS = {
    "roc_auc": ("ROC AUC", False),
    "f1": ("F1 at 0.5", False),
    "best_f1": ("F1 at the best threshold", False),
    "calibration_error": ("calibration error", False),
    **{
        f"caught_at_{alarms}": (f"spam caught at {alarms} false alarm{'s' * (alarms > 1)} in 1,000", True)
        for alarms in ALARMS
    },
    "caught_at_none": ("spam caught at no false alarm", True),
    "innocent_certain": ("innocent accounts in `certain spam`", True),
    "spam_certain": ("spam in `certain spam`", True),
    "unsure": ("accounts in `unsure`", True),
}


def describe_plan(plan: Plan) -> dict[str, Any]:
    """A plan as plain data."""
    spam = int(plan.targets.sum())
    version, figures = plan.in_use or (None, None)
    return {
        "accounts": {"spam": spam, "innocent": len(plan.targets) - spam},
        "unused": plan.checked.unused,
        "warnings": plan.checked.warnings,
        "tried": [
            {"epochs": trial.recipe.epochs, "learning_rate": trial.recipe.learning_rate, "loss": round(trial.loss, 4)}
            for trial in plan.crossed.trials
        ],
        "chosen": {"epochs": plan.crossed.recipe.epochs, "learning_rate": plan.crossed.recipe.learning_rate},
        "budget": {"wanted": plan.wanted, "kept": plan.calibration.budget, "said": describe_budget(plan)},
        "calibration": {"temperature": plan.calibration.temperature, "said": " ".join(describe_calibration(plan))},
        "new": plan.new,
        "in_use": {"weights": version, "figures": figures} if version else None,
        "untouched_loss": plan.losses and round(plan.losses[0], 4),
        "fine_tuned_loss": plan.losses and round(plan.losses[1], 4),
    }


def print_plan(plan: Plan) -> None:
    """Both sides of it in one table, and what `certain spam` will keep to."""
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    spam = int(plan.targets.sum())
    recipe = plan.crossed.recipe
    console.print(
        f"{spam} accounts of spam and {len(plan.targets) - spam} that are not; {recipe.epochs} epochs at a rate of "
        f"{recipe.learning_rate} are best of {len(plan.crossed.trials)} ways tried. Each account judged by weights "
        "that have not learned it:"
    )
    beside = [("new", plan.new), *([(f"in use ({plan.in_use[0]})", plan.in_use[1])] if plan.in_use else [])]
    table = Table("", *(name for name, _ in beside))
    for figure, (name, is_share) in _ROWS.items():
        table.add_row(name, *(_show(figures, figure, is_share) for _, figures in beside))
    console.print(table)
    if plan.losses:
        untouched, tuned = plan.losses
        console.print(f"The shipped weights untouched have a loss of {untouched:.4f} on them, fine-tuned {tuned:.4f}.")
    for line in (*describe_calibration(plan), *describe_alarms(plan), describe_budget(plan)):
        console.print(line)
    if plan.in_use:
        console.print("Those in use may have learned some of these accounts as verdicts, and look better by that.")


def _show(figures: dict[str, Any], figure: str, is_share: bool) -> str:
    if figure not in figures:
        return ""
    value = figures[figure]
    return UNKNOWN if value is None else f"{value:.1%}" if is_share else f"{value:.4f}"
