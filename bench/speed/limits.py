"""What no service of these parts can pass, each measured without the rest.

(a) the compiled network alone is `engine.measure`; (b) is `judge_editors`; (c) `constant_app` and (d) `exchange_app`
run under gunicorn with the service's settings and gunicorn's own gevent worker. Run as a script, (b) in a process of
its own: `limits.py SECONDS` prints editors a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.editors import make_editors
from bench.running import Target, clean_environment, free_port, post, run_server

EDITORS, MEAN_BIO = 1000, 300
OUR_WORKER = "sb_api.web.gunicorn_worker.WebWorker"


def constant_app():  # type: ignore[no-untyped-def]
    """(c) Flask with an answer that is always the same."""
    from flask import Flask, Response, request

    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> Response:
        request.get_data()
        return Response(b'{"success":true}', mimetype="application/json")

    return app


def exchange_app():  # type: ignore[no-untyped-def]
    """(d) The same with one Redis round trip on a pooled connection."""
    from flask import Flask, Response, request

    from sb_api.broker.connection import connect
    from sb_api.config import load_settings

    app = Flask(__name__)
    redis = connect(load_settings({}, redis_url=os.environ["SB_API_BENCH_REDIS"]))

    @app.post("/predict")
    def predict() -> Response:
        request.get_data()
        redis.get("bench")
        return Response(b'{"success":true}', mimetype="application/json")

    return app


@contextmanager
def run_limit(app: str, state: Path, redis_url: str = "", worker: str = "gevent") -> Iterator[Target]:
    """One of the two apps above with the service's settings and count of processes, of a worker class."""
    from sb_api.config import load_settings
    from sb_api.processes.serve import web_command

    port = free_port()
    command = web_command(load_settings({}), f"127.0.0.1:{port}")
    other = {"sb_api:create_app()": f"bench.speed.limits:{app}()", OUR_WORKER: worker}
    if missing := other.keys() - set(command):
        raise SystemExit(f"server.web_command no longer names {missing}, so its settings cannot be shared.")
    served = [other.get(part, part) for part in command]
    with run_server(served, port, state, SB_API_BENCH_REDIS=redis_url) as target:
        # gunicorn listens before its processes have imported what answers.
        post(target, "/predict", b"[]")
        yield target


def measure_judging(processes: int, seconds: float) -> float:
    """(b) Editors a second that so many processes preprocess and predict at the same time, all told."""
    command = [sys.executable, "-m", "bench.speed.limits", str(seconds)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment(), text=True) for _ in range(processes)
    ]
    rates = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("the bare model cannot be measured")
    return sum(map(float, rates))


def judge_editors(seconds: float) -> float:
    """(b) Editors a second of this process: records in, probabilities out, 1,000 at a time."""
    from bench.speed.bare import load_model, parse_editors

    model = load_model()
    editors = parse_editors(make_editors(EDITORS, MEAN_BIO))
    model.judge(editors)
    judged, begin = 0, time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        model.judge(editors)
        judged += len(editors)
    return judged / took


if __name__ == "__main__":
    print(judge_editors(float(sys.argv[1])))
