"""Which of the processes that the tests are run in gets which file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[2]
SERVICES = 2  # of those that files share; one costs twenty seconds of a processor before it is of any use
SERVICE, KERAS = "service", "keras"
SHARING = re.compile(r"\b(?:running|service|service_app|client|queue|reviewing): (?:Service|Flask\w*|ReviewStore)\b")
# What loads Keras in the process of the tests, and has networks compiled there: ten seconds of a processor.
TRAINING = re.compile(
    r"\bbare: Bare\b|\bFitting\b|\bTrainer\(|\bTrainingLoop\b|\bimport_keras\b|\blodbrok\(\)|\bbootstrap(?:_\w+|\()"
    r"|\bplan_original\b|\bfit_messages\b|\bquality_text\.fit\b|\bimport_artefact\b|\b(?:run|call)\([^)]*\"bootstrap\""
)
LONG = re.compile(r"\bstart_service\(|\bstart_deployment\(|: Deployment\b")  # a minute: not to be the last


@cache
def needs(file: str) -> frozenset[str]:
    """What a file needs that costs much once in a process."""
    text = (ROOT / file).read_text("utf-8")
    shares = SHARING.search(text) is not None and "def service(" not in text
    return frozenset(([SERVICE] if shares else []) + ([KERAS] if TRAINING.search(text) else []))


@cache
def takes_long(file: str) -> bool:
    return LONG.search((ROOT / file).read_text("utf-8")) is not None


class FewServices(LoadFileScheduling):
    """One file after the other, in their order; but those that need something go first to the processes that have it,
    and only in the end to others; and no long one is left to the end, when the other processes have nothing to do:
    neither those that start services of their own, nor those that need more than any process has."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.having: dict[WorkerController, frozenset[str]] = {}

    def _assign_work_unit(self, node: WorkerController) -> None:
        having = self.having[node] if node in self.having else self._begin()
        file = min(self.workqueue, key=lambda file: self._rank(file, having))
        self.having[node] = having | needs(file)
        self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)

    def _rank(self, file: str, having: frozenset[str]) -> tuple[int, bool]:
        """The least for the file that a process is to go on with that has something: one of those that need that, then
        of those that need more of which it has a part and no process has all, then of those that need nothing."""
        needed = needs(file)
        is_nobodys = not any(needed <= other for other in self.having.values())
        if needed <= having:
            place = 0 if needed else 2
        else:
            place = 1 if needed & having and is_nobodys else 2 + len(needed - having)
        return place, not takes_long(file)

    def _begin(self) -> frozenset[str]:
        """What a process that has nothing yet is to have."""
        if sum(SERVICE in having for having in self.having.values()) < SERVICES:
            return frozenset([SERVICE])
        return frozenset() if any(KERAS in having for having in self.having.values()) else frozenset([KERAS])
