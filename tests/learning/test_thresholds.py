"""How much spam is caught at how many false alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sb_api.cli import main
from sb_api.config import load_settings
from sb_api.learning.thresholds import INNOCENTS_PER_THOUSAND, find_thresholds
from sb_api.verdicts.verdict_log import open_verdict_log
from tests.verdicts.test_verdict_log import verdict


@given(st.integers(1, 3000), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_no_more_innocents_than_wished_lie_above_and_the_share_caught_is_what_lies_above(
    innocent: int, spam: int, seed: int
) -> None:
    targets = np.repeat([0, 1], [innocent, spam])
    scores = np.random.default_rng(seed).random(len(targets)).round(2).astype(np.float32)
    shares = []
    for row in find_thresholds(targets, scores):
        assert (row.threshold is None) == (row.caught is None) == (innocent * row.innocents_per_thousand < 1000)
        if row.threshold is not None:
            assert (scores[:innocent] > row.threshold).sum() * 1000 <= row.innocents_per_thousand * innocent
            assert row.caught == pytest.approx((scores[innocent:] > row.threshold).mean(), abs=1e-6)
            shares.append(row.caught)
    assert shares == sorted(shares)


def test_the_command_tells_of_the_reference_set_and_of_verdicts(tmp_path: Path) -> None:
    settings = load_settings({}, state_dir=str(tmp_path / "state"))
    runner = CliRunner(env={"SB_API_STATE_DIR": settings.state_dir})
    document = json.loads(runner.invoke(main, ["thresholds", "--json"]).stdout)
    (reference,) = document["sets"]
    assert reference["source"].startswith("made-up")
    assert [row["innocents_per_thousand"] for row in reference["thresholds"]] == list(INNOCENTS_PER_THOUSAND)
    assert reference["thresholds"][-1]["caught"] > 0.9
    log = open_verdict_log(settings, "lodbrok")
    assert log is not None
    log.add([verdict(record=str(number), label=number % 2, score=0.9, temperature=1.0) for number in range(300)])
    left_out = [{"status": status, "temperature": 1.0} for status in ("undone", "set aside", "withdrawn")]
    log.add([verdict(record=f"out {number}", **one) for number, one in enumerate([*left_out, {"temperature": None}])])
    shown = runner.invoke(main, ["thresholds"]).stdout
    assert "150 innocents, 150 spam" in shown
    assert "too few to tell" in shown


def test_messages_have_no_spam_to_catch() -> None:
    done = CliRunner().invoke(main, ["thresholds", "--model", "intent"])
    assert done.exit_code == 2
    assert "judges no spam" in done.stderr
