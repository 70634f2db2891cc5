"""`sb-api weights stage`, `compare`, `promote` and `drop`: what they say, to people and to programs."""

from __future__ import annotations

import json

from sb_api.cli.staging import describe
from sb_api.client.answers import Comparison
from sb_api.judgements import Difference, Labelled, Shadow, Sides
from tests.cli.test_commands_of_a_service import call
from tests.conftest import wait_until
from tests.support.service import Service, make_editors, make_verdicts


def compared(shadow: Shadow, unlearned: int = 0, unteachable: int = 0) -> Comparison:
    reference = Labelled(
        source="reference set",
        right=Sides(both=90, current=1, staged=2, neither=7),
        current={"count": 100, "accuracy": 0.91, "precision": None},
        staged={"count": 100, "accuracy": 0.92, "precision": 0.5},
    )
    return Comparison(
        model="lodbrok",
        version="000002-bbbbbbbb",
        current="000001-aaaaaaaa",
        share=0.1,
        shadow=shadow,
        labelled=[reference],
        unlearned=unlearned,
        unteachable=unteachable,
    )


def test_a_comparison_in_words() -> None:
    bands = {"unsure": {"unsure": 8, "likely fine": 1}, "certain spam": {"certain spam": 1}}
    largest = [Difference("77", 0.3, 0.5, 0.2, "unsure", "likely fine")]
    shadow = Shadow(
        since=1.0,
        judged=10,
        skipped=1200,
        bands=bands,
        same=0.9,
        mean_difference=0.03,
        correlation=0.98765,
        largest=largest,
        verdicts=Sides(staged=3),
    )
    told = "\n".join(describe(compared(shadow, unlearned=12, unteachable=1)))
    for part in (
        "staged 000002-bbbbbbbb beside current 000001-aaaaaaaa",
        "10 records judged by both, of a share of 0.1; 1,200 skipped",
        "90.00% in the same band, scores differ by 0.0300 on average, correlation 0.9877",
        "77: unsure (0.5000) -> likely fine (0.2000)",
        "verdicts since it is staged: both right 0, current alone 0, staged alone 3, neither 0",
        "reference set: both right 90, current alone 1, staged alone 2, neither 7",
        "accuracy 0.9100 -> 0.9200",
        "12 learned verdicts are not in it",
        "1 learned verdicts cannot be taught",
    ):
        assert part in told
    (row,) = [line for line in told.splitlines() if line.strip().startswith("unsure ")]
    assert row.split() == ["unsure", "8", "0", "1"]
    assert "precision" not in told


def test_nothing_judged_yet_is_said() -> None:
    told = describe(compared(Shadow(since=1.0)))
    assert told[1].startswith("live requests: 0 records judged by both")
    assert not any("None" in line for line in told)


def test_the_commands_stage_compare_and_promote(service: Service) -> None:
    first = service.post("/train", make_verdicts(2)).json()["weights"]["version"]
    second = service.post("/train", make_verdicts(2, 10)).json()["weights"]["version"]
    assert call(service, "weights", "stage", first).stdout.startswith(f"{first} is staged; ")
    assert f"{first} is staged" in call(service, "weights").stdout

    def judged() -> bool:
        service.post("/predict", make_editors(5))
        found = json.loads(call(service, "weights", "compare", "--json").stdout)
        return bool((found["version"], found["current"]) == (first, second) and found["shadow"]["judged"])

    wait_until(judged, interval=0.2)
    assert "2 learned verdicts are not in it" in call(service, "weights", "compare").stdout
    call(service, "weights", "promote", second, code=1)  # that is not what is staged
    done = json.loads(call(service, "weights", "promote", "--as-is", "--json").stdout)
    assert (done["weights"], done["unlearned"]) == ({"version": first, "previous": second}, 2)
    call(service, "weights", "drop", code=1)
    call(service, "weights", "stage", "previous")
    assert call(service, "weights", "drop").stdout == f"{second} is no longer staged.\n"
