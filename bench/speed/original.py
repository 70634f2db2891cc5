"""The original implementation, written anew after its description: what every request of it costs.

Flask answers; each request loads the Keras model from its file, and judges its editors one by one by `model.predict`.
The preprocessing is today's, which only makes it faster. `original.py PATH` makes the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.running import Target, clean_environment, free_port, run_server

MODEL = "SB_API_BENCH_MODEL"


def make_model(path: Path) -> None:
    """Write the shipped network as a Keras model file."""
    from sb_api.config import load_settings
    from sb_api.models.networks import build_lodbrok, set_arrays
    from sb_api.models.weights_store import WeightsStore

    network = build_lodbrok()
    set_arrays(network, WeightsStore.of(load_settings({}), "lodbrok").load("original").arrays)
    network.save(path)


def original_app() -> Any:
    """The Flask application."""
    from flask import Flask, request

    from sb_api.config import load_settings
    from sb_api.json_bodies import decode_records
    from sb_api.models.classifiers import CLASSIFIERS
    from sb_api.models.networks import build_lodbrok, import_keras
    from sb_api.preprocessing import preprocess_editor
    from sb_api.records import Editor

    keras, classifier = import_keras(), CLASSIFIERS["lodbrok"]
    vocabularies = classifier.load_vocabularies(load_settings({}))
    scaling = type(build_lodbrok().get_layer("main_scaling"))
    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> Any:
        model = keras.models.load_model(os.environ[MODEL], custom_objects={scaling.__name__: scaling})
        predictions = {}
        for editor in decode_records(request.get_data(), Editor, 10_000).all_sound():
            scores = model.predict(dict(preprocess_editor(editor, vocabularies)), verbose=0)
            predictions[str(editor.id)] = classifier.labels[int(scores[0].argmax())]
        return {"success": True, "predictions": predictions}

    return app


@contextmanager
def run_original(state: Path) -> Iterator[Target]:
    """The original implementation, listening."""
    path = state / "model.keras"
    subprocess.run(
        [sys.executable, "-m", "bench.speed.original", str(path)],
        check=True,
        capture_output=True,
        env=clean_environment(),
    )
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "bench.speed.original:original_app()", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", "1", "--timeout", "300", "--log-level", "warning", "--no-control-socket"]
    with run_server(command, port, state, **{MODEL: str(path)}) as target:
        yield target


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
