"""A web server that loads the application before it forks: every process is one of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from sb_api.broker.jobs import PREDICT_STREAMS, Answer
from sb_api.broker.shared_state import WEB
from sb_api.config import Settings
from sb_api.judgements import Judged
from sb_api.records import Editor, decode_payload
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import NOT_SPAM, clean_environment

WEB_PROCESSES = 3


@pytest.fixture
def judging(jobs: Jobs) -> Iterator[None]:
    """A process that judges every editor, with its id as the score."""
    over = threading.Event()
    jobs.ensure_groups(PREDICT_STREAMS)

    def work() -> None:
        while not over.is_set():
            for claim in jobs.claim(PREDICT_STREAMS, 10, 0.05).claims:
                ids = [float(editor.id) for editor in decode_payload(claim.job.body, list[Editor])]
                judged = Judged("1", [NOT_SPAM] * len(ids), ids)
                jobs.finish([(claim, Answer(status="completed", data=judged))])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()
    join(thread)


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    """The address of gunicorn, which has loaded the application before its three processes."""
    environment = clean_environment(
        SB_API_REDIS_URL=settings.redis_url, SB_API_STATE_DIR=settings.state_dir, SB_API_PREDICT_TIMEOUT="5"
    )
    command = [sys.executable, "-m", "gunicorn", "--preload", "sb_api:create_app()", "--workers", str(WEB_PROCESSES)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = ["--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread", "--threads", "4"]
        with subprocess.Popen(
            [*command, *bind, "--no-control-socket"], env=environment, pass_fds=[listener.fileno()]
        ) as server:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.terminate()


@pytest.mark.usefixtures("judging")
def test_every_prediction_is_answered_to_the_process_that_asked(address: str, jobs: Jobs) -> None:
    def predict(number: int) -> tuple[int, float | None]:
        # A connection each, so that all the processes take some.
        response = requests.post(f"{address}/predict", json=[{"id": number}], timeout=30)
        return response.status_code, response.json().get("scores", {}).get(str(number))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(predict, range(40)))
        assert Counter(status for status, _ in answers) == {200: 40}
        assert [score for _, score in answers] == [float(number) for number in range(40)]

        def have_names_of_their_own() -> bool:
            list(pool.map(predict, range(8)))  # at once: one process would take them all one after the other
            # Besides the applications of other tests, which are of this process.
            beats = [beat for beat in jobs.registry.alive(WEB) if beat.pid != os.getpid()]
            return len(beats) == len({beat.pid for beat in beats}) > 1

        wait_until(have_names_of_their_own)
