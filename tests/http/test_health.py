"""GET /healthz and /readyz: alive, and ready to judge; not ready is said in plain words."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.broker.connection import connect
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings, load_settings
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.web.service import describe_readiness
from tests.support.jobs import Jobs
from tests.support.service import RedisServer, Service


def beat(jobs: Jobs, role: str) -> None:
    jobs.registry.beat(role, dict.fromkeys(CLASSIFIERS, "000000-00000000"))


def test_a_web_process_is_alive_whatever_the_others_do(settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url="unix:///nonexistent/redis.sock")
    response = create_app(away).test_client().get("/healthz")
    assert (response.status_code, response.get_json()["success"]) == (200, True)


def test_with_redis_and_warm_processes_it_is_ready(service: Service) -> None:
    ready = service.ready()
    assert (ready["code"], ready["success"], ready["status"]) == (200, True, "ready")
    assert (ready["problems"], ready["notes"]) == ([], [])
    assert ready["classify_processes"] >= 1
    assert ready["train_processes"] == 1
    slots = service.get("/weights").json()["slots"]
    assert ready["weights"]["lodbrok"] == slots["current"]


def test_without_a_classify_process_it_is_not_and_says_how_to_start_one(lonely_client: FlaskClient, jobs: Jobs) -> None:
    beat(jobs, "train")
    response = lonely_client.get("/readyz")
    answer = response.get_json()
    assert (response.status_code, answer["success"], answer["status"]) == (503, False, "not ready")
    assert answer["problems"] == ["no classify process is alive and warm; `sb-api run` or `sb-api worker` starts one"]
    assert answer["notes"] == [
        "no weights of lodbrok and intent are published: classify processes wait for a train process"
    ]
    assert (answer["classify_processes"], answer["train_processes"]) == (0, 1)


def test_without_a_train_process_it_is_ready_and_says_what_waits(lonely_client: FlaskClient, jobs: Jobs) -> None:
    beat(jobs, "classify")
    response = lonely_client.get("/readyz")
    assert response.status_code == 200
    assert response.get_json()["notes"] == ["no train process is alive and warm: /train and /rollback wait for one"]


def test_a_classify_process_without_weights_of_every_classifier_is_not_ready(
    lonely_client: FlaskClient, jobs: Jobs
) -> None:
    jobs.registry.beat("classify", {"another": "000000-00000000"})
    response = lonely_client.get("/readyz")
    assert response.status_code == 503
    assert response.get_json()["problems"] == ["a classifier has no weights yet"]


def test_without_redis_it_is_not_and_is_again_once_redis_is_back(tmp_path: Path, settings: Settings) -> None:
    server = RedisServer(tmp_path)
    own = load_settings({}, redis_url=server.url, state_dir=settings.state_dir)
    client = create_app(own).test_client()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.get_json()["problems"][0].startswith("Redis: The queue cannot be reached")
    server.start()
    try:
        assert len(client.get("/readyz").get_json()["problems"]) == 1
    finally:
        server.kill()
    assert client.get("/readyz").get_json()["problems"][0].startswith("Redis: ")


def test_a_redis_that_does_not_answer_is_asked_once(settings: Settings) -> None:
    """Each question to it takes its time, and whoever asks /readyz waits."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                asked.append(connection.recv(1000))
                connection.close()

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        own = msgspec.structs.replace(settings, redis_url=f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        service: Any = SimpleNamespace(broker=Broker.of(connect(own), own), settings=own)  # nothing else asks there
        answer = describe_readiness(service)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert answer["problems"][0].startswith("Redis: The queue cannot be reached")
    assert len(asked) == 1
