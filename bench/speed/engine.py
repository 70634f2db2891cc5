"""Each engine alone, in a process of its own: ready time, memory, one record, and records a second.

`measure(engine, model)` gives the figures of one; run as a script it prints all and writes `results/engine.json`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "engine.json"
SIZES = (1, 8, 64, 512, 2048)
ROUNDS = 40
MEMORY_MEGABYTES, READY_SECONDS, DIFFERENCE = 120, 3.0, 1e-5


def measure(engine: str, model: str) -> dict[str, Any]:
    """The figures of an engine on the shipped weights of a model, from a new process."""
    command = [sys.executable, "-m", "bench.speed.engine", engine, model]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return figures


def run_engine(engine: Any, name: str) -> dict[str, Any]:
    start = time.perf_counter()
    import numpy as np
    import psutil

    from sb_api.config import load_settings
    from sb_api.models.classifiers import find_classifier
    from sb_api.models.predictor import Predictor
    from sb_api.models.weights_store import WeightsStore

    settings = load_settings({}, state_dir="/nonexistent")
    weights = WeightsStore.of(settings, name).load("original")
    classifier = find_classifier(weights.about)
    model = Predictor(classifier, weights, classifier.load_vocabularies(settings), engine)
    figures: dict[str, Any] = {"ready": time.perf_counter() - start}
    figures["memory"] = psutil.Process().memory_full_info().uss / 2**20
    with np.load(settings.static / "reference" / f"{name}.npz") as file:
        vectors = file["vectors"].astype(np.float32)
    seconds = {}
    for size in SIZES:
        rows = classifier.name_inputs(np.resize(vectors, (size, vectors.shape[1])))
        times = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            model.score(rows)
            times.append(time.perf_counter() - begin)
        seconds[size] = min(times)
    best = min(SIZES, key=lambda size: seconds[size] / size)
    scores = model.score(classifier.name_inputs(vectors))
    return figures | {
        "one": seconds[1] * 1000,
        "rate": best / seconds[best],
        "best": best,
        "scores": scores.ravel().tolist(),
    }


def main() -> int:
    rows = []
    print(
        f"{'model':8} {'engine':6} {'ready s':>8} {'USS MB':>7} {'one ms':>7} {'records/s':>10} {'at':>5} "
        f"{'from Keras':>10}"
    )
    for model in ("lodbrok", "intent"):
        keras, onnx = measure("keras", model), measure("onnx", model)
        difference = max(abs(a - b) for a, b in zip(keras["scores"], onnx["scores"], strict=True))
        for engine, found in (("keras", keras), ("onnx", onnx)):
            apart = f"{difference:.1e}" if engine == "onnx" else ""
            print(
                f"{model:8} {engine:6} {found['ready']:8.2f} {found['memory']:7.0f} {found['one']:7.3f} "
                f"{found['rate']:10.0f} {found['best']:5} {apart:>10}"
            )
        name = f"{model}, ONNX Runtime"
        against = {key: f"Keras {keras[key]:.3g}" for key in ("ready", "memory", "one", "rate")}
        rows += [
            figure(f"{name}: ready", onnx["ready"], "s", against["ready"], READY_SECONDS),
            figure(f"{name}: memory of the process", onnx["memory"], "MB", against["memory"], MEMORY_MEGABYTES),
            figure(f"{name}: one record", onnx["one"], "ms", against["one"]),
            figure(f"{name}: records a second in batches of {onnx['best']}", onnx["rate"], "1/s", against["rate"]),
            figure(f"{name}: largest difference from Keras", difference, "", "", DIFFERENCE),
        ]
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
    if len(sys.argv) == 3:
        print(json.dumps(run_engine(sys.argv[1], sys.argv[2])))
    else:
        sys.exit(main())
