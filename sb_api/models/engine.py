"""The engine: what turns named arrays into probabilities where nothing is trained.

Keras trains and is the truth. ONNX Runtime runs the same network (`graphs.py`) in a fraction of the memory and of the
time that TensorFlow takes to start, so processes that only predict go without; every version of the weights is
compared with Keras before it is promoted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Predict
from sb_api.errors import EngineDisagrees, InvalidWeights
from sb_api.models import networks
from sb_api.models.classifiers import Classifier
from sb_api.models.onnx_graphs import parse_graph
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import find_merged

EngineName = Literal["onnx", "keras"]
Load = Callable[[Arrays], Predict]

TOLERANCE = 1e-5  # of a probability, between an engine and Keras
ROWS = 128  # in one run: as fast as any, and what lies between the layers stays small


def load_engine(name: EngineName, classifier: Classifier, labels: Sequence[str], vocabularies: Vocabularies) -> Load:
    """The classifier's network, ready to take numbers.

    Returns `load(numbers) -> predict`; `predict` turns named arrays of n rows into (n, labels) probabilities. `load`
    raises InvalidWeights when the numbers are not the network's, and what was loaded before goes on working; it may
    be called again, and only the last `predict` may be used then.
    """
    if name == "keras":
        network = classifier.build(labels, vocabularies)
        return partial(_load_keras, network, networks.compile_predict(network))
    load: Load = partial(_load_onnx, *parse_graph(classifier.graph(labels, vocabularies)))
    merged = find_merged(labels)
    return load if merged is None else partial(_load_merged, load, networks.merging_matrix(merged))


def check_engine(
    name: EngineName, classifier: Classifier, labels: Sequence[str], vocabularies: Vocabularies, numbers: Arrays
) -> Callable[[Arrays, npt.NDArray[np.float32]], None]:
    """Load an engine with `numbers`. Returns `check(arrays, scores)`, which raises EngineDisagrees unless its scores of
    n rows are those given, which are Keras's (n, labels), within 0.00001."""
    predict = load_engine(name, classifier, labels, vocabularies)(numbers)

    def check(arrays: Arrays, scores: npt.NDArray[np.float32]) -> None:
        difference = float(np.abs(predict(arrays) - scores).max(initial=0.0))
        if not difference <= TOLERANCE:  # NaN is no agreement
            raise EngineDisagrees(
                f"Nothing was changed: the scores of the engine {name} differ from those of Keras by up to "
                f"{difference:.2g} on {len(scores)} reference records, and {TOLERANCE:g} is allowed. "
                "SB_API_ENGINE=keras serves such weights."
            )

    return check


def import_onnxruntime() -> Any:
    """ONNX Runtime, silent: since 1.29 its official builds report what they do to Microsoft unless told not to."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _load_keras(network: Any, predict: Predict, numbers: Arrays) -> Predict:
    networks.set_arrays(network, numbers)
    return predict


def _load_onnx(graph: bytes, shapes: Mapping[str, tuple[int, ...]], used: Sequence[str], numbers: Arrays) -> Predict:
    onnxruntime = import_onnxruntime()
    networks.check_arrays(shapes, numbers, "the network")
    options = onnxruntime.SessionOptions()
    # One thread: there is a process per core. Without the arena, what a large batch took is given back.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    # Folds what is known beforehand; the levels above it make these graphs no faster.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(numbers[p], np.float32)) for p in used]
    options.add_external_initializers(list(used), values)
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of several unrelated classes
        raise InvalidWeights(f"ONNX Runtime cannot work with these numbers: {error}.") from error
    # The session works on the numbers where they lie, so they are kept with it.
    predict: Predict = partial(_run, session, values)
    predict({put.name: _empty_row(put) for put in session.get_inputs()})
    return predict


def _load_merged(load: Load, matrix: npt.NDArray[np.float32], numbers: Arrays) -> Predict:
    predict = load(numbers)
    return lambda arrays: predict(arrays) @ matrix


def _run(session: Any, _: Sequence[Any], arrays: Arrays) -> npt.NDArray[np.float32]:
    rows = len(next(iter(arrays.values())))
    parts = [
        session.run(None, {name: array[start : start + ROWS] for name, array in arrays.items()})[0]
        for start in range(0, max(rows, 1), ROWS)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _empty_row(put: Any) -> npt.NDArray[Any]:
    return np.zeros((1, *put.shape[1:]), np.int32 if put.type == "tensor(int32)" else np.float32)
