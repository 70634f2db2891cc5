"""What a training may not take from innocent accounts is given back by lowering all scores alike, and not refused."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.bootstrap.originals import to_verdicts
from sb_api.learning.recipe import RETRAINING, Examples, join
from sb_api.models.calibration import log_odds
from sb_api.models.networks import get_arrays, set_arrays, shift_odds
from sb_api.synthetic.editors import generate_editors
from sb_api.train import retrain_model, spare_innocent
from tests.support.service import BUDGET, SHIPPED, Bare

TOLERANCE, HUNDREDS = 0.01, 3


def test_right_verdicts_on_ordinary_accounts_are_never_refused(bare: Bare) -> None:
    """Each hundred of them alone calls a few more innocent accounts spam: the third was refused for that."""
    verdicts = to_verdicts(list(generate_editors(100 * HUNDREDS, seed=99, spam_share=0.5)))
    targets = np.array([verdict.verdict for verdict in verdicts], np.int64)
    rows = Examples(SHIPPED.preprocess(verdicts, bare.model.vocabularies), targets)
    current, log = bare.original, None
    for number in range(HUNDREDS):
        new = rows.take(np.arange(100 * number, 100 * (number + 1)))
        candidate = retrain_model(
            *(bare.fitting, SHIPPED, bare.original, current, new, bare.reference, log),
            budget=BUDGET,
            tolerance=TOLERANCE,
            number=number + 1,
            recipe=RETRAINING,
        )
        assert candidate.losses == []
        current, log = candidate.weights, new if log is None else join(log, new)
        figures = current.about.figures
        assert figures["after"]["accuracy"] >= figures["before"]["accuracy"] > 0.8


@pytest.mark.parametrize("more", [0.0, 0.01])
def test_sparing_innocent_accounts_lowers_all_alike_and_no_further_than_need_be(bare: Bare, more: float) -> None:
    held_out = bare.reference.calibration
    innocent, original = held_out.targets == 0, bare.original.arrays
    bare.fitting.load(bare.original)
    allowed = int((log_odds(bare.fitting.predict(held_out.arrays))[innocent] > 0).sum() + more * innocent.sum())
    shift_odds(bare.fitting.network, 1.0)
    raised = get_arrays(bare.fitting.network)
    before = log_odds(bare.fitting.predict(held_out.arrays))
    assert (before[innocent] > 0).sum() > allowed
    lowered = spare_innocent(bare.fitting, bare.reference, original, raised, more)
    after = log_odds(bare.fitting.predict(held_out.arrays))
    assert (after[innocent] > 0).sum() == allowed
    inner = np.abs(before) < 8  # further out float32 has no room
    assert np.ptp((after - before)[inner]) < 1e-3
    set_arrays(bare.fitting.network, lowered)
    assert spare_innocent(bare.fitting, bare.reference, original, lowered, more) is lowered
