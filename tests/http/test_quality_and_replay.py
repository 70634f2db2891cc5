"""Bands, reasons, /quality and /replay, over HTTP; and the commands that use them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from sb_api.broker.shared_state import Published
from sb_api.cli import main
from sb_api.learning.quality import measure
from sb_api.versions import BANDS
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import (
    NOT_SPAM,
    SPAM,
    Service,
    Shipped,
    as_editors,
    assert_problem,
    make_editors,
    make_verdicts,
)


def invoke(service: Service, *arguments: str, **options: Any) -> Any:
    environment = {"SB_API_STATE_DIR": str(service.state), "SB_API_REDIS_URL": service.redis_url}
    return CliRunner(env=environment).invoke(main, list(arguments), catch_exceptions=False, **options)


def finished(service: Service, location: str) -> dict[str, Any]:
    wait_until(lambda: service.get(location).status_code != 202, timeout=120, interval=0.1)
    answer: dict[str, Any] = service.get(location).json()
    return answer


def test_every_editor_has_a_band_that_goes_with_its_score(client: FlaskClient, shipped: Shipped) -> None:
    editors = make_editors(60)
    answer = client.post("/predict", json=editors).get_json()
    assert answer["bands"].keys() == answer["scores"].keys()
    assert set(answer["bands"].values()) <= set(BANDS)
    certain, likely, unsure = shipped.original.about.borders
    for editor, score in answer["scores"].items():
        expected = (
            "certain spam"
            if score > certain
            else "likely spam"
            if score > likely
            else "unsure"
            if score >= unsure
            else "likely fine"
        )
        assert answer["bands"][editor] == expected


def test_reasons_come_when_they_are_asked_for_strongest_first(client: FlaskClient, shipped: Shipped) -> None:
    editors = make_editors(3)
    assert "reasons" not in client.post("/predict", json=editors).get_json()
    answer = client.post("/predict?explain=true", json=editors).get_json()
    for editor, reasons in zip(editors, shipped.model.explain(as_editors(editors)), strict=True):
        told = answer["reasons"][str(editor["id"])]
        assert [reason["feature"] for reason in told] == [reason.feature for reason in reasons]
        strengths = [abs(reason["log_odds"]) for reason in told]
        assert strengths == sorted(strengths, reverse=True)
        assert all(reason.keys() == {"feature", "value", "effect", "log_odds"} for reason in told)


def test_explain_takes_true_or_false_alone(client: FlaskClient) -> None:
    assert_problem(client.post("/predict?explain=perhaps", json=make_editors(1)), 400, "invalid-parameter")


def test_quality_counts_verdicts_by_what_was_said_before_they_were_learned(service: Service) -> None:
    editors, verdicts = make_editors(10), make_verdicts(10)
    before = service.post("/predict", editors).json()["predictions"]
    answer = service.post("/train", [{**verdict, "reporter": "ann"} for verdict in verdicts]).json()
    right = sum((before[str(v["id"])] == "Spam Editor Account") == bool(v["verdict"]) for v in verdicts)
    quality = service.get("/quality").json()
    assert quality["all_time"]["count"] == quality["window"]["count"] == 10
    assert quality["all_time"]["accuracy"] == pytest.approx(right / 10)
    assert quality["reporters"].keys() == {"ann"}
    assert quality["weights"].keys() == {answer["weights"]["previous"]}
    assert quality["drift"]["detected"] is False


def test_quality_of_an_unknown_model_is_refused(client: FlaskClient) -> None:
    assert_problem(client.get("/quality?model=none"), 400, "invalid-parameter")


def test_quality_and_replay_say_when_no_trainer_has_been_there(lonely_client: FlaskClient) -> None:
    assert_problem(lonely_client.get("/quality"), 503, "unavailable")


def test_readyz_tells_of_a_rise_of_errors(jobs: Jobs, lonely_client: FlaskClient) -> None:
    for detected in (True, False):
        quality = json.dumps({"drift": {"detected": detected}}).encode()
        jobs.registry.publish("lodbrok", Published("000001-aaaaaaaa", b"", {}, b"{}", quality))
        document = lonely_client.get("/readyz").get_json()
        assert document["drift"] == (["lodbrok"] if detected else [])
        assert any("errors of lodbrok have risen" in note for note in document["notes"]) == detected


def test_readyz_and_the_page_tell_of_who_is_set_aside(jobs: Jobs, lonely_client: FlaskClient) -> None:
    """By number where nobody need sign in, by name where one must."""
    quality = measure([("000001-aaaaaaaa", "ann", 1, 1, 1)], [], ["fine", "spam"])
    quality["series"] = [{"until": "2026-01-01T12:00:00Z", **quality["all_time"]}]
    quality["set_aside"] = [{"credential": "mallory", "since": "2026-01-01T12:00:00Z", "refused": 5}]
    jobs.registry.publish("lodbrok", Published("000001-aaaaaaaa", b"", {}, b"{}", json.dumps(quality).encode()))
    notes = lonely_client.get("/readyz").get_json()["notes"]
    assert [note for note in notes if "set aside, 1 of them" in note]
    assert "mallory" not in str(notes)
    page = lonely_client.get("/page/quality").text
    assert "<b>mallory is set aside</b>" in page
    assert "sb-api let-back mallory" in page


def test_replay_rebuilds_the_weights_while_the_service_runs(service: Service) -> None:
    for step in (1, 2):
        service.post("/train", make_verdicts(4, start=100 * step))
    accepted = service.post("/replay", None)
    assert accepted.status_code == 202
    first = finished(service, accepted.headers["Location"])
    assert first["status"] == "completed"
    assert first["data"]["learned"] == 8
    second = finished(service, service.post("/replay", None).headers["Location"])
    versions = [answer["data"]["weights"]["version"] for answer in (first, second)]
    assert versions[0].partition("-")[2] == versions[1].partition("-")[2]
    assert service.get("/weights").json()["slots"]["current"] == versions[1]


def test_the_replay_command_shows_how_it_goes_and_what_came_of_it(service: Service) -> None:
    service.post("/train", make_verdicts(4))
    done = invoke(service, "replay", "--url", service.address)
    assert done.exit_code == 0, done.output
    assert "4 verdicts replayed in" in done.output
    assert service.get("/weights").json()["slots"]["current"] in done.output


def test_verdicts_are_listed_and_purged(service: Service) -> None:
    service.post("/train", [{**verdict, "reporter": "ann"} for verdict in make_verdicts(3)])
    service.post("/train", [{**verdict, "reporter": "bob"} for verdict in make_verdicts(2, start=50)])
    listed = invoke(service, "verdicts", "list", "--json")
    rows = [json.loads(line) for line in listed.output.splitlines()]
    assert [row["record"] for row in rows] == ["51", "50", "2", "1", "0"]
    assert {(row["label"], row["label_name"]) for row in rows} <= {(0, NOT_SPAM), (1, SPAM)}
    told = invoke(service, "verdicts", "list", "--reporter", "ann").output
    assert re.search(r"0 by ann: (Non )?Spam Editor Account; \S+ had said (the same|\S+ .*), [01]\.\d+ spam; ", told)
    assert all(row["score"] == (row["spam"] if row["label"] else 1 - row["spam"]) for row in rows)
    assert json.loads(invoke(service, "verdicts", "purge", "--id", "x", "--json").output) == {
        "purged": 0,
        "counting_again": 0,
    }
    nothing = invoke(service, "verdicts", "purge", "--id", "x").output
    assert nothing == "No such verdicts; none was taken out.\n", "the weights know nothing of them"
    purged = invoke(service, "verdicts", "purge", "--reporter", "ann", input="y\n")
    assert "3 verdicts taken out" in purged.output
    assert len(service.verdict_log().find()) == 2
    kept = invoke(service, "verdicts", "purge", "--id", "50", input="n\n")
    assert kept.exit_code == 1
    assert len(service.verdict_log().find()) == 2
    assert invoke(service, "verdicts", "purge", "--since", "2001-01-01", "--yes").exit_code == 0
    assert "No such verdicts" in invoke(service, "verdicts", "list").output


def test_a_purge_of_one_record_leaves_no_trace_of_its_id_in_the_audit_log(service: Service) -> None:
    (verdict,) = make_verdicts(1)
    service.post("/train", [{**verdict, "id": 8071996, "reporter": "ann"}])
    purge = invoke(
        service, "verdicts", "purge", "--id", "8071996", "--reporter", "ann", "--since", "2001-01-01", "--yes"
    )
    assert "1 verdict taken out" in purge.output
    told = invoke(service, "audit", "--limit", "0").output
    assert re.search(r"lodbrok; 1 verdict; by reporter ann, since 2001-01-01 00:00:00, id\n", told)
    assert "8071996" not in told


def test_the_verdicts_that_were_given_are_told_newest_first(service: Service) -> None:
    service.post("/train", [{**verdict, "reporter": "ann"} for verdict in make_verdicts(3)])
    answer = service.post("/train", [{**make_verdicts(1)[0], "verdict": 1, "reporter": "ann"}]).json()
    assert (answer["learned"], answer["superseded"], answer["records"]["0"]["superseded"]) == (1, 1, 1)
    told = service.get("/verdicts").json()
    assert (told["success"], told["model"]) == (True, "lodbrok")
    found = [(row["record"], row["label_name"], row["status"]) for row in told["verdicts"]]
    assert found == [
        ("0", SPAM, "learned"),
        ("2", NOT_SPAM, "learned"),
        ("1", SPAM, "learned"),
        ("0", NOT_SPAM, "superseded"),
    ]
    assert told["verdicts"][0]["supersedes"] == told["verdicts"][3]["number"]
    assert "said something since" in told["verdicts"][3]["reason"]
    only = service.get("/verdicts?id=0&status=superseded&reporter=ann&limit=1&since=2001-01-01T00:00:00Z").json()
    assert [row["record"] for row in only["verdicts"]] == ["0"]
    assert (told["more"], only["more"]) == (False, False)
    numbers = [row["number"] for row in told["verdicts"]]
    first = service.get("/verdicts?limit=3").json()
    assert ([row["number"] for row in first["verdicts"]], first["more"]) == (numbers[:3], True)
    rest = service.get(f"/verdicts?limit=3&before={numbers[2]}").json()
    assert ([row["number"] for row in rest["verdicts"]], rest["more"]) == (numbers[3:], False)
    assert service.get("/verdicts?reporter=").json()["verdicts"] == [], "all of them have named somebody"
    listing = invoke(service, "verdicts", "list", "--limit", "3", "--json")
    assert f"`--before {numbers[2]}`" in listing.stderr
    listed = invoke(service, "verdicts", "list", "--before", str(numbers[2]), "--json")
    assert [json.loads(line)["number"] for line in listed.stdout.splitlines()] == numbers[3:]
    listed = invoke(service, "verdicts", "list", "--status", "superseded").output
    assert "superseded" in listed
    assert "said something since" in listed
    assert "No such verdicts" in invoke(service, "verdicts", "list", "--kept").output


def test_a_verdict_is_taken_back_by_whoever_gave_it(service: Service) -> None:
    before = service.get("/weights").json()["slots"]["current"]
    (verdict,) = make_verdicts(1, start=70)
    assert service.post("/train", [{**verdict, "reporter": "ann"}]).json()["learned"] == 1
    bobs = service.post("/verdicts/undo", {"id": 70, "reporter": "bob"}).json()
    assert (bobs["success"], bobs["withdrawn"], bobs["response"]) == (True, 0, "Nothing was there to take back")
    other = service.post("/verdicts/undo", {"id": "70", "reporter": "ann", "digest": "0" * 32}).json()
    assert other["withdrawn"] == 0, "it was on other content"
    done = invoke(service, "verdicts", "undo", "70", "--reporter", "ann", "--url", service.address)
    assert done.output == f"Took the verdict back. Current is {before}.\n"
    (told,) = service.get("/verdicts?id=70").json()["verdicts"]
    assert told["status"] == "withdrawn"
    assert service.post("/verdicts/undo", {"id": 70, "reporter": "ann"}).json()["withdrawn"] == 0
    audit = invoke(service, "audit", "--kind", "withdrawal", "--limit", "2").output.splitlines()
    assert all(" ann from 127.0.0.1" in line for line in audit)
    assert "; 1 verdict; " in audit[1]
    rows = re.findall(r"<tr><td.*?</tr>", service.get("/page/audit").text, re.DOTALL)
    withdrawal = next(row for row in rows if ">withdrawal<" in row and '<td class="number">1</td>' in row)
    for told in ("ann", "127.0.0.1", before, "Took the verdict back"):
        assert told in withdrawal


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        *((body, 400, "malformed-body") for body in (b"", b"{", b"\xff")),
        *((body, 422, "invalid-records") for body in (b"[]", b"{}", b'{"id": null}', b'{"id": 1.5}')),
        *((body, 422, "invalid-records") for body in (b'{"id": "a\\u0000"}', b'{"id": 1, "reporter": 5}')),
        (b'{"id": 1, "reporte": "ann"}', 422, "invalid-records"),
    ],
)
def test_what_does_not_say_which_verdict_is_refused(
    body: bytes, status: int, problem: str, lonely_client: FlaskClient
) -> None:
    assert_problem(lonely_client.post("/verdicts/undo", data=body), status, problem)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=many",
        "limit=",
        "limit=1001",
        "before=0",
        "before=null",
        "since=null",
        f"before={2**63}",
        "status=",
        "status=lost",
        "since=yesterday",
        "since=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_a_query_for_verdicts_that_cannot_be_read_is_refused(client: FlaskClient, query: str) -> None:
    assert_problem(client.get(f"/verdicts?{query}"), 400, "invalid-parameter")


def test_purging_everything_by_mistake_is_not_possible(service: Service) -> None:
    refused = invoke(service, "verdicts", "purge", "--yes")
    assert refused.exit_code == 2
    assert "--reporter" in refused.output


def test_without_a_log_the_commands_say_so(tmp_path: Path) -> None:
    environment = {"SB_API_STATE_DIR": str(tmp_path), "SB_API_VERDICT_LOG": "off"}
    done = CliRunner(env=environment).invoke(main, ["verdicts", "list"])
    assert done.exit_code == 1
    assert "verdict log" in done.output
