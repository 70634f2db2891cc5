"""Which of the processes that the tests are run in gets which file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[2]
SERVICES = 2  # of those that files share; one costs twenty seconds of a processor before it is of any use
SHARING = re.compile(r"\b(?:running|service|service_app|client|queue|reviewing): (?:Service|Flask\w*|ReviewStore)\b")


@cache
def shares_service(file: str) -> bool:
    text = (ROOT / file).read_text("utf-8")
    return SHARING.search(text) is not None and "def service(" not in text


class FewServices(LoadFileScheduling):
    """One file after the other, in their order; but those that share a service go to the processes that have one."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.having: set[WorkerController] = set()

    def _assign_work_unit(self, node: WorkerController) -> None:
        wanted = node in self.having or len(self.having) < SERVICES
        file = next((file for file in self.workqueue if shares_service(file) == wanted), next(iter(self.workqueue)))
        if shares_service(file):
            self.having.add(node)
        self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)
