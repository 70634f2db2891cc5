"""Weights that somebody names are judged by, or it is said that they are not here."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sb_api.broker.jobs import Claim
from sb_api.classify import judge_claims
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.models.weights_store import WeightsStore
from sb_api.shadow.other_versions import OtherVersions
from tests.shadow.test_judging import claim, make_others, stage
from tests.support.jobs import Jobs
from tests.support.service import Shipped, as_editors, make_editors


@pytest.fixture
def others(jobs: Jobs, shipped: Shipped) -> OtherVersions:
    return OtherVersions(jobs.broker, {"lodbrok": shipped.model})


def keep(jobs: Jobs, shipped: Shipped, number: int) -> str:
    """A version among the files of this host."""
    weights = make_others(shipped, number)
    WeightsStore.of(jobs.broker.settings, "lodbrok").save(weights)
    return weights.about.version


def test_kept_and_staged_versions_are_found_and_one_is_kept_at_hand(
    others: OtherVersions, jobs: Jobs, shipped: Shipped
) -> None:
    first, second = keep(jobs, shipped, 1), keep(jobs, shipped, 2)
    staged = make_others(shipped, 3)
    stage(jobs, shipped, staged)
    assert others.find("lodbrok", shipped.model.version) is shipped.model
    for version in (first, second, staged.about.version):
        found = others.find("lodbrok", version)
        assert found.version == version
        assert others.find("lodbrok", version) is found
    assert list(others._last) == ["lodbrok"]
    assert shipped.model.version == shipped.original.about.version


def test_what_is_not_here_and_what_is_damaged_is_said_and_leaves_nothing_behind(
    others: OtherVersions, jobs: Jobs, shipped: Shipped
) -> None:
    version = keep(jobs, shipped, 1)
    others.find("lodbrok", version)
    with pytest.raises(UnknownVersion, match="sb-api weights stage 000009-00000000"):
        others.find("lodbrok", "000009-00000000")
    with pytest.raises(UnknownVersion):
        others.find("lodbrok", "../original_lodbrok")
    assert others._last == {}
    (file,) = WeightsStore.of(jobs.broker.settings, "lodbrok").version_files()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InvalidWeights):
        others.find("lodbrok", version)


def test_each_claim_is_judged_by_the_version_that_it_names_and_the_shadow_is_not_told(
    others: OtherVersions, jobs: Jobs, shipped: Shipped
) -> None:
    version = keep(jobs, shipped, 1)
    plain, exact, missing = claim(5), claim(5, 1), claim(5, 2)
    claims = [
        plain,
        naming(exact, version),
        naming(missing, "000009-00000000"),
        naming(plain, shipped.model.version),
    ]
    noted: list[str] = []
    answers = judge_claims(
        {"lodbrok": shipped.model}, claims, lambda predictor, *_: noted.append(predictor.version), others
    )
    assert noted == [shipped.model.version]
    assert answers[0].data.version == answers[3].data.version == shipped.model.version
    assert answers[0].data.scores == answers[3].data.scores
    expected, _ = others.find("lodbrok", version).judge(as_editors(make_editors(5, 1000)))
    assert answers[1].data.version == version
    np.testing.assert_allclose(answers[1].data.scores, expected[:, 1], atol=1e-6)
    assert answers[2].problem is not None
    assert answers[2].problem["status"] == 404


def naming(claim: Claim, version: str) -> Claim:
    return msgspec.structs.replace(claim, job=msgspec.structs.replace(claim.job, weights=version, exact=True))
