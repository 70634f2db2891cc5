"""One command runs it all: it starts, says why it cannot, mends what dies, keeps what is queued, and stops in order."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import requests
from flask import Flask

from sb_api.broker.connection import connect
from sb_api.broker.jobs import SMALL
from sb_api.broker.redis_version import is_too_old
from sb_api.config import load_settings
from sb_api.errors import CannotStart
from sb_api.processes import redis_server
from sb_api.processes.redis_server import find_redis_server, read_version
from sb_api.processes.serve import listen, url_of
from tests.conftest import wait_until
from tests.support.service import (
    EDITOR,
    ROOT,
    RUN,
    Service,
    alive,
    clean_environment,
    make_editors,
    make_verdicts,
    start_service,
    thin_reference,
)

SB_API = (sys.executable, "-m", "sb_api")
NO_VERB = (sys.executable, "sb_api.py")
LONGEST_SOCKET_PATH = 107  # bytes, the system's limit
HDF5 = b"\x89HDF"  # how every weights file begins


def run_briefly(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    environment = clean_environment(**variables)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def processes_of(state: Path) -> list[psutil.Process]:
    """The processes that have the state directory in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(state) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(process)
    return alive(found)


def kill_all(service: Service) -> None:
    """What a power cut does: a kill -9 of every process at once, the redis-server among them."""
    processes = [psutil.Process(service.process.pid), *service.children()]
    for process in processes:
        process.suspend()  # so that none sees another die and acts on it
    for process in processes:
        process.kill()
    service.process.wait()
    wait_until(lambda: not alive(processes))


class Restartable:
    """One state directory, with a path longer than a socket's may be and with what means something in URLs, and the
    service in it, started when it is down.

    What costs most of a test's time is to start a service, so that several tests share the lives of this one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ("a long path " * 15).strip() / "état #1?a%20b@c"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        # What is in the working directory takes no part.
        self.hostile = folder / "hostile"
        self.hostile.mkdir()
        for name in ("gunicorn.conf", "redis", "flask", "msgspec", "h5py", "sqlalchemy"):
            (self.hostile / f"{name}.py").write_text(f"raise RuntimeError('the own {name} of the directory')\n")
        thin_reference(self.state)
        self.stack = ExitStack()
        self.service: Service | None = None
        self.lives = 0

    def start(self) -> Service:
        """A new life. The service that there was has to be dead."""
        self.stack.close()
        self.lives += 1
        variables = {"TMPDIR": str(self.temporary), "SB_API_CLASSIFY_PROCESSES": "1", "SB_API_PREDICT_TIMEOUT": "55"}
        lives = self.folder / str(self.lives)
        self.service = self.stack.enter_context(start_service(self.state, lives, cwd=self.hostile, **variables))
        return self.service

    def warm(self) -> Service:
        """The service, with a classify process that is warm."""
        service = self.service
        if service is None or service.process.poll() is not None:
            service = self.start()
        wait_until(lambda: service.ready()["classify_processes"], 90)
        return service

    def waiting(self) -> int:
        """How many requests are queued or under way."""
        link = self.folder / "redis"
        if not link.exists():
            link.symlink_to(self.state / "redis")
        with connect(load_settings({}, redis_url=f"unix://{link}/redis.sock")) as client:
            return int(client.xlen(SMALL))


@pytest.fixture(scope="module")
def restartable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    restartable = Restartable(tmp_path_factory.mktemp("restartable"))
    with restartable.stack:
        yield restartable


# What outlives the processes


def test_what_was_queued_survives_a_kill_of_the_whole_service(restartable: Restartable) -> None:
    """A training and a task, taken before any process was warm to do them, are done by the next service."""
    service = restartable.start()
    for name in ("sb_api worker", "sb_api trainer"):
        service.child(name).suspend()  # so that nothing is done before the kill
    training = service.post("/train", make_verdicts(4), headers={"Prefer": "respond-async"})
    judging = service.post("/classify", {"model": "lodbrok", "data": make_editors(3)})
    assert (training.status_code, judging.status_code) == (202, 202)
    places = [training.headers["Location"], judging.headers["Location"]]
    assert [service.get(place).json()["status"] for place in places] == ["queued", "queued"]
    kill_all(service)

    service = restartable.start()

    def done() -> bool:
        codes = {service.get(place).status_code for place in places}
        assert codes <= {200, 202}
        return codes == {200}

    wait_until(done, 90, interval=0.1)
    trained, judged = (service.get(place).json() for place in places)
    assert trained["status"] == judged["status"] == "completed"
    assert trained["data"]["learned"] == 4
    assert judged["data"]["scores"].keys() == {"0", "1", "2"}
    assert service.get("/weights").json()["slots"]["current"] == trained["data"]["weights"]["version"]


def test_a_state_directory_with_a_very_long_path_works(restartable: Restartable) -> None:
    """A unix socket's path has 107 bytes at most; that of the state directory may be longer."""
    service = restartable.warm()
    path = restartable.state / "redis" / "redis.sock"
    assert len(os.fsencode(path)) > LONGEST_SOCKET_PATH
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert service.post("/predict", [EDITOR]).status_code == 200


def test_what_lies_in_the_working_directory_takes_no_part(restartable: Restartable) -> None:
    """Settings of gunicorn, or a module that has the name of one that is needed."""
    service = restartable.warm()
    assert psutil.Process(service.process.pid).cwd() == str(restartable.hostile)
    assert service.post("/predict", [EDITOR]).status_code == 200
    wait_until(lambda: service.ready()["train_processes"])
    assert "of the directory" not in service.log


# What is mended


def test_a_killed_classify_process_is_replaced_and_no_request_is_lost(restartable: Restartable) -> None:
    """Neither one in its hands nor one sent before there is another process; the log tells of the restart.

    Within 5 s of the last one's last sign of life /readyz says that there is none, and later that there is one again.
    """
    service = restartable.warm()
    worker = service.child("sb_api worker")
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(service.post, "/predict", make_editors(3, number)) for number in range(48)]
        wait_until(lambda: sent[4].done())
        assert service.ready()["code"] == 200
        worker.suspend()  # killed at once, it would be replaced before anyone missed it
        wait_until(lambda: service.ready()["code"] == 503, 5, interval=0.05)
        worker.kill()
        answers = [future.result() for future in sent]
    wait_until(lambda: service.ready()["code"] == 200, 5, interval=0.05)
    assert {answer.status_code for answer in answers} == {200}
    for number, answer in enumerate(answers):
        assert answer.json()["scores"].keys() == {str(number + offset) for offset in range(3)}
    assert service.child("sb_api worker").pid != worker.pid
    assert re.search(rf"ERROR .*: classify 1 \(process {worker.pid}\) ended with -9; restarting", service.log)


def test_a_process_that_keeps_dying_ends_the_service_with_an_error(tmp_path: Path) -> None:
    """Whoever watches over the service, systemd for one, sees it end; in order, with nothing left behind."""
    with start_service(tmp_path / "state", tmp_path, SB_API_RESTART_LIMIT="2") as service:
        children = service.children()
        for _ in range(2):
            wait_until(lambda: any("sb_api worker" in " ".join(child.cmdline()) for child in alive(service.children())))
            worker = service.child("sb_api worker")
            worker.kill()
            worker.wait(20)
        assert service.process.wait(20) == 1
    assert alive(children) == []
    last = service.log.splitlines()[-1]
    assert last.startswith(f"Error: classify 1 (process {worker.pid}) ended with -9, for the 2. time in a row.")
    assert "SB_API_RESTART_LIMIT" in last
    assert re.search(r"CRITICAL .*: classify 1 .* for the 2\. time in a row; the service stops", service.log)


def test_a_redis_server_that_is_too_old_is_passed_over_for_the_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = find_redis_server()
    assert found != str(old)
    assert not is_too_old(read_version(found))
    monkeypatch.setattr(redis_server.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CannotStart, match=r"redis-server is Redis 5\.0\.7, which is older than 6\.2; install a newer"):
        find_redis_server()


def test_a_redis_that_does_not_come_up_is_told(tmp_path: Path) -> None:
    """Here because what it kept is damaged in the middle; it must not be thrown away."""
    folder = tmp_path / "state" / "redis"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof").write_text("nonsense\n")
    ended = run_briefly(
        *SB_API, "run", "--port", "0", SB_API_STATE_DIR=str(tmp_path / "state"), SB_API_RESTART_LIMIT="2"
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("Error: The embedded Redis does not come up: redis (process ")
    assert processes_of(tmp_path / "state") == []


def test_a_kill_of_the_supervisor_takes_its_children_with_it(restartable: Restartable) -> None:
    """Nothing stays behind that would hold the port, the queue or the memory."""
    service = restartable.warm()
    children = service.children()
    assert len(children) >= 5  # redis, web and its process, classify, train
    service.process.kill()
    service.process.wait()
    wait_until(lambda: not alive(children), 10)
    assert processes_of(restartable.state) == []


# The end in order


def is_refused(address: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it came while the listener was being closed; the next one is refused
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_requests_under_way_are_answered_before_the_service_stops(number: int, restartable: Restartable) -> None:
    """At SIGTERM what was sent is answered and what comes now is refused at once; then every process is gone within
    10 s, and the exit code is 0."""
    service = restartable.warm()
    children = service.children()
    worker = service.child("sb_api worker")
    worker.suspend()  # so that nothing is answered before the signal
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(service.post, "/predict", make_editors(3, number)) for number in range(8)]
        wait_until(lambda: restartable.waiting() == 8)
        started = time.monotonic()
        service.process.send_signal(number)
        wait_until(lambda: "requests under way are answered first" in service.log)
        wait_until(lambda: is_refused(service.address), 4)
        worker.resume()
        answers = [future.result() for future in sent]
    assert {answer.status_code for answer in answers} == {200}
    assert {len(answer.json()["scores"]) for answer in answers} == {3}
    assert service.process.wait(15) == 0
    assert time.monotonic() - started < 10
    assert alive(children) == []
    assert processes_of(restartable.state) == []


def test_the_top_script_without_a_verb_runs_the_service_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """Also while its processes are still warming up."""
    with start_service(tmp_path / "state", tmp_path, NO_VERB, SB_API_PORT="0", SB_API_TRAINER_IDLE="300") as service:
        assert service.get("/healthz").status_code == 200
        children = service.children()
        assert service.child("sb_api worker") in children
        assert service.stop(signal.SIGINT) == 0
    assert alive(children) == []


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("::", "http://[::]:")]
)
def test_the_address_that_it_names_is_a_url(host: str, url: str) -> None:
    """It was http://::1:4321."""
    with listen(load_settings({}, host=host, port=0)) as listener:
        assert url_of(listener) == f"{url}{listener.getsockname()[1]}"


def test_a_standard_output_that_takes_nothing_keeps_nothing_from_starting() -> None:
    """Its disk is full, say."""
    code = (
        "import sb_api.processes.serve as s\n"
        "s.serve = lambda settings, announce: announce('http://x')\n"
        "from sb_api.cli import main\nmain(['run'])"
    )
    with open("/dev/full", "w") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "sb_api listens on http://x" in ran.stderr
    assert "No space left on device" in ran.stderr


# Why it does not start


@pytest.mark.parametrize("verb", [("run", "--port", "0"), ("bootstrap",)], ids=["run", "bootstrap"])
def test_a_state_directory_in_use_is_refused(service: Service, verb: Sequence[str]) -> None:
    """A second service, or new originals, would change weights under the first one's feet."""
    ended = run_briefly(*SB_API, *verb, SB_API_STATE_DIR=str(service.state))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"Error: Another sb_api runs in {service.state}; stop it first, or set SB_API_STATE_DIR elsewhere."
    ]
    assert service.ready()["code"] == 200


def test_a_taken_port_is_told_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """No process, no redis-server, and nothing that keeps the next attempt from working."""
    state = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_briefly(*SB_API, "run", "--port", str(port), SB_API_STATE_DIR=str(state))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"Error: Cannot listen on 127.0.0.1:{port}: Address already in use; `run --port` takes another port."
    ]
    assert processes_of(state) == []
    assert not (state / "redis").exists()


@pytest.mark.parametrize("verb", ["run", "web"])
def test_an_address_open_to_others_is_refused_without_credentials(tmp_path: Path, verb: str) -> None:
    ended = run_briefly(*SB_API, verb, "--host", "0.0.0.0", SB_API_STATE_DIR=str(tmp_path / "state"))
    assert ended.returncode == 2
    assert re.fullmatch(r"Error: .*0\.0\.0\.0.* loopback alone .*\n", ended.stderr)
    assert not (tmp_path / "state").exists()


def test_with_a_credential_it_listens_to_others_and_asks_who_they_are(tmp_path: Path) -> None:
    """A real web process, whose requests go on while a secret is hashed; revoking needs no restart."""
    state = tmp_path / "state"
    added = run_briefly(*SB_API, "token", "add", "spamninja", "--role", "predict", SB_API_STATE_DIR=str(state))
    token = added.stdout.strip()
    with start_service(state, tmp_path, (*RUN, "--host", "0.0.0.0")) as service:
        service.address = service.address.replace("0.0.0.0", "127.0.0.1")
        headers = {"Authorization": f"Bearer {token}"}
        assert service.get("/healthz").status_code == 200
        assert service.post("/predict", [EDITOR]).status_code == 401
        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda _: service.post("/train", [], headers=headers).status_code, range(32))
            assert set(answers) == {403}
        assert service.post("/predict", [], headers=headers).status_code == 400
        wrong = [service.get("/weights", auth=("spamninja", "wrong")) for _ in range(8)]
        assert [answer.status_code for answer in wrong] == [401] * 6 + [429] * 2
        assert service.post("/predict", [], headers=headers).status_code == 400
        assert "redis.sock" in {path.name for path in (state / "redis").iterdir()}
        assert (stat.S_IMODE((state / "redis" / "redis.sock").stat().st_mode)) == 0o600
        revoked = run_briefly(*SB_API, "token", "revoke", "spamninja", SB_API_STATE_DIR=str(state))
        assert revoked.returncode == 0
        # The wrong secrets may still slow down whoever comes from there.
        assert service.post("/predict", [], headers=headers).status_code in (401, 429)
        assert service.stop() == 0
    assert "a wrong secret for spamninja from 127.0.0.1, failure 1 in a row" in service.log
    assert token not in service.log
    assert token.partition(".")[2] not in service.log


# The web part alone


@contextmanager
def start_web(folder: Path, *command: str) -> Iterator[str]:
    """Start the web part alone with another server's command; yields its address."""
    log = folder / "log"
    environment = clean_environment(SB_API_STATE_DIR=str(folder / "state"))
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        pattern = re.compile(r"(?:Running on|Listening at:) (http://[0-9.:]+)")
        wait_until(lambda: pattern.search(log.read_text()) or process.poll() is not None)
        found = pattern.search(log.read_text())
        assert found, log.read_text()
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    "command",
    [
        ("flask", "--app", "sb_api", "run", "--port", "0"),
        ("gunicorn", "sb_api:create_app()", "--bind", "127.0.0.1:0", "--no-control-socket"),
    ],
    ids=["flask", "gunicorn"],
)
def test_the_web_part_alone_is_alive_and_says_what_it_lacks(tmp_path: Path, command: Sequence[str]) -> None:
    with start_web(tmp_path, sys.executable, "-m", *command) as address:
        assert requests.get(f"{address}/healthz", timeout=20).status_code == 200
        ready = requests.get(f"{address}/readyz", timeout=20)
        assert ready.status_code == 503
        assert any("no classify process is alive" in problem for problem in ready.json()["problems"])
        predicted = requests.post(f"{address}/predict", json=[EDITOR], timeout=20)
        assert predicted.status_code == 503
        assert predicted.json()["success"] is False


# What others may see


def test_the_files_are_its_users_alone(service: Service) -> None:
    """Weights and the queue, which holds editors' details, are closed to the other users of the host."""
    assert service.post("/train", make_verdicts(2)).status_code == 200
    modes = {
        path: stat.S_IMODE(path.lstat().st_mode)
        for path in [service.state, *service.state.rglob("*")]
        if ".partial" not in path.name  # gone in a moment
    }
    weights = {path.name for path in modes if path.suffix == ".h5"}
    assert {"current_lodbrok.h5", "previous_lodbrok.h5"} < weights
    assert service.state / "redis" / "redis.sock" in modes
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}


def test_nothing_of_an_editor_or_a_message_is_logged(service: Service) -> None:
    """At the default level, whatever is asked: right, wrong, learned, refused, explained, or asked for by its id."""
    marker = "zqmarker"
    editor = {
        **EDITOR,
        "id": f"{marker}-id",
        "email": f"{marker}@{marker}.example",
        "website": f"http://{marker}.example",
    }
    editor["bio"] = f"{marker} buys and sells http://{marker}.example"
    message = {"id": f"{marker}-id", "text": f"{marker} cannot sign in"}
    for path, body in (
        ("/predict", [editor]),
        ("/predict?explain=true", [editor]),
        ("/predict?partial=true", [editor, {**editor, "id": 2, "member_since": marker}]),
        ("/predict", [{**editor, "privs": marker}]),
        ("/predict", {marker: {**editor, "birth_date": marker}}),
        (f"/predict?explain={marker}", [editor]),
        ("/train", [{**editor, "verdict": 1, "reporter": "a moderator"}]),
        ("/train", [{**editor, "verdict": marker}]),
        ("/classify", {"model": "lodbrok", "data": [editor]}),
        ("/classify", {"model": marker, "data": [editor]}),
        ("/intents/predict", [message]),
        ("/intents/train", [{**message, "intent": marker}]),
        ("/rollback", {"to": marker}),
    ):
        assert service.post(path, body, headers={"Authorization": f"Bearer {marker}"}).status_code < 500
    assert service.get(f"/get-result/{marker}").status_code == 404
    logs = {path: path.read_text("utf-8", "replace") for path in (service.folder / "log", service.folder / "out")}
    logs[service.state / "redis" / "redis.log"] = (service.state / "redis" / "redis.log").read_text("utf-8", "replace")
    assert "INFO" in logs[service.folder / "log"]
    assert {path.name for path, text in logs.items() if marker in text.lower()} == set()


@pytest.mark.parametrize(
    "name", ["..", "../current", "%2e%2e/x", "000001-deadbeef\n", "000001-deadbeef/..", "\0", "x" * 3000]
)
def test_tricks_with_the_name_of_a_version_get_a_4xx(service: Service, name: str) -> None:
    before = service.get("/weights").json()["slots"]
    assert service.post("/rollback", {"to": name}).status_code == 404
    assert service.post(f"/rollback?model={name}", {"to": "previous"}).status_code == 400
    assert service.get("/weights").json()["slots"] == before


def test_no_route_serves_a_weights_file(service: Service, service_app: Flask) -> None:
    """Neither the shipped nor the learned ones, whatever the path."""
    assert service.post("/train", make_verdicts(2)).status_code == 200
    files = {str(path) for folder in (service.state, ROOT / "static") for path in folder.rglob("*.h5")}
    assert len(files) >= 4
    names = {
        name for file in files for name in (file, os.path.relpath(file, ROOT), os.path.relpath(file, service.state))
    }
    names |= {os.path.basename(name) for name in names}
    filled = {
        re.sub("<[^>]+>", name, rule.rule)
        for rule in service_app.url_map.iter_rules()
        if "<" in rule.rule
        for name in names
    }
    paths = filled | {
        prefix + name.lstrip("/")
        for prefix in ("/", "/static/", "/../", "/static/../", "/%2e%2e/", "/assets/..%2f..%2f")
        for name in names
    }
    with closing(http.client.HTTPConnection(service.address.removeprefix("http://"), timeout=20)) as connection:
        for path in sorted(paths):
            connection.request("GET", path)  # sent as it is: `requests` would take the dots away
            response = connection.getresponse()
            body = response.read()
            # Two slashes lead to one, where there is nothing either.
            assert response.status == (308 if path.startswith("/assets//") else 404), path
            assert HDF5 not in body, path
