"""The typed client, against the real service, and against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest

from sb_api import errors
from sb_api.client import AsyncClient, Client
from sb_api.client.answers import Trained
from sb_api.client.batching import in_order
from sb_api.client.protocol import Predictions
from sb_api.client.rows import Fault, Judgement
from tests.conftest import join
from tests.support.service import Service, make_editors, make_verdicts

CUT, HANG, HALF = "cut", "hang", "half"  # what a server may do other than answer
DONE = (200, {}, b'{"status": "completed", "data": {"predictions": {"1": "praise"}, "scores": {}, "weights": "w"}}')
QUEUED = (202, {}, b'{"status": "queued"}')
ACCEPTED = (202, {}, b'{"task_id": "t"}')
LEARNED = (
    200,
    {},
    b'{"status": "completed", "data": {"learned": 1, "weights": {"version": "b", "previous": "a"}}}',
)
PREDICTED = (200, {}, b'{"predictions": {"1": "spam"}, "scores": {"1": 0.9}, "bands": {}, "weights": "w"}')


def problem(kind: type[errors.SbApiError], **headers: str) -> tuple[int, dict[str, str], bytes]:
    return kind.status, headers, json.dumps(kind("said").problem()).encode()


class Misbehaving:
    """What a scripted server has seen: when, the request line, the headers and the body."""

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[tuple[float, str, dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def pauses(self) -> list[float]:
        return [later[0] - earlier[0] for earlier, later in pairwise(self.seen)]

    def sent(self, path: str) -> int:
        return sum(path in line for _, line, _, _ in self.seen)


@contextmanager
def scripted(*script: Any) -> Iterator[Misbehaving]:
    """A server that does these things, the last one again and again."""
    server_state = Misbehaving()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server_state.seen.append((time.monotonic(), self.requestline, dict(self.headers), body))
            act = script[min(len(server_state.seen), len(script)) - 1]
            if act == HANG:
                server_state.released.wait(20)
            if act in (CUT, HANG):
                self.close_connection = True
                return
            status, headers, content = act if act != HALF else PREDICTED
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content if act != HALF else content[:20])
            self.close_connection = act == HALF

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        server_state.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield server_state
        finally:
            server_state.released.set()
            server.shutdown()
            join(thread)


@pytest.fixture
def caller(service: Service) -> Iterator[Client]:
    with Client(service.address) as made:
        yield made


# The real service


def test_a_prediction_is_what_the_service_answers(caller: Client, service: Service) -> None:
    editors = make_editors(5)
    answer = caller.predict(editors)
    said = service.post("/predict", editors).json()
    assert (answer.predictions, answer.scores, answer.bands) == (said["predictions"], said["scores"], said["bands"])
    assert answer.weights == said["weights"]
    assert caller.predict({str(editor["id"]): editor for editor in editors}) == answer
    assert caller.predict(json.dumps(editors).encode()) == answer
    reasons = caller.predict(editors, explain=True).reasons
    assert reasons.keys() == answer.scores.keys()
    assert all(reason.feature for told in reasons.values() for reason in told)


def test_messages_are_sorted_into_classes(caller: Client) -> None:
    answer = caller.predict([{"id": 1, "text": "thank you for this wonderful database"}], model="intent")
    assert answer.predictions == {"1": "praise"}


def test_wrong_records_are_told_as_the_service_told_them(caller: Client) -> None:
    with pytest.raises(errors.InvalidRecords) as told:
        caller.predict([{"id": 1, "member_since": "yesterday"}])
    assert told.value.members["errors"]["0"]["field"] == "member_since"
    partly = caller.predict([{"id": 1, "member_since": "yesterday"}, {"id": 2}], partial=True)
    assert partly.predictions.keys() == {"2"}
    assert partly.errors["0"].field == "member_since"


def test_a_training_is_learned_and_rolled_back(caller: Client) -> None:
    before = caller.weights().slots["current"]
    trained = caller.train(make_verdicts(4))
    assert (trained.learned, trained.weights.previous) == (4, before)
    assert caller.weights().slots["current"] == trained.weights.version
    assert caller.rollback("previous").weights.version == before
    with pytest.raises(errors.UnknownVersion):
        caller.rollback("000099-00000000")


def test_a_task_is_queued_once_and_waited_for(caller: Client) -> None:
    editors = make_editors(3)
    task = caller.classify(editors)
    assert caller.classify(editors) == task
    assert caller.wait(task, Predictions).scores == caller.predict(editors).scores
    with pytest.raises(errors.UnknownTask):
        caller.wait("0" * 32, Predictions)
    with pytest.raises(errors.InvalidParameter):
        caller.predict(editors, model="nothing")


def test_a_replay_tells_how_far_it_is(caller: Client) -> None:
    caller.train(make_verdicts(4))
    seen: list[dict[str, Any]] = []
    assert caller.wait(caller.replay(), Trained, on_progress=seen.append).learned == 4
    assert all(progress.keys() >= {"done", "total", "seconds_left"} for progress in seen)


def test_many_records_are_judged_in_order_and_wrong_ones_named_by_their_place(caller: Client) -> None:
    editors: list[Any] = make_editors(70)
    editors[13] = b'{"id": 13, '  # no JSON
    editors[27] = {"id": 27, "privs": "all"}
    editors[41] = {"id": 40}  # as the one before it
    editors[52] = b'{"id": 52}, {"id": 99}'  # two records in one row
    editors[66] = b'{"id": 66, "bio": "\\ud800"}'  # refused with the whole request
    outcomes = list(caller.judge(editors, rows=25, in_flight=2))
    faults = {outcome.row: outcome.field for outcome in outcomes if isinstance(outcome, Fault)}
    assert faults.keys() == {13, 27, 41, 52, 66}
    assert (faults[27], faults[41]) == ("privs", "id")
    judged = [outcome for outcome in outcomes if isinstance(outcome, Judgement)]
    assert [judgement.id for judgement in judged] == [n for n in range(70) if n not in faults]
    alone = caller.predict([editors[69]])
    assert judged[-1].score == pytest.approx(alone.scores["69"], abs=1e-6)
    assert judged[-1].band == alone.bands["69"]


@pytest.mark.parametrize("sizes", [{"rows": 0}, {"in_flight": 0}], ids=str)
def test_sizes_with_which_nothing_would_be_judged_are_refused(sizes: dict[str, int]) -> None:
    async def use() -> None:
        async with AsyncClient("http://127.0.0.1:1") as caller:
            async for _ in caller.judge([{"id": 1}], **sizes):
                pass

    with Client("http://127.0.0.1:1") as caller, pytest.raises(errors.InvalidParameter, match="at least 1"):
        caller.judge([{"id": 1}], **sizes)
    with pytest.raises(errors.InvalidParameter, match="at least 1"):
        asyncio.run(use())


def test_a_request_of_wrong_records_alone_names_each(caller: Client) -> None:
    outcomes = caller.judge_rows([b'{"id": null}', b"5", b"[1]"])
    assert all(isinstance(outcome, Fault) for outcome in outcomes)
    assert [outcome.row for outcome in outcomes if isinstance(outcome, Fault)] == [0, 1, 2]


def test_the_async_client_makes_the_same_calls(service: Service) -> None:
    async def use() -> None:
        async with AsyncClient(service.address) as caller:
            editors = make_editors(30)
            answers = await asyncio.gather(*[caller.predict(editors[n : n + 3]) for n in range(0, 30, 3)])
            scores = {key: score for answer in answers for key, score in answer.scores.items()}
            judged = [outcome async for outcome in caller.judge(editors, rows=7, in_flight=2)]
            assert [outcome.id for outcome in judged if isinstance(outcome, Judgement)] == list(range(30))
            assert scores.keys() == {str(n) for n in range(30)}
            trained = await caller.train(make_verdicts(2))
            assert (await caller.weights()).slots["current"] == trained.weights.version
            assert (await caller.rollback("original")).weights.previous == trained.weights.version
            task = await caller.classify(editors[:2])
            assert (await caller.wait(task, Predictions)).predictions.keys() == {"0", "1"}
            with pytest.raises(errors.InvalidRecords):
                await caller.predict([{"id": None}])

    asyncio.run(use())


def test_the_async_client_takes_records_as_they_come(service: Service) -> None:
    """From an asynchronous iterable, in order, no more of them at a time than are in flight."""
    taken: list[Any] = []

    async def records() -> AsyncIterator[dict[str, Any]]:
        for editor in make_editors(45):
            taken.append(editor)
            yield editor
            await asyncio.sleep(0)

    async def use() -> None:
        found = []
        async with AsyncClient(service.address) as caller:
            async for outcome in caller.judge(records(), rows=4, in_flight=2):
                assert isinstance(outcome, Judgement)
                found.append(outcome.id)
                assert len(taken) <= len(found) + 3 * 4
        assert found == list(range(45))

    asyncio.run(use())


def test_a_cancelled_call_stops_at_once() -> None:
    async def use(address: str) -> float:
        async with AsyncClient(address) as caller:
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await caller.predict([{"id": 1}])
            return time.monotonic() - start

    with scripted(problem(errors.QueueFull, **{"Retry-After": "30"})) as server:
        assert asyncio.run(use(server.address)) < 5


# A server that misbehaves


@pytest.mark.parametrize("kind", errors.SbApiError.__subclasses__())
def test_every_problem_type_is_an_exception_of_its_own(kind: type[errors.SbApiError]) -> None:
    with scripted(problem(kind)) as server, Client(server.address, patience=0) as caller:
        with pytest.raises(kind) as told:
            caller.predict([{"id": 1}])
        assert type(told.value) is kind
        assert len(server.seen) == 1


@pytest.mark.parametrize("act", [CUT, HALF, HANG, problem(errors.Unavailable), (502, {}, b"<html>")], ids=str)
def test_a_prediction_is_asked_again(act: Any) -> None:
    with scripted(act, PREDICTED) as server, Client(server.address, timeout=0.5) as caller:
        assert caller.predict([{"id": 1}]).predictions == {"1": "spam"}
        assert len(server.seen) == 2


@pytest.mark.parametrize("act", [CUT, HALF, HANG], ids=str)
@pytest.mark.parametrize("call", ["train", "replay", "rollback"])
def test_what_must_not_be_done_twice_is_never_sent_twice_blindly(call: str, act: Any) -> None:
    with scripted(act, ACCEPTED) as server, Client(server.address, timeout=0.5) as caller:
        with pytest.raises(errors.OutcomeUnknown, match="weights"):
            caller.train([{"id": 1, "verdict": 1}]) if call == "train" else getattr(caller, call)()
        assert len(server.seen) == 1


def test_a_training_that_was_certainly_not_taken_is_sent_again() -> None:
    with (
        scripted(problem(errors.QueueFull), ACCEPTED, QUEUED, CUT, LEARNED) as server,
        Client(server.address) as caller,
    ):
        assert caller.train([{"id": 1, "verdict": 1}]).learned == 1
        assert (server.sent("/train"), server.sent("/get-result/t")) == (2, 3)


def test_a_training_that_failed_for_another_reason_is_not() -> None:
    with scripted(problem(errors.Unavailable)) as server, Client(server.address) as caller:
        with pytest.raises(errors.Unavailable):
            caller.train([{"id": 1, "verdict": 1}])
        assert len(server.seen) == 1


@pytest.mark.parametrize("act", [CUT, problem(errors.UnknownTask), QUEUED, (200, {}, b"<html>")], ids=str)
def test_a_training_that_was_accepted_and_lost_sight_of_has_an_unknown_outcome(act: Any) -> None:
    """Whoever were told "the service is away" would send it again; the task's id tells where to look."""
    with scripted(ACCEPTED, act) as server, Client(server.address, patience=0.3) as caller:
        with pytest.raises(errors.OutcomeUnknown, match="task t") as told:
            caller.train([{"id": 1, "verdict": 1}], timeout=0.5)
        assert told.value.members["task_id"] == "t"
        assert server.sent("/train") == 1


def test_a_rollback_by_name_may_be_sent_again() -> None:
    done = (200, {}, b'{"weights": {"version": "a", "previous": "b"}}')
    with scripted(CUT, done) as server, Client(server.address) as caller:
        assert caller.rollback("original").weights.version == "a"
        assert len(server.seen) == 2


def test_retry_after_is_obeyed_as_seconds_and_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2.5), usegmt=True)
    full = problem(errors.QueueFull, **{"Retry-After": "1"})
    with scripted(full, problem(errors.QueueFull, **{"Retry-After": date}), PREDICTED) as server:
        with Client(server.address) as caller:
            caller.predict([{"id": 1}])
        assert server.pauses[0] >= 1
        assert 0.3 < server.pauses[1] < 3


def test_without_it_the_pauses_grow() -> None:
    with scripted(*[QUEUED] * 6, DONE) as server, Client(server.address) as caller:
        assert caller.wait("t", Predictions).predictions == {"1": "praise"}
        assert server.pauses[-1] > 2 * server.pauses[0]


def test_it_does_not_wait_longer_than_told() -> None:
    with scripted((202, {"Retry-After": "60"}, b'{"status": "queued"}')) as server, Client(server.address) as caller:
        with pytest.raises(errors.NoAnswerInTime):
            caller.wait("t", Predictions, timeout=1)
        assert len(server.seen) == 1
    with scripted(problem(errors.QueueFull, **{"Retry-After": "60"})) as server:
        with Client(server.address, patience=5) as caller, pytest.raises(errors.QueueFull):
            caller.predict([{"id": 1}])
        assert len(server.seen) == 1


def test_a_failed_task_raises_its_error() -> None:
    failed = b'{"status": "failed", "error": {"type": "urn:sb_api:problem:job-failed", "detail": "it broke"}}'
    with (
        scripted((200, {}, failed)) as server,
        Client(server.address) as caller,
        pytest.raises(errors.JobFailed, match="it broke"),
    ):
        caller.wait("t", Predictions)


@pytest.mark.parametrize(
    "answer",
    [(200, {}, b"<html>"), (200, {}, b"\xff"), (200, {}, b"{}"), (404, {}, b"no"), (301, {"Location": "/x"}, b"")],
    ids=str,
)
def test_a_stranger_is_told_apart(answer: Any) -> None:
    with scripted(answer) as server, Client(server.address) as caller, pytest.raises(errors.UnexpectedAnswer):
        caller.predict([{"id": 1}])


def test_an_answer_that_leaves_a_record_out_is_no_answer() -> None:
    with scripted(PREDICTED) as server, Client(server.address) as caller, pytest.raises(errors.UnexpectedAnswer):
        caller.judge_rows([b'{"id": 1}', b'{"id": 2}'])


def test_no_service_is_unavailable() -> None:
    with Client("http://127.0.0.1:1", patience=0.3) as caller, pytest.raises(errors.Unavailable, match="no service"):
        caller.train([{"id": 1, "verdict": 1}])


@pytest.mark.parametrize("address", ["file:///etc", "nothing", "http://", "http://[", "http://h:0", "http://h:x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(errors.InvalidSettings):
        Client(address)


def test_the_token_goes_with_every_request_and_is_nowhere_else() -> None:
    with scripted(PREDICTED) as server, Client(server.address, "s3cret") as caller:
        caller.predict([{"id": 1}])
        assert server.seen[0][2]["Authorization"] == "Bearer s3cret"
        assert "s3cret" not in repr(caller)
    with pytest.raises(errors.InvalidSettings) as told:
        Client(server.address, "s3cret\r\nX: y")
    assert "s3cret" not in str(told.value)


def test_a_closed_client_stops_waiting() -> None:
    with scripted(problem(errors.QueueFull, **{"Retry-After": "30"})) as server:
        caller = Client(server.address)
        timer = threading.Timer(0.3, caller.close)
        timer.start()
        with pytest.raises(errors.Unavailable, match="closed"):
            caller.predict([{"id": 1}])
        join(timer)


def test_the_iterator_takes_no_more_than_it_needs() -> None:
    """Memory stays bounded: items are taken as results are."""
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(lambda number: number * 2, items(), in_flight=3)
    assert [next(results) for _ in range(10)] == list(range(0, 20, 2))
    assert len(taken) <= 10 + 2 * 3
    results.close()  # type: ignore[attr-defined]


def test_several_requests_are_in_flight() -> None:
    together = threading.Barrier(3, timeout=20)
    assert sorted(in_order(lambda _: together.wait(), range(3), in_flight=3)) == [0, 1, 2]

    async def use(server: Misbehaving) -> None:
        async with AsyncClient(server.address, patience=0) as caller:
            first = asyncio.ensure_future(anext(caller.judge([{"id": n} for n in range(9)], rows=1, in_flight=3)))
            async with asyncio.timeout(20):
                while len(server.seen) < 3:
                    await asyncio.sleep(0.01)
            server.released.set()
            with pytest.raises(errors.Unavailable):
                await first

    with scripted(HANG) as server:
        asyncio.run(use(server))
        assert len(server.seen) == 3


def test_what_came_before_an_error_of_the_source_is_done_first() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("the file ends here")

    results = in_order(lambda number: number * 2, items(), in_flight=3)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(OSError, match="ends here"):
        next(results)


def test_it_imports_neither_flask_nor_redis_nor_keras() -> None:
    script = "import sb_api.client, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=60)
    modules = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not modules & {"flask", "redis", "keras", "tensorflow", "numpy", "h5py", "sqlalchemy"}
