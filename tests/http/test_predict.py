"""POST /predict: every editor is judged or named, by one version of the weights, whatever is sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.broker.identity import Identity
from sb_api.broker.jobs import BULK, PREDICT_STREAMS, SMALL, SMALL_RECORDS, Answer, Claim, failure
from sb_api.broker.shared_state import Published, Registry
from sb_api.client import Client
from sb_api.config import Settings
from sb_api.errors import JobFailed, SbApiError
from sb_api.judgements import Judged
from sb_api.records import Editor, decode_payload
from sb_api.versions import Chain, Version
from sb_api.web.service import ROUNDS
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import (
    EDITOR,
    MALFORMED_BODIES,
    NOT_SPAM,
    SPAM,
    WRONG_RECORDS,
    Service,
    Shipped,
    as_editors,
    assert_problem,
    make_editors,
    make_verdicts,
    waiting,
)


def predict(client: FlaskClient, records: Any, query: str = "") -> Any:
    return client.post(f"/predict{query}", json=records)


# What is answered


def test_every_editor_gets_a_label_and_the_probability_of_spam(client: FlaskClient, shipped: Shipped) -> None:
    editors = make_editors(40)
    response = predict(client, editors)
    answer = response.get_json()
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert answer["success"] is True
    assert answer["weights"] == shipped.original.about.version
    scores, _ = shipped.model.judge(as_editors(editors))
    assert answer["scores"] == {
        str(editor["id"]): pytest.approx(float(row[1]), abs=1e-6) for editor, row in zip(editors, scores, strict=True)
    }
    assert answer["predictions"] == {
        editor: SPAM if score > 0.5 else NOT_SPAM for editor, score in answer["scores"].items()
    }
    assert set(answer["predictions"].values()) == {SPAM, NOT_SPAM}


def test_a_list_and_an_object_of_editors_are_answered_alike(client: FlaskClient) -> None:
    editors = make_editors(5)
    listed = predict(client, editors).get_json()
    keyed = predict(client, {f"key {number}": editor for number, editor in enumerate(editors)}).get_json()
    assert keyed["predictions"] == listed["predictions"]
    assert keyed["scores"] == pytest.approx(listed["scores"], abs=1e-6)


def test_the_answer_goes_by_the_ids_of_the_editors_numbers_or_not(client: FlaskClient) -> None:
    records = {"0": {**EDITOR, "id": 77}, "1": {**EDITOR, "id": "a name"}, "2": {**EDITOR, "id": "İd-9\n"}}
    answer = predict(client, records).get_json()
    assert list(answer["scores"]) == ["77", "a name", "İd-9\n"]
    first, *others = answer["scores"].values()
    assert others == pytest.approx([first] * 2, rel=1e-5)  # a row's place among others rounds it differently


def test_nothing_but_the_id_is_needed_and_unknown_fields_are_ignored(client: FlaskClient) -> None:
    bare = predict(client, [{"id": 1}]).get_json()
    optional = [field for field in EDITOR if field not in ("id", "privs")]
    for record in (
        {"id": 1, **dict.fromkeys(optional)},
        {"id": 1, **dict.fromkeys(optional, ""), "privs": ""},
        {"id": 1, "privs": 0, "nickname": "someone", "verdict": 1, "nested": {"a": [1]}},
    ):
        assert predict(client, [record]).get_json()["scores"] == pytest.approx(bare["scores"], abs=1e-6)


def test_what_is_no_field_is_named_with_the_field_that_may_be_meant(client: FlaskClient) -> None:
    """An address under `webiste` counted for nothing, and nobody said so."""
    assert "ignored" not in predict(client, [EDITOR]).get_json()
    for query in ("", "?explain=true"):
        answer = predict(client, [{"id": 1, "webiste": "http://casino.example", "karma": 5}], query).get_json()
        assert answer["ignored"] == {"webiste": "website", "karma": None}
    queued = client.post("/classify", json={"model": "lodbrok", "data": {"id": 1, "boi": ""}}).get_json()
    assert queued["ignored"] == {"boi": "bio"}


def test_one_editor_needs_no_list_around_it(client: FlaskClient) -> None:
    assert predict(client, EDITOR).data == predict(client, [EDITOR]).data


@pytest.mark.parametrize(
    ("call", "query", "said"),
    [
        ("POST /predict", "explian=true", "partial, explain, review, weights: did you mean `explain`?"),
        ("POST /predict", "model=intent", "there are partial, explain, review, weights."),
        ("POST /classify", "explain=true", "it has none."),
        ("POST /train", "model=intent", "there are force."),
        ("GET /weights", "modle=intent", "did you mean `model`?"),
        ("GET /verdicts", "repoter=x", "did you mean `reporter`?"),
        ("GET /quality", "%FF=1", "there are model."),
    ],
)
def test_a_parameter_that_a_call_does_not_have_is_an_error(
    call: str, query: str, said: str, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    method, path = call.split()
    response = lonely_client.open(f"{path}?{query}", method=method, data=b"[]")
    assert said in assert_problem(response, 400, "invalid-parameter")["detail"]
    assert waiting(jobs) == 0


@pytest.mark.parametrize(
    ("call", "query", "name"),
    [
        ("GET /verdicts", "id=7&id=8", "id"),
        ("GET /verdicts", "status=held&status=waiting", "status"),
        ("GET /verdicts", "reporter=&model=lodbrok&reporter=", "reporter"),
        ("GET /weights", "model=lodbrok&model=intent", "model"),
        ("POST /predict", "partial=true&partial=true", "partial"),
        ("POST /predict", "weights=original&weights=current", "weights"),
        ("POST /intents/train", "new_classes=false&new_classes=true", "new_classes"),
        ("POST /replay", "force=1&force=0", "force"),
        ("GET /review", "band=unsure&band=certain+spam", "band"),
    ],
)
def test_a_parameter_that_comes_twice_where_a_call_takes_it_once_is_an_error(
    call: str, query: str, name: str, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    method, path = call.split()
    response = lonely_client.open(f"{path}?{query}", method=method, data=b"[]")
    assert f"`{name}` is given 2 times" in assert_problem(response, 400, "invalid-parameter")["detail"]
    assert waiting(jobs) == 0


def test_the_body_is_read_whatever_its_content_type(client: FlaskClient) -> None:
    for content_type in ("application/x-www-form-urlencoded", "text/plain", None):
        response = client.post("/predict", data=json.dumps([EDITOR]), content_type=content_type)
        assert list(response.get_json()["predictions"]) == ["2478"]


@pytest.mark.parametrize(
    "fields",
    [
        {"email": None},
        {"email": ""},
        {"email": "nobody"},
        {"email": "@"},
        {"email": "a@b@example.org"},
        {"email": "a" * 100_000 + "@example.org"},
        {"website": "http://[half"},
        {"website": "http://[::1"},
        {"website": "http://exa\u2100mple.com"},
        {"website": "http://example.com:99999999/"},
        {"website": "javascript:alert(1)"},
        {"website": "\x00\x7f \u202e"},
        {"bio": "x" * 1_000_000},
        {"bio": "a.com " * 160_000},
        {"bio": "." * 1_000_000},
        {"bio": "\x00\u0301" * 10_000},
        {"member_since": "0001-01-01", "last_login_date": "9999-12-31T23:59:59+00:00"},
        {"member_since": "2000-07-05T14:22:08+14:00", "last_updated": "2000-07-05", "birth_date": "1900-01-01"},
        {"member_since": "0001-01-01T00:00:00+14:00", "last_login_date": "9999-12-31T23:59:59-14:00"},
        {"area": -(2**63), "privs": 2**63 - 1, "gender": "neither"},
        {"id": 2**63 - 1},
        {"id": "x" * 255},
    ],
    ids=lambda fields: " ".join(f"{name}={str(value)[:20]!r}" for name, value in fields.items()),
)
def test_whatever_an_account_may_hold_is_judged(fields: dict[str, Any], client: FlaskClient) -> None:
    record = {**EDITOR, **fields}
    start = time.monotonic()
    response = predict(client, [record])
    assert response.status_code == 200, response.get_json()
    assert 0 <= response.get_json()["scores"][str(record["id"])] <= 1
    assert time.monotonic() - start < 5


# What is refused


@pytest.mark.parametrize("body", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES)
def test_a_body_without_records_is_refused_and_nothing_is_queued(
    body: bytes, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    assert_problem(lonely_client.post("/predict", data=body), 400, "malformed-body")
    assert waiting(jobs) == 0


@pytest.mark.parametrize(("record", "field"), WRONG_RECORDS.values(), ids=WRONG_RECORDS)
def test_a_wrong_record_is_named_with_its_field_and_nothing_is_queued(
    record: bytes, field: str, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    for body, key in ((b'[{"id": 77}, %s]' % record, "1"), (b'{"sound": {"id": 77}, "wrong": %s}' % record, "wrong")):
        problem = assert_problem(lonely_client.post("/predict", data=body), 422, "invalid-records")
        assert list(problem["errors"]) == [key]
        assert problem["errors"][key]["field"] == field
        assert problem["errors"][key]["detail"]
        assert repr(key) in problem["detail"]
        assert field in problem["detail"]
    assert waiting(jobs) == 0


@pytest.mark.parametrize("record", [1, "x", None, [], [[]]])
def test_what_is_no_record_is_named(record: Any, lonely_client: FlaskClient, jobs: Jobs) -> None:
    problem = assert_problem(predict(lonely_client, [{"id": 1}, record]), 422, "invalid-records")
    assert list(problem["errors"]) == ["1"]
    assert waiting(jobs) == 0


def test_every_wrong_record_is_named(lonely_client: FlaskClient, jobs: Jobs) -> None:
    records = {"a": {"id": 1}, "b": {"id": 2, "bio": 5}, "c": {}, "d": {"id": 4, "birth_date": "x"}}
    problem = assert_problem(predict(lonely_client, records), 422, "invalid-records")
    assert {key: fault["field"] for key, fault in problem["errors"].items()} == {
        "b": "bio",
        "c": "id",
        "d": "birth_date",
    }
    assert waiting(jobs) == 0


@pytest.mark.parametrize("same", [1, "1"])
def test_two_records_of_one_id_are_an_error(same: Any, lonely_client: FlaskClient, jobs: Jobs) -> None:
    problem = assert_problem(predict(lonely_client, [{"id": 1}, {"id": 2}, {"id": same}]), 422, "invalid-records")
    assert list(problem["errors"]) == ["2"]
    assert problem["errors"]["2"]["field"] == "id"
    assert waiting(jobs) == 0


def test_more_records_than_allowed_are_refused(lonely_client: FlaskClient, jobs: Jobs) -> None:
    problem = assert_problem(predict(lonely_client, [{"id": number} for number in range(10_001)]), 413, "too-large")
    assert "10001 records" in problem["detail"]
    assert "10000" in problem["detail"]
    assert waiting(jobs) == 0


def test_a_larger_body_than_allowed_is_refused(lonely_client: FlaskClient, jobs: Jobs) -> None:
    response = lonely_client.post("/predict", data=b" " * (32 * 2**20 + 1))
    problem = assert_problem(response, 413, "too-large")
    assert str(32 * 2**20) in problem["detail"]
    assert waiting(jobs) == 0


# Partial


def test_with_partial_the_sound_records_are_judged_and_the_others_listed(client: FlaskClient) -> None:
    records = {"a": EDITOR, "b": {**EDITOR, "id": 2, "bio": 5}, "c": {**EDITOR, "id": 3, "birth_date": "x"}}
    response = predict(client, records, "?partial=true")
    answer = response.get_json()
    assert response.status_code == 200
    assert answer["success"] is True
    assert list(answer["predictions"]) == list(answer["scores"]) == ["2478"]
    assert {key: fault["field"] for key, fault in answer["errors"].items()} == {"b": "bio", "c": "birth_date"}


def test_with_partial_and_nothing_wrong_no_errors_are_listed(client: FlaskClient) -> None:
    answer = predict(client, [EDITOR], "?partial=true").get_json()
    assert answer["errors"] == {}
    assert "errors" not in predict(client, [EDITOR], "?partial=false").get_json()


def test_with_partial_and_nothing_sound_it_is_an_error_all_the_same(lonely_client: FlaskClient) -> None:
    assert_problem(predict(lonely_client, [{"bio": "x"}], "?partial=true"), 422, "invalid-records")


@pytest.mark.parametrize("value", ["maybe", "", "2"])
def test_partial_is_true_or_false(value: str, lonely_client: FlaskClient, jobs: Jobs) -> None:
    problem = assert_problem(predict(lonely_client, [EDITOR], f"?partial={value}"), 400, "invalid-parameter")
    assert "partial" in problem["detail"]
    assert waiting(jobs) == 0


# Large requests and full queues


def client_of(settings: Settings, **changes: Any) -> FlaskClient:
    return create_app(msgspec.structs.replace(settings, **changes)).test_client()


def test_small_requests_do_not_wait_behind_bulk_ones(jobs: Jobs, settings: Settings) -> None:
    client = client_of(settings, predict_timeout=0.01, slice_records=50)
    assert_problem(predict(client, make_editors(SMALL_RECORDS)), 504, "no-answer-in-time")
    wait_until(lambda: (jobs.redis.xlen(SMALL), jobs.redis.xlen(BULK)) == (2, 0))
    assert_problem(predict(client, make_editors(SMALL_RECORDS + 101)), 504, "no-answer-in-time")
    wait_until(lambda: (jobs.redis.xlen(SMALL), jobs.redis.xlen(BULK)) == (2, 4))


def test_a_full_queue_refuses_at_once_and_takes_nothing(jobs: Jobs, settings: Settings) -> None:
    client = client_of(settings, predict_timeout=0.01, slice_records=100, queue_limit=3)
    assert_problem(predict(client, make_editors(200)), 504)
    wait_until(lambda: jobs.redis.xlen(BULK) == 2)
    response = client_of(settings, predict_timeout=20, slice_records=100, queue_limit=3).post(
        "/predict", json=make_editors(200)
    )
    assert_problem(response, 503, "queue-full")
    assert response.headers["Retry-After"] == "1"
    assert jobs.redis.xlen(BULK) == 2


def test_without_redis_it_says_so(settings: Settings) -> None:
    client = client_of(settings, redis_url="unix:///nonexistent/redis.sock")
    response = predict(client, [EDITOR])
    assert "queue" in assert_problem(response, 503, "unavailable")["detail"]
    assert int(response.headers["Retry-After"]) > 0


@contextmanager
def answering(jobs: Jobs, answer: Callable[[Claim, int], Answer]) -> Iterator[None]:
    """A classify process that answers the n-th job with `answer(job, n)`."""
    over = threading.Event()
    jobs.ensure_groups(PREDICT_STREAMS)

    def work() -> None:
        number = 0
        while not over.is_set():
            for claim in jobs.claim(PREDICT_STREAMS, 1, 0.05).claims:
                jobs.finish([(claim, answer(claim, number))])
                number += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        join(thread)


def judged_by(version: Callable[[int], str]) -> Callable[[Claim, int], Answer]:
    """Answers whose scores are the ids of the editors."""

    def answer(claim: Claim, number: int) -> Answer:
        ids = [float(editor.id) for editor in decode_payload(claim.job.body, list[Editor])]
        return Answer(status="completed", data=Judged(version(number), [SPAM] * len(ids), ids))

    return answer


@pytest.mark.parametrize("change", [1, 2, 3])
def test_all_of_a_large_request_is_judged_by_one_version(change: int, jobs: Jobs, settings: Settings) -> None:
    """A training ends between two slices: those judged by the older weights are judged again."""
    client = client_of(settings, slice_records=50)
    with answering(jobs, judged_by(lambda number: "new" if number >= change else "old")):
        answer = predict(client, [{"id": number} for number in range(200)]).get_json()
    assert answer["weights"] == "new"
    assert answer["scores"] == {str(number): float(number) for number in range(200)}


def test_weights_that_change_all_the_time_do_not_keep_a_request_for_ever(jobs: Jobs, settings: Settings) -> None:
    client, calls = client_of(settings, slice_records=50), []

    def version(number: int) -> str:
        calls.append(number)
        return str(number)

    with answering(jobs, judged_by(version)):
        assert_problem(predict(client, make_editors(100)), 503, "unavailable")
    assert ROUNDS <= len(calls) <= 2 * ROUNDS


def test_a_job_that_failed_is_told_as_its_own_error(jobs: Jobs, settings: Settings) -> None:
    with answering(jobs, lambda *_: failure(JobFailed("It was set aside."))):
        problem = assert_problem(predict(client_of(settings), [EDITOR]), 500, "job-failed")
    assert problem["detail"] == "It was set aside."


def test_an_upgrade_with_an_older_worker_left_is_said_to_be_that(jobs: Jobs, settings: Settings) -> None:
    """It cannot read the job of a classifier that is new, and calls that an error of ours."""
    older, client = {"lodbrok": "1", "intent": "1"}, client_of(settings)
    newer = Registry(jobs.redis, Identity("another host:"))

    def answer(*_: Any) -> Answer:
        jobs.registry.beat("classify", older)
        return failure(SbApiError("The job cannot be read: 'sentiment'."))

    message = [{"id": 1, "text": "fine"}]
    with answering(jobs, answer):
        problem = assert_problem(client.post("/sentiments/predict", json=message), 503, "unavailable")
        assert_problem(predict(client, [EDITOR]), 500)
        newer.beat("classify", {**older, "sentiment": "1"})
        mixed = assert_problem(client.post("/sentiments/predict", json=message), 503, "unavailable")
    assert problem["detail"].startswith("No running classify process knows the classifier 'sentiment'")
    assert "Restart them" in problem["detail"]
    assert mixed["detail"].startswith("1 of 2 running classify processes do not know the classifier 'sentiment'")


def test_what_nobody_waits_for_is_not_queued_for_an_older_process(jobs: Jobs, settings: Settings) -> None:
    client, message = client_of(settings), {"id": 1, "text": "fine"}
    jobs.registry.beat("classify", {"lodbrok": "1", "intent": "1"})
    queued = client.post("/classify", json={"model": "sentiment", "data": [message]})
    assert_problem(queued, 503, "unavailable")
    assert waiting(jobs) == 0
    jobs.registry.beat("train", {"lodbrok": "1", "intent": "1"})
    body, headers = [{**message, "sentiment": "positive"}], {"Prefer": "respond-async"}
    problem = assert_problem(client.post("/sentiments/train", json=body, headers=headers), 503, "unavailable")
    assert "No running train process knows the classifier 'sentiment'" in problem["detail"]
    assert waiting(jobs) == 0
    assert client.post("/classify", json={"model": "intent", "data": [message]}).status_code == 202


def test_a_record_that_could_not_be_judged_is_named_by_its_key(jobs: Jobs, settings: Settings) -> None:
    def answer(claim: Claim, _: int) -> Answer:
        judged = Judged("1", [SPAM, NOT_SPAM], [0.75, float("nan")], {1: "it cannot be turned into numbers"})
        return Answer(status="completed", data=judged)

    records = {"a": {"id": 7}, "b": {"id": 8}}
    client = client_of(settings)
    with answering(jobs, answer):
        problem = assert_problem(predict(client, records), 422, "invalid-records")
        partial = predict(client, records, "?partial=true").get_json()
    assert problem["errors"] == partial["errors"] == {"b": {"field": "", "detail": "it cannot be turned into numbers"}}
    assert partial["scores"] == {"7": 0.75}
    assert partial["predictions"] == {"7": SPAM}


def test_requests_at_the_same_time_get_their_own_answers(service: Service, shipped: Shipped) -> None:
    requests = [make_editors(1 + number % 5, start=10 * number) for number in range(48)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda editors: service.post("/predict", editors).json(), requests))
    for editors, answer in zip(requests, answers, strict=True):
        scores, _ = shipped.model.judge(as_editors(editors))
        expected = {str(editor["id"]): float(row[1]) for editor, row in zip(editors, scores, strict=True)}
        assert answer["scores"] == pytest.approx(expected, abs=1e-6)


def test_nothing_of_a_predict_request_is_kept(service: Service, client: FlaskClient) -> None:
    with service.queue() as jobs:
        before = set(jobs.redis.scan_iter("*task*"))
        assert predict(client, make_editors(100)).status_code == 200
        wait_until(lambda: waiting(jobs) == 0)
        assert set(jobs.redis.scan_iter("*task*")) <= before


# By other weights


def test_records_are_judged_by_the_weights_that_are_named_and_by_no_others(
    client: FlaskClient, service: Service
) -> None:
    editors = make_editors(20)
    before = predict(client, editors).get_json()
    learned = client.post("/train", json=make_verdicts(2)).get_json()["weights"]["version"]
    now = predict(client, editors).get_json()
    assert (before["weights"], now["weights"]) != (learned, before["weights"])
    for named in ("original", "previous", before["weights"]):
        assert predict(client, editors, f"?weights={named}").get_json() == before
    for named in ("current", learned):
        assert predict(client, editors, f"?weights={named}").get_json() == now
    assert predict(client, editors).get_json() == now
    explained = predict(client, editors[:1], "?weights=original&explain=true").get_json()
    assert explained["reasons"].keys() == explained["scores"].keys()
    assert 0 < explained["usual"] < 0.01
    with Client(service.address) as asking:
        told = asking.predict(editors, weights="original")
    assert (told.weights, dict(told.scores)) == (before["weights"], before["scores"])


def test_other_weights_are_for_few_records_and_must_be_there(client: FlaskClient) -> None:
    many = assert_problem(predict(client, make_editors(SMALL_RECORDS + 1), "?weights=original"), 400)
    assert "at most 64 records" in many["detail"]
    queued = assert_problem(predict(client, [EDITOR], "?weights=original&review=true"), 400)
    assert "leave `weights` out" in queued["detail"]
    for missing in ("000099-00000000", "../original"):
        assert_problem(predict(client, [EDITOR], f"?weights={missing}"), 404, "unknown-version")


def test_an_answer_by_other_weights_than_were_asked_for_is_none(jobs: Jobs, settings: Settings) -> None:
    """As a classify process of an older release gives it."""
    versions = [
        Version(classifier="lodbrok", version=name, parent=None, created="", tokenizers="", labels=[])
        for name in ("000001-00000000", "000002-00000000")
    ]
    chain = Chain({"original": "000001-00000000", "previous": None, "current": "000002-00000000"}, versions)
    jobs.registry.publish("lodbrok", Published("000002-00000000", b"", {}, msgspec.json.encode(chain), b"{}"))
    with answering(jobs, judged_by(lambda _: "000002-00000000")):
        refused = predict(client_of(settings), [EDITOR], "?weights=000001-00000000")
    assert "does not judge by other weights" in assert_problem(refused, 503)["detail"]
