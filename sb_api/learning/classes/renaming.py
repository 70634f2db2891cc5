"""Classes of the current weights under other names; several under one are one class from then on.

Their numbers stay what they are, in the log, in the reference set and in the network, and labels say which of them are
one: the network adds up their probabilities, so that a merged class has exactly what its parts had, and trainings
learn it as one. A name that no class has any more is unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sb_api.arrays import Scores
from sb_api.broker.jobs import Renaming
from sb_api.errors import InvalidParameter, TrainingRefused
from sb_api.learning.classes.naming import means_no_class
from sb_api.learning.guard import appraise, find_losses
from sb_api.learning.recipe import merge_targets
from sb_api.models.weights_file import Weights, named
from sb_api.text.normalization import clean_class, fold_class
from sb_api.versions import find_merged

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)

LONGEST_NAME = 255


def rename_labels(labels: Sequence[str], old: Sequence[str], new: str) -> list[str]:
    """The labels with the classes `old` called `new`, which may be one of them or a class that there is. Raises
    InvalidParameter where there is no such class, the name is none, or fewer than two classes would be left."""
    name = clean_class(new)
    if missing := [one for one in old if one not in labels]:
        there = ", ".join(dict.fromkeys(labels))
        raise InvalidParameter(f"{missing[0][:60]!r} is no class of the current weights; there are {there}.")
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidParameter(f"The name of a class has 1 to {LONGEST_NAME} characters.")
    if means_no_class(name):
        raise InvalidParameter(
            f"{name[:60]!r} is what it is called that a message fits none; no class may have that name."
        )
    kept = {fold_class(one): one for one in labels if one not in old}
    if kept.get(fold_class(name), name) != name:
        raise InvalidParameter(f"{name[:60]!r} looks like {kept[fold_class(name)][:60]!r}, which is another class.")
    renamed = [name if label in old else label for label in labels]
    if renamed == list(labels):
        raise InvalidParameter(f"Nothing would change: that is what {name[:60]!r} is called.")
    if len(set(renamed)) < 2:
        raise InvalidParameter("One class would be left, and everything would be of it.")
    return renamed


def rename_classes(
    trainer: Trainer, task: str, wanted: Renaming, check: Callable[[], None], force: bool = False
) -> dict[str, Any]:
    """Give classes of the current weights another name, as a version that a rollback takes back. `check` raises when
    this process may no longer. A task that was done before its process died is not done twice.

    Raises InvalidParameter, and TrainingRefused where the guard finds that a merged class would be known worse than its
    parts were, unless `force`; then nothing changes.
    """
    start = monotonic()
    made = trainer.made_by(task)
    current = trainer.begin(task)
    before = current.about
    if made is None:
        labels = rename_labels(before.labels, wanted.old, wanted.new)
        made = _make(trainer, task, current, labels, force)
        check()
        trainer.save(made)
    about = made.about
    if about.parent == before.version:
        check()
        trainer.promote("renaming", about.version, before.version, start=start)
        logger.info("classes are renamed; the current weights are %s", about.version)
    trainer.follow()
    trainer.publication.publish_quality()
    old = [repr(one) for one in dict.fromkeys(wanted.old)]
    verb = "is" if len(old) == 1 else "are"
    return {
        "response": f"{' and '.join(old)} {verb} called {clean_class(wanted.new)!r} now",
        "labels": list(dict.fromkeys(about.labels)),
        "weights": {"version": about.version, "previous": about.parent},
        "reference": about.figures.get("reference", {}),
    }


def _make(trainer: Trainer, task: str, current: Weights, labels: list[str], force: bool) -> Weights:
    """The current weights with these labels. Raises TrainingRefused or EngineDisagrees."""
    about, figures = current.about, dict(current.about.figures)
    number = 1 + max(one.number for one in trainer.store.chain().versions)
    if find_merged(labels) != find_merged(about.labels):
        parts = trainer.reference.unlearn(trainer.fitting.predict(trainer.reference.guard.arrays))
        trainer.fit_to(labels)
        trainer.fitting.load(current)
        guard = trainer.reference.guard
        on_guard = trainer.fitting.predict(guard.arrays)
        scores = trainer.reference.unlearn(on_guard)
        standard = appraise(guard.targets, _as_merged(parts, labels), None)
        appraisal = appraise(guard.targets, scores, None)
        losses = find_losses(appraisal, {"classes apart": standard}, trainer.settings.guard_tolerance)
        figures["reference"] = trainer.classifier.score(guard.targets, scores) | appraisal.figures
        if losses and not force:
            raise TrainingRefused(f"Nothing was changed: {'; '.join(losses)}.", reference=figures["reference"])
        trainer.check_engine(trainer.fitting.widen(current), on_guard)
    made = msgspec.structs.replace(
        about,
        version="",
        parent=about.version,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        task=task,
        learned=0,
        labels=labels,
        figures=figures,
    )
    return named(Weights(made, current.arrays, current.optimizer), number)


def _as_merged(parts: Scores, labels: Sequence[str]) -> Scores:
    """What n scores (n, labels) of classes apart say of merged ones: the likeliest part's class has it all."""
    best = merge_targets(parts.argmax(axis=1), labels)
    return np.eye(parts.shape[1])[best]
