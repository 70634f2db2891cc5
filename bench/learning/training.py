"""How long a training takes, from the request until its weights are served."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from statistics import median
from typing import Any

import msgspec

from bench.running import Target, clean_environment, post, run_service
from bench.speed.speed import Options
from bench.table import Figure, at_most
from sb_api.synthetic.editors import generate_editors

VERDICTS = 100
_SEEDS = 1000  # of made-up editors that the shipped weights have not seen


def make_verdicts(seed: int, number: int = VERDICTS) -> bytes:
    """A /train body of editors whose verdicts are right, so that the guard has nothing to refuse."""
    editors = [
        {**made.record, "id": seed * 10_000 + place, "verdict": made.verdict}
        for place, made in enumerate(generate_editors(number, _SEEDS + seed))
    ]
    return msgspec.json.encode(editors)


def train_once(service: Target, seed: int) -> float:
    """Seconds from sending 100 verdicts until /predict answers with the weights that learned them."""
    body, begin = make_verdicts(seed), time.perf_counter()
    status, answer = post(service, "/train", body)
    if status != 200:
        raise SystemExit(f"the training was refused: {answer.get('detail')}")
    wanted = answer["weights"]["version"]
    while post(service, "/predict", b'[{"id": 1}]')[1].get("weights") != wanted:
        time.sleep(0.001)
    return time.perf_counter() - begin


def train_without_pause(service: Target, over: threading.Event, done: list[int]) -> None:
    """Train again and again until it is over, and note the status of each training."""
    # Sets of their own for every call, because a verdict is not learned twice.
    for seed in count(1 + len(done) + threading.get_native_id() % 10_000 * 100):
        if over.is_set():
            return
        done.append(post(service, "/train", make_verdicts(seed))[0])


def bench_training(options: Options) -> Iterator[Figure]:
    """One training of 100 verdicts."""
    with run_service() as service:
        first = train_once(service, 0)
        times = [train_once(service, seed) for seed in range(1, options.rounds + 1)]
    against = f"the first after the start {first:.2f} s, as served: with replay, guard and engine check"
    yield at_most("/train with 100 verdicts, request to served, replay and guard", median(times), "s", 3, against)
    command = [sys.executable, "-m", "bench.learning.training", str(options.rounds)]
    done = subprocess.run(command, check=True, capture_output=True, env=clean_environment())
    found = json.loads(done.stdout.splitlines()[-1])
    against = f"in process, no HTTP or queue; fit {found['fit']:.2f} s; the first {found['first']:.2f} s"
    yield at_most("100 verdicts by the specified recipe, decoded to promoted", found["all"], "s", 1.5, against)


def train_as_specified(rounds: int) -> dict[str, Any]:
    """The specified recipe alone (no replay, no guard), which the service does not offer: body in, weights promoted."""
    from sb_api.config import load_settings
    from sb_api.json_bodies import decode_records
    from sb_api.learning.fitting.training_loop import Fitting
    from sb_api.learning.recipe import SPECIFIED, Examples
    from sb_api.models.classifiers import CLASSIFIERS
    from sb_api.models.engine import load_engine
    from sb_api.models.weights_file import named
    from sb_api.models.weights_store import WeightsStore
    from sb_api.records import Verdict

    classifier = CLASSIFIERS["lodbrok"]
    with tempfile.TemporaryDirectory(prefix="sb_api-bench-") as state:
        settings = load_settings({}, state_dir=state)
        store, vocabularies = WeightsStore.of(settings, "lodbrok"), classifier.load_vocabularies(settings)
        original = store.load("original")
        fitting = Fitting(classifier, original.about.labels, vocabularies)
        load = load_engine("onnx", classifier, original.about.labels, vocabularies)
        all_times, fit_times = [], []
        for number in range(1, rounds + 2):
            body, begin = make_verdicts(number), time.perf_counter()
            current = store.load_current()
            verdicts = decode_records(body, Verdict, VERDICTS).all_sound()
            targets = [classifier.target(verdict, original.about.labels) for verdict in verdicts]
            examples = Examples(classifier.preprocess(verdicts, vocabularies), _array(targets))
            fitting.load(current)
            start = time.perf_counter()
            fitting.fit(examples, number, recipe=SPECIFIED)
            fit_times.append(time.perf_counter() - start)
            about = msgspec.structs.replace(current.about, parent=current.about.version, version="")
            candidate = named(fitting.snapshot(about), number)
            load(candidate.arrays)
            store.save(candidate)
            store.promote(candidate.about.version)
            all_times.append(time.perf_counter() - begin)
    return {"first": all_times[0], "all": median(all_times[1:]), "fit": median(fit_times[1:])}


def _array(targets: list[int]) -> Any:
    import numpy as np

    return np.array(targets)


if __name__ == "__main__":
    print(json.dumps(train_as_specified(int(sys.argv[1]))))
