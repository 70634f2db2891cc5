"""In small what `make attack` does: no request costs more processor time than its bytes and its records are worth."""

from __future__ import annotations

import random

from tests.support.service import Service
from tools.amplification import make_attempts, search
from tools.meter import Meter

REQUESTS = 40


def test_no_request_costs_more_than_its_bytes_and_its_records(running: Service) -> None:
    """Each measured in the processor time of all processes, in which it does not matter who else uses the machine."""
    attempts = [attempt for attempt in make_attempts(seed=1, size=4_000, few=True) if attempt.role != "admin"]
    found = search(Meter(running), random.Random(1).sample(attempts, REQUESTS), {})
    assert sum(finding.cost.seconds for finding in found) > 0, "nothing was measured"
    assert {finding.status for finding in found} <= {200, 202, 400, 401, 404, 413, 415, 422}
    assert [(finding.attempt.name, round(finding.share, 2)) for finding in found if finding.share > 1] == []
