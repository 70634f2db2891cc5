"""The train process: what trainings need is in memory while they come, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import pytest
import redis
from click.testing import CliRunner, Result

from sb_api import create_app
from sb_api.broker.jobs import LOOKUPS, TRAIN, Answer, Claim, Job
from sb_api.cli import main
from sb_api.config import Settings, load_settings
from sb_api.judgements import VerdictQuery
from sb_api.learning import process as learning_process
from sb_api.learning.process import TrainProcess
from sb_api.processes.supervisor import ends
from sb_api.records import RECORD_TYPES, encode_payload
from sb_api.verdicts.audit import open_audit_log
from sb_api.verdicts.verdict_log import open_verdict_log
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import (
    ROOT,
    Service,
    assert_stays,
    carries,
    clean_environment,
    make_verdicts,
    start_service,
    thin_reference,
)
from tests.verdicts.test_verdict_log import NOON, verdict

PATIENCE = 150.0  # seconds; to load TensorFlow takes long beside other tests, for which train processes make way


def is_let_go(process: psutil.Process) -> bool:
    return "--cold" in process.cmdline() and not carries(process, "tensorflow")


def is_listed(started: Service) -> bool:
    return bool(started.ready()["train_processes"])


def test_without_idle_time_it_is_not_loaded_at_the_start(jobs: Jobs, settings: Settings) -> None:
    """Whoever never trains does without it."""
    variables = {"SB_API_REDIS_URL": settings.redis_url, "SB_API_STATE_DIR": settings.state_dir}
    environment = clean_environment(**variables, SB_API_TRAINER_IDLE="0")
    with subprocess.Popen([sys.executable, "-m", "sb_api", "trainer"], cwd=ROOT, env=environment) as process:
        try:
            train = psutil.Process(process.pid)
            wait_until(lambda: jobs.registry.published("intent"), 60)
            # Where it is loaded at the start, that is what comes next.
            assert_stays(lambda: not carries(train, "tensorflow"), 2)
        finally:
            process.terminate()


def test_it_makes_way_for_predictions_once_its_weights_are_published(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that nothing may be there to predict with: on a busy machine all wait for it."""
    published: list[dict[str, str]] = []
    monkeypatch.setattr(os, "nice", lambda _: published.append(jobs.registry.published_versions(RECORD_TYPES)))
    train = TrainProcess(settings, cold=False)
    train.load()
    train.load()
    train.broker.redis.close()
    assert [versions.keys() for versions in published] == [RECORD_TYPES.keys()]


def test_a_stop_while_the_process_starts_itself_anew_is_a_stop(
    jobs: Jobs, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes before the new program can handle a signal waits for it; by itself it would kill it."""
    idle = load_settings({}, redis_url=settings.redis_url, state_dir=settings.state_dir, trainer_idle=0.01)
    train = TrainProcess(idle, cold=True)
    train.load()
    train.used -= 1
    held: set[int] = set()
    monkeypatch.setattr(os, "execv", lambda *_: held.update(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    try:
        train.idle()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends())
    assert held >= set(ends())

    variables = {"SB_API_REDIS_URL": settings.redis_url, "SB_API_STATE_DIR": settings.state_dir}
    stopped_early = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'sb_api', 'trainer', '--cold'])"
    )
    command = [sys.executable, "-c", stopped_early]
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environment(**variables), timeout=60, stdout=log, stderr=log, check=False
        )
    assert done.returncode == 0, (tmp_path / "log").read_text()


def purge(settings: Settings, *arguments: str) -> Result:
    environment = {"SB_API_STATE_DIR": settings.state_dir, "SB_API_REDIS_URL": settings.redis_url}
    command = ["verdicts", "purge", "--yes", *arguments]
    return CliRunner(env=environment).invoke(main, command, catch_exceptions=False)


def test_the_logs_are_read_while_a_replay_goes_on(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GET /verdicts and who had what done were a 504 until it ended."""
    train = TrainProcess(settings, cold=True)
    begun, over = threading.Event(), threading.Event()

    def take_long(*_: object) -> Answer:
        begun.set()
        over.wait(60)
        return Answer(status="completed")

    monkeypatch.setattr(learning_process, "do_job", take_long)
    log = open_verdict_log(settings, "lodbrok")
    assert log is not None
    log.add([verdict("1"), verdict("2", reporter="bob")])
    client = create_app(msgspec.structs.replace(settings, predict_timeout=5.0)).test_client()
    work = threading.Thread(target=train.worker.run)
    with train.lookups.answered():
        work.start()
        try:
            assert client.post("/replay").status_code == 202
            assert begun.wait(30)
            told = client.get("/verdicts?reporter=bob")
            assert (told.status_code, [one["record"] for one in told.get_json()["verdicts"]]) == (200, ["2"])
            assert client.get("/page/audit").status_code == 200
        finally:
            over.set()
            train.worker.stopping.set()
            join(work)
    train.broker.redis.close()


def test_what_a_look_up_has_loaded_is_let_go_too(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = TrainProcess(msgspec.structs.replace(settings, trainer_idle=0.01), cold=True)
    anew: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *command: anew.append(command))
    try:
        train.idle()
        assert not anew
        job = Job(task="1", operation="verdicts", classifier="lodbrok", body=encode_payload(VerdictQuery()))
        assert train.lookups.do([Claim(LOOKUPS, b"1-1", job)])[0].data == {"verdicts": [], "more": False}
        assert not train.trainers
        wait_until(lambda: train.idle() or anew, 10)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends())
    assert len(anew) == 1


def test_after_a_purge_the_figures_of_quality_follow_and_what_counts_again_is_tried(
    jobs: Jobs, settings: Settings
) -> None:
    """They counted what was purged until the next training."""
    train = TrainProcess(settings, cold=True)
    train.worker.consumer.ensure_groups([TRAIN])
    train.load()
    log = train.trainers["lodbrok"].intake.log
    assert log is not None
    log.add([verdict("1", status="superseded", score=0.5), verdict("2", reporter="bob")])
    log.add([verdict("1", label=0, supersedes=1, received=NOON + timedelta(hours=1))])
    train.trainers["lodbrok"].publication.publish_quality()
    assert count_verdicts(jobs) == 2
    done = purge(settings, "--since", "2026-01-01T13:00:00")
    assert "1 verdict taken out; 1 verdict that they had replaced counts again" in done.output
    assert done.stderr == ""
    claims = jobs.claim([TRAIN], 1, 0).claims
    assert [answer.status for answer in train.do(claims)] == ["completed"]
    assert count_verdicts(jobs) == 2, "bob's, and what counts again"
    assert train.retry_at is not None
    purge(settings, "--reporter", "bob")
    train.do(jobs.claim([TRAIN], 1, 0).claims)
    assert count_verdicts(jobs) == 1
    train.broker.redis.close()


def count_verdicts(jobs: Jobs) -> int:
    """How many verdicts GET /quality counts."""
    published = jobs.registry.published_about("lodbrok", "quality")
    return int(msgspec.json.decode(published or b"")["all_time"]["count"])


def test_a_purge_without_redis_says_when_the_figures_of_quality_follow(tmp_path: Path) -> None:
    settings = load_settings({}, state_dir=str(tmp_path), redis_url=f"unix://{tmp_path}/nobody.sock")
    log = open_verdict_log(settings, "lodbrok")
    assert log is not None
    log.add([verdict("1"), verdict("2", reporter="bob")])
    done = purge(settings, "--reporter", "bob")
    assert (done.exit_code, len(log.find())) == (0, 1)
    assert "when the train process starts or learns" in done.stderr


@pytest.mark.timeout(300)
def test_tensorflow_is_let_go_when_no_training_comes_and_loaded_again_for_what_was_kept(tmp_path: Path) -> None:
    """What was kept is tried again by itself, also by a process that has started itself anew meanwhile, with nothing
    loaded. One promise after the other in one life, because to load TensorFlow costs most of it; that it is loaded for
    a training that comes is what other services of the tests show, which begin without it."""
    settings = {"SB_API_TRAINER_IDLE": "0.5", "SB_API_GUARD_TOLERANCE": "1", "SB_API_FP_BUDGET": "0.05"}
    settings |= {"SB_API_RETRY_KEPT": "4", "SB_API_REPORTER_TRAINING_CAP": "2"}
    thin_reference(tmp_path / "state")
    with start_service(tmp_path / "state", tmp_path, **settings) as service:
        # At the start it is warmed, so that the first verdicts need not wait.
        train = service.child("sb_api trainer")
        wait_until(lambda: carries(train, "tensorflow"), PATIENCE)
        answer = service.post("/train", [{**verdict, "reporter": "ann"} for verdict in make_verdicts(3)]).json()
        original = answer["weights"]["previous"]

        # One of them was over its reporter's cap: it is learned by itself, later, and TensorFlow let go between.
        assert (answer["learned"], answer["kept"], answer["held"]) == (2, 1, 1)
        wait_until(lambda: "--retry-in" in train.cmdline(), PATIENCE)
        wait_until(lambda: {row.status for row in service.verdict_log().find()} == {"learned"}, PATIENCE)
        newest = service.get("/weights").json()["versions"][0]
        assert (newest["learned"], newest["parent"]) == (1, answer["weights"]["version"])

        # That is nobody's request, and the audit log tells of it all the same.
        wait_until(lambda: len(open_audit_log(service.settings).latest(0, kind="verdicts")) == 2, PATIENCE)
        entry = open_audit_log(service.settings).latest(1, kind="verdicts")[0]
        assert (entry.credential, entry.address, entry.count, entry.version) == ("", "", 1, newest["version"])
        assert entry.detail == "kept before and learned now, of 1 reporter: ann"

        wait_until(lambda: is_let_go(train) and "--retry-in" not in train.cmdline(), PATIENCE)
        wait_until(lambda: is_listed(service))
        assert train.memory_full_info().uss < 50 * 2**20
        assert service.child("sb_api trainer").pid == train.pid
        assert train.children() == []

        # Going back needs no TensorFlow.
        assert service.post("/rollback", {"to": "original"}).json()["weights"]["version"] == original
        assert not carries(train, "tensorflow")

        # Whatever happens to the weights meanwhile is seen.
        wait_until(lambda: is_let_go(train), PATIENCE)
        with redis.Redis.from_url(service.redis_url) as client:
            client.flushall()
        wait_until(lambda: service.ready()["weights"]["lodbrok"] == original)
        wait_until(lambda: is_let_go(train), PATIENCE)
        (service.state / "weights" / "current_lodbrok.h5").write_bytes(b"damaged")
        wait_until(lambda: f"it is {original} again, from Redis" in service.log)
        assert "Traceback" not in service.log
        assert service.stop() == 0
