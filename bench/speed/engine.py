"""Each engine alone, in a process of its own: ready time, memory, one record, and records a second.

`measure(engine, model)` gives the figures of one; run as a script it prints all and writes `results/engine.json`.
Where there is a sentence encoder, the message classifier is measured with it too: of numbers that nobody has trained,
as what it takes does not depend on them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "engine.json"
SIZES = (1, 8, 64, 512, 2048)
ROUNDS = 40
MESSAGES, ROUNDS_OF_MESSAGES = 512, 3
READY_SECONDS, DIFFERENCE = 3.0, 1e-5
SHIPPED = "/nonexistent"  # a state directory that has nothing of its own
MADE = "make"


@dataclass(frozen=True)
class Case:
    """A model that is measured, with the state directory that its weights are in; at most so many megabytes, and of
    messages so many milliseconds of one core each, from their text to their class."""

    title: str
    model: str
    megabytes: float
    milliseconds: float | None = None
    state: str = SHIPPED


CASES = (Case("lodbrok", "lodbrok", 120), Case("intent", "intent", 120, 0.34))


def measure(engine: str, model: str, state: str = SHIPPED) -> dict[str, Any]:
    """The figures of an engine on the weights of a model, the shipped ones by default, from a new process."""
    from sb_api.synthetic.messages import generate_messages

    command = [sys.executable, "-m", "bench.speed.engine", engine, model, state]
    # Made up here: what that takes is not the memory of a process that judges.
    texts = json.dumps([message.text for message in generate_messages(MESSAGES, 1)]).encode()
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, input=texts, capture_output=True).stdout)
    return figures


def run_engine(engine: Any, name: str, state: str) -> dict[str, Any]:
    start = time.perf_counter()
    import numpy as np
    import psutil

    from sb_api.config import load_settings
    from sb_api.memory import release_memory
    from sb_api.models.classifiers import find_classifier
    from sb_api.models.predictor import Predictor
    from sb_api.models.weights_store import WeightsStore

    settings = load_settings({}, state_dir=state, encoder=os.environ.get("SB_API_ENCODER", ""))
    weights = WeightsStore.of(settings, name).load("original")
    classifier = find_classifier(weights.about)
    model = Predictor(classifier, weights, classifier.load_vocabularies(settings), engine)
    figures: dict[str, Any] = {"ready": time.perf_counter() - start}
    if classifier.record_type.of_messages:
        arrays, figures["message"] = run_messages(model, json.loads(sys.stdin.buffer.read()))
    release_memory()  # as a classify process does when nothing waits
    figures["memory"] = psutil.Process().memory_full_info().uss / 2**20
    if not classifier.record_type.of_messages:
        from sb_api.learning.reference_set import load_reference

        arrays = load_reference(settings.static / "reference" / f"{name}.npz", classifier).guard.arrays
    seconds = {}
    for size in SIZES:
        rows = {name: np.resize(array, (size, *array.shape[1:])) for name, array in arrays.items()}
        times = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            model.score(rows)
            times.append(time.perf_counter() - begin)
        seconds[size] = min(times)
    best = min(SIZES, key=lambda size: seconds[size] / size)
    scores = model.score(arrays)
    return figures | {
        "one": seconds[1] * 1000,
        "rate": best / seconds[best],
        "best": best,
        "scores": scores.ravel().tolist(),
    }


def run_messages(model: Any, texts: Sequence[str]) -> tuple[Any, float]:
    """Messages as the network takes them, and the milliseconds of processor time that each takes to be judged."""
    from sb_api.records import Message

    messages = [Message(id=n, text=text) for n, text in enumerate(texts)]
    times = []
    for _ in range(ROUNDS_OF_MESSAGES):
        begin = time.process_time()
        model.judge(messages)
        times.append(time.process_time() - begin)
    return model.classifier.preprocess(messages, model.vocabularies), 1000 * min(times) / len(messages)


def make_encoded(state: str) -> None:
    """Weights of the message classifier with a sentence encoder as it is before it learns, for the shipped classes.
    Raises Unavailable where there is no encoder."""
    from dataclasses import replace

    import msgspec

    from sb_api.config import load_settings
    from sb_api.learning.fitting.training_loop import Fitting
    from sb_api.models.classifiers import INTENT, INTENT_ENCODED
    from sb_api.models.encoder import load_encoder
    from sb_api.models.weights_file import named
    from sb_api.models.weights_store import WeightsStore

    settings = load_settings({}, state_dir=state, encoder=os.environ.get("SB_API_ENCODER", ""))
    encoder = load_encoder(settings.encoder)
    store = WeightsStore.of(settings, INTENT.name)
    shipped = store.load("original").about
    vocabularies = replace(INTENT.load_vocabularies(settings), encoder=encoder)
    about = msgspec.structs.replace(
        shipped, architecture=INTENT_ENCODED.architecture, encoder=encoder.sha256, tokenizers=vocabularies.fingerprint
    )
    fitting = Fitting(INTENT_ENCODED, about.labels, vocabularies)
    store.install_original(named(fitting.snapshot(about), 0))


def main() -> int:
    with tempfile.TemporaryDirectory() as state:
        made = subprocess.run([sys.executable, "-m", "bench.speed.engine", MADE, state], stderr=subprocess.PIPE)
        if made.returncode:
            print(f"without a sentence encoder: {made.stderr.decode().strip().splitlines()[-1]}", file=sys.stderr)
            return bench(CASES)
        return bench((*CASES, Case("intent with encoder", "intent", 160, 3.0, state)))


def bench(cases: Sequence[Case]) -> int:
    rows = []
    print(
        f"{'model':20} {'engine':6} {'ready s':>8} {'USS MB':>7} {'one ms':>7} {'records/s':>10} {'at':>5} "
        f"{'from Keras':>10}"
    )
    for case in cases:
        keras, onnx = (measure(engine, case.model, case.state) for engine in ("keras", "onnx"))
        difference = max(abs(a - b) for a, b in zip(keras["scores"], onnx["scores"], strict=True))
        for engine, found in (("keras", keras), ("onnx", onnx)):
            apart = f"{difference:.1e}" if engine == "onnx" else ""
            print(
                f"{case.title:20} {engine:6} {found['ready']:8.2f} {found['memory']:7.0f} {found['one']:7.3f} "
                f"{found['rate']:10.0f} {found['best']:5} {apart:>10}"
            )
        name = f"{case.title}, ONNX Runtime"
        against = {key: f"Keras {keras[key]:.3g}" for key in ("ready", "memory", "one", "rate")}
        rows += [
            figure(f"{name}: ready", onnx["ready"], "s", against["ready"], READY_SECONDS),
            figure(f"{name}: memory of the process", onnx["memory"], "MB", against["memory"], case.megabytes),
            figure(f"{name}: one record", onnx["one"], "ms", against["one"]),
            figure(f"{name}: records a second in batches of {onnx['best']}", onnx["rate"], "1/s", against["rate"]),
            figure(f"{name}: largest difference from Keras", difference, "", "", DIFFERENCE),
        ]
        if case.milliseconds is not None:
            told = f"{name}: processor time of a message in batches of {MESSAGES}"
            rows.append(figure(told, onnx["message"], "ms", f"Keras {keras['message']:.3g}", case.milliseconds))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0 if all(row["reached"] for row in rows) else 1


def figure(name: str, value: float, unit: str, against: str, most: float | None = None) -> dict[str, Any]:
    reached = most is None or value <= most
    return {
        "figure": name,
        "value": float(f"{value:.4g}"),
        "unit": unit,
        "against": against,
        "goal": most,
        "reached": reached,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == [MADE]:
        make_encoded(sys.argv[2])
    elif len(sys.argv) == 4:
        print(json.dumps(run_engine(*sys.argv[1:])))
    else:
        sys.exit(main())
