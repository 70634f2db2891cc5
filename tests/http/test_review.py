"""GET and POST /review: claim, release, verdicts, undo; and /predict?review=true, which puts accounts in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.auth.credentials import add_credential
from sb_api.broker.jobs import PREDICT_STREAMS
from sb_api.client import AsyncClient, Client
from sb_api.client.answers import Claimed, Released, Reviewed, TakenBack
from sb_api.config import Settings, load_settings
from sb_api.errors import ClaimedByAnother, ContentChanged, NotOffered
from sb_api.review.entries import Claim, GiveVerdicts, Release, TakeBack
from sb_api.review.store import KEYS, REVIEW, ReviewStore
from tests.conftest import wait_until
from tests.http.test_openapi import assert_documented
from tests.support.jobs import Jobs
from tests.support.review import SPAMMERS, fill
from tests.support.service import SPAM, Service, assert_problem

DECIDED = KEYS[2]


def documented(client: FlaskClient, response: Any, method: str = "POST") -> Any:
    """The answer, which must be one that the document has."""
    return assert_documented(client.get("/openapi.json").get_json(), response, method, "/review")


def act(client: FlaskClient, action: str, **fields: Any) -> Any:
    response = client.post("/review", json={"action": action, **fields})
    assert response.status_code == 200, response.text
    return documented(client, response)


def test_what_waits_is_listed_claimed_and_given_back(reviewing: FlaskClient, queue: ReviewStore) -> None:
    entries = fill(reviewing, queue)
    listed = documented(reviewing, reviewing.get("/review?limit=4"), "GET")
    assert (listed["waiting"], listed["matching"], len(listed["entries"])) == (6, 6, 4)
    assert "\nsb_api_review_accounts 6.0\n" in reviewing.get("/metrics").text
    scores = [entry["score"] for entry in listed["entries"]]
    assert scores == sorted(scores, reverse=True)
    first = listed["entries"][0]
    assert first["editor"] == next(one for one in SPAMMERS if one["id"] == first["editor"]["id"])
    judged = reviewing.post("/predict", json=[first["editor"]]).get_json()
    assert judged["scores"] == pytest.approx({str(first["editor"]["id"]): first["score"]}, abs=1e-6)
    assert (judged["weights"], *judged["bands"].values()) == (first["weights"], first["band"])
    assert reviewing.get("/review?offset=4").get_json()["entries"][0]["entry"] not in {
        entry["entry"] for entry in listed["entries"]
    }
    assert reviewing.get("/review?host=win3.casino.example").get_json()["entries"][0]["entry"] == entries[3]
    anna = act(reviewing, "claim", count=2, reporter="anna")["entries"]
    ben = act(reviewing, "claim", count=3, reporter="ben")["entries"]
    assert [entry["entry"] for entry in anna] == [entry["entry"] for entry in listed["entries"][:2]]
    assert len({entry["entry"] for entry in (*anna, *ben)}) == 5
    assert {entry["claimed_by"] for entry in anna} == {"anna"}
    mine = reviewing.get("/review?mine=true&reporter=ben").get_json()
    assert {entry["entry"] for entry in mine["entries"]} == {entry["entry"] for entry in ben}
    assert act(reviewing, "release", entries=[anna[0]["entry"]], reporter="ben")["released"] == 0
    assert act(reviewing, "release", entries=[anna[0]["entry"]], reporter="anna")["released"] == 1
    # Whoever gave it back is offered another one first.
    assert act(reviewing, "claim", reporter="anna")["entries"][0]["entry"] not in {anna[0]["entry"], anna[1]["entry"]}
    chosen = act(reviewing, "claim", entries=[anna[0]["entry"]], reporter="ben")["entries"]
    assert chosen[0]["entry"] == anna[0]["entry"]


def test_verdicts_are_learned_as_those_of_train_and_can_be_taken_back(
    reviewing: FlaskClient, queue: ReviewStore
) -> None:
    entries = fill(reviewing, queue, 3)
    act(reviewing, "claim", entries=entries[:1], reporter="anna")
    verdicts = dict.fromkeys(entries, 1)
    refused = reviewing.post("/review", json={"action": "verdicts", "verdicts": verdicts, "reporter": "ben"})
    assert assert_problem(refused, 409, "claimed-by-another")["entries"] == entries[:1]
    documented(reviewing, refused)
    trained = act(reviewing, "verdicts", verdicts={**verdicts, entries[2]: 0}, reporter="anna")["trained"]
    assert trained["records"].keys() == {"9000", "9001", "9002"}
    assert trained["learned"] + trained["kept"] == 3
    log = reviewing.get("/verdicts").get_json()["verdicts"]
    assert {(one["record"], one["label"], one["reporter"]) for one in log} == {
        ("9000", 1, "anna"),
        ("9001", 1, "anna"),
        ("9002", 0, "anna"),
    }
    assert reviewing.get("/review").get_json()["waiting"] == 0
    gone = reviewing.post("/review", json={"action": "verdicts", "verdicts": verdicts})
    assert assert_problem(gone, 404, "unknown-entry")["entries"] == entries
    # Judged again as they are, they do not come back; one whose verdict is taken back does.
    reviewing.post("/predict?review=true", json=[*SPAMMERS[:3], SPAMMERS[4]])
    wait_until(lambda: len(queue.found().summaries) == 1)
    back = act(reviewing, "undo", entry=entries[2], reporter="anna")
    assert (back["undone"]["withdrawn"], back["waiting"]) == (1, True)
    waiting = reviewing.get("/review?mine=true&reporter=anna").get_json()["entries"]
    assert [entry["entry"] for entry in waiting] == [entries[2]]
    assert "digest" not in back["undone"]
    # One that is no longer kept waits again once it is judged again.
    queue.redis.delete(f"{REVIEW}entry:{entries[0]}")
    undone = reviewing.post("/verdicts/undo", json={"id": 9000, "reporter": "anna"}).get_json()
    assert (undone["withdrawn"], "digest" in undone) == (1, False)
    reviewing.post("/predict?review=true", json=SPAMMERS[:1])
    wait_until(lambda: entries[0] in queue.found().summaries)
    assert {one["status"] for one in reviewing.get("/verdicts?id=9002").get_json()["verdicts"]} == {"withdrawn"}
    unknown = reviewing.post("/review", json={"action": "undo", "entry": "0" * 24})
    assert_problem(unknown, 404, "unknown-entry")
    mistyped = reviewing.post("/review", json={"action": "undo", "entry": entries[2], "saw": "0" * 32})
    assert_problem(mistyped, 422, "invalid-records")


def test_verdicts_by_train_end_the_wait_too_until_none_stands(reviewing: FlaskClient, queue: ReviewStore) -> None:
    fill(reviewing, queue, 2)

    def waiting() -> list[int]:
        return sorted(entry["editor"]["id"] for entry in reviewing.get("/review").get_json()["entries"])

    for reporter in ("anna", "ben"):
        verdict = {**SPAMMERS[0], "verdict": 1, "reporter": reporter}
        assert reviewing.post("/train", json=[verdict]).status_code == 200
        assert waiting() == [9001]
    for reporter, standing, expected in (("anna", SPAM, [9001]), ("ben", None, [9000, 9001])):
        undone = reviewing.post("/verdicts/undo", json={"id": 9000, "reporter": reporter}).get_json()
        assert (undone["withdrawn"], undone["standing"]) == (1, standing)
        assert waiting() == expected


def test_a_verdict_is_on_what_was_looked_at(reviewing: FlaskClient, queue: ReviewStore) -> None:
    entries = fill(reviewing, queue, 2)
    shown = reviewing.get("/review").get_json()["entries"]
    seen = {entry["entry"]: entry["digest"] for entry in shown}
    (kept,) = queue.read(entries[:1]).values()
    edited = msgspec.structs.replace(kept.editor, bio="I love old records", website=None)
    queue.add([msgspec.structs.replace(kept, editor=edited)])
    verdicts = {"action": "verdicts", "verdicts": dict.fromkeys(entries, 1), "seen": seen, "reporter": "anna"}
    for headers in ({}, {"Prefer": "respond-async"}):
        refused = reviewing.post("/review", json=verdicts, headers=headers)
        problem = assert_problem(refused, 409, "content-changed")
        documented(reviewing, refused)
        assert problem["entries"] == entries[:1]
        (changed,) = problem["changed"]
        assert (changed["editor"]["bio"], changed["claimed_by"]) == ("I love old records", "anna")
    assert reviewing.get("/verdicts").get_json()["verdicts"] == []
    assert queue.add([kept]) == 0, "it stays as it was shown now"
    seen[entries[0]] = changed["digest"]
    act(reviewing, "verdicts", verdicts={entries[0]: 0, entries[1]: 1}, seen=seen, reporter="anna")
    log = {one["record"]: one for one in reviewing.get("/verdicts").get_json()["verdicts"]}
    assert (log["9000"]["label"], log["9000"]["digest"]) == (0, changed["digest"])
    assert log["9001"]["digest"] == seen[entries[1]]
    # What was said is taken back, whatever the account says by then.
    queue.add([kept])
    back = act(reviewing, "undo", entry=entries[0], seen=changed["digest"], reporter="anna")
    assert (back["undone"]["withdrawn"], back["waiting"]) == (1, True)


def test_verdicts_on_two_contents_are_taken_back_each_by_itself(reviewing: FlaskClient, queue: ReviewStore) -> None:
    contents = [{**SPAMMERS[0], "bio": f"{SPAMMERS[0]['bio']} {number}"} for number in range(2)]
    for content in contents:
        assert reviewing.post("/train", json=[{**content, "verdict": 1, "reporter": "anna"}]).status_code == 200
    later, earlier = (one["digest"] for one in reviewing.get("/verdicts").get_json()["verdicts"])
    for digest, left in ((earlier, 1), (later, 0)):
        undo = {"id": 9000, "digest": digest, "reporter": "anna"}
        assert reviewing.post("/verdicts/undo", json=undo).get_json()["withdrawn"] == 1
        assert queue.redis.zcard(DECIDED) == left


def test_the_client_does_all_of_it(queue: ReviewStore, running: Service) -> None:
    with Client(running.address) as client:
        client.judge_rows([b'{"id": 9001, "bio": "casino bonus", "website": "http://casino.example"}'], review=True)
        wait_until(lambda: client.waiting().waiting == 1)
        (waiting,) = client.waiting(order="useful").entries
        assert waiting.editor.bio == "casino bonus"
        claimed = client.review(Claim(reporter="anna"))
        assert isinstance(claimed, Claimed)
        assert claimed.entries[0].entry == waiting.entry
        with pytest.raises(ClaimedByAnother):
            client.review(GiveVerdicts(verdicts={waiting.entry: 1}, reporter="ben"))
        seen = {waiting.entry: waiting.digest}
        with pytest.raises(ContentChanged) as changed:
            client.review(GiveVerdicts(verdicts={waiting.entry: 1}, seen={waiting.entry: "0" * 32}, reporter="anna"))
        assert changed.value.members["entries"] == [waiting.entry]
        done = client.review(GiveVerdicts(verdicts={waiting.entry: 1}, seen=seen, reporter="anna"))
        assert isinstance(done, Reviewed)
        assert done.trained.records.keys() == {"9001"}
        back = client.review(TakeBack(entry=waiting.entry, reporter="anna"))
        assert isinstance(back, TakenBack)
        assert back.waiting

    async def release() -> None:
        async with AsyncClient(running.address) as client:
            assert (await client.waiting()).waiting == 1
            answer = await client.review(Release(entries=[waiting.entry], reporter="anna"))
            assert isinstance(answer, Released)
            assert answer.released == 1

    asyncio.run(release())


@pytest.mark.parametrize(
    "query",
    [
        "band=x",
        "order=last",
        "limit=0",
        "limit=101",
        "offset=-1",
        "offset=",
        "min_age=x",
        "max_age=null",
        "mine=perhaps",
        "language=" + "x" * 33,
    ],
)
def test_a_query_that_cannot_be_read_is_refused(reviewing: FlaskClient, query: str) -> None:
    assert_problem(reviewing.get(f"/review?{query}"), 400, "invalid-parameter")


@pytest.mark.parametrize(
    "body",
    [
        {"action": "burn"},
        {"action": "claim", "count": 0},
        {"action": "release", "entries": []},
        {"action": "release", "entries": ["x"]},
        {"action": "verdicts", "verdicts": {}},
        {"action": "verdicts", "verdicts": {"0" * 24: 2}},
        {"action": "verdicts", "verdicts": {"0" * 24: 1}, "seen": {"0" * 24: "x"}},
        {"action": "claim", "reporter": "a\0b"},
        [],
    ],
)
def test_an_action_that_is_none_is_refused(reviewing: FlaskClient, body: Any) -> None:
    assert_problem(reviewing.post("/review", json=body), 422, "invalid-records")


def test_a_body_that_is_no_json_is_refused(reviewing: FlaskClient) -> None:
    assert_problem(reviewing.post("/review", data=b"{"), 400, "malformed-body")


def test_without_a_queue_there_is_none(client: FlaskClient, service: Service, queue: ReviewStore) -> None:
    assert_problem(client.get("/review"), 404, "not-offered")
    assert_problem(client.post("/review", json={"action": "claim"}), 404, "not-offered")
    assert_problem(client.post("/predict?review=true", json=SPAMMERS), 404, "not-offered")
    assert client.post("/predict", json=SPAMMERS).status_code == 200
    with Client(service.address) as asking:
        assert asking.waiting().waiting == 0, "the share of the service is none"
    with pytest.raises(NotOffered):
        raise NotOffered("")


def test_who_signs_in_acts_for_themselves_and_needs_the_role(
    queue: ReviewStore, service: Service, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials.json"
    secrets = {
        name: add_credential(credentials, name, role, may_name_reporters=name == "tool")
        for name, role in (("looker", "predict"), ("anna", "train"), ("tool", "train"))
    }
    settings = load_settings(
        {}, redis_url=service.redis_url, state_dir=str(service.state), review="on", credentials=str(credentials)
    )
    client = create_app(settings).test_client()

    def headers(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {secrets[name]}"}

    filled = client.post("/predict?review=true", json=SPAMMERS[:2], headers=headers("anna"))
    assert filled.status_code == 200
    wait_until(lambda: len(queue.found().summaries) == 2)
    for call in ("/review", "/predict?review=true"):
        send = client.get if call == "/review" else client.post
        assert_problem(send(call, json=SPAMMERS, headers=headers("looker")), 403, "forbidden")
    claim = {"action": "claim", "reporter": "ben"}
    assert_problem(client.post("/review", json=claim, headers=headers("anna")), 403, "forbidden")
    named = client.post("/review", json=claim, headers=headers("tool")).get_json()["entries"]
    assert named[0]["claimed_by"] == "tool/ben"
    own = client.post("/review", json={"action": "claim"}, headers=headers("anna")).get_json()["entries"]
    assert own[0]["claimed_by"] == "anna"
    done = client.post(
        "/review", json={"action": "verdicts", "verdicts": {own[0]["entry"]: 1}}, headers=headers("anna")
    )
    assert done.status_code == 200
    log = client.get("/verdicts", headers=headers("anna")).get_json()["verdicts"]
    assert [one["reporter"] for one in log] == ["anna"]


@pytest.mark.parametrize(("switch", "review"), [("off", ""), ("on", "share")])
def test_only_where_it_is_on_may_what_is_judged_go_to_the_queue(
    jobs: Jobs, settings: Settings, switch: Any, review: str
) -> None:
    client = create_app(msgspec.structs.replace(settings, review=switch)).test_client()
    assert client.post("/classify", json={"model": "lodbrok", "data": SPAMMERS}).status_code == 202
    jobs.ensure_groups(PREDICT_STREAMS)
    (claim,) = jobs.claim(PREDICT_STREAMS, 10, 0).claims
    assert claim.job.review == review
