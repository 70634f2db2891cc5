"""A sentence encoder of the BERT family as an ONNX graph of small integers, from its published numbers.

Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding, 2019; the mean of the
tokens' states as the vector of a text, as in Reimers and Gurevych, Sentence-BERT, 2019. Weights are integers of seven
bits with a scale for each output, so that no processor's 16-bit sums overflow; the states of each token get a scale of
their own when they are multiplied, so that a text's vector does not depend on what is encoded beside it.

Where ONNX has an operator for several steps it is taken, as each step goes through memory once more: a row is quantized
by one, and products come as floats from another, which is ONNX Runtime's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Of weights, and of what they are multiplied with: the largest integers.
LARGEST_WEIGHT, LARGEST_STATE = 63, 127

Array = npt.NDArray[Any]
Read = Callable[[str], npt.NDArray[np.float32]]  # the published array of a name


@dataclass(frozen=True)
class Shape:
    """What an encoder's `config.json` says of it."""

    layers: int
    heads: int
    width: int
    tokens: int  # that a text may have at most
    epsilon: float


def build_encoder(shape: Shape, read: Read) -> bytes:
    """The ONNX model of an encoder of texts of one length: inputs `ids` (n, tokens) and `positions` (tokens,), int64;
    output `vectors` (n, width). Raises KeyError when `read` lacks an array."""
    import onnx
    import onnx.parser
    from onnx import numpy_helper

    numbers: dict[str, Array] = {}
    _quantize_rows(numbers, "words", read("embeddings.word_embeddings.weight"))
    numbers["places"] = (
        read("embeddings.position_embeddings.weight") + read("embeddings.token_type_embeddings.weight")[0]
    )
    _take_norm(numbers, read, "embedding_norm", "embeddings.LayerNorm")
    nodes = [_EMBEDDING.format(epsilon=shape.epsilon)]
    for layer in range(shape.layers):
        _take_layer(numbers, read, layer, shape)
        nodes.append(_describe_layer(layer, shape))
    declared = ",\n".join(f"{_type_of(array)} {name}" for name, array in numbers.items())
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 20, "com.microsoft" : 1]>
encoder (int64[n, s] ids, int64[s] positions,
{declared}) => (float[n, {shape.width}] vectors)
<int64[1] last = {{-1}}, int64[1] first = {{1}}, float one = {{1.0}}, float least = {{0.000000001}},
float largest = {{{LARGEST_STATE}.0}}, uint8 zero = {{128}}, int64[1] width = {{{shape.width}}},
int64[2] flat = {{-1, {shape.width}}}, int64[2] heads = {{{shape.heads}, {shape.width // shape.heads}}}>
{{
{"".join(nodes)}
{_POOLING.format(state=f"state_{shape.layers}")}
}}"""
    )
    inputs = [put for put in model.graph.input if put.name not in numbers]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in numbers.items())
    return bytes(model.SerializeToString())


def _type_of(array: Array) -> str:
    kind = "int8" if array.dtype == np.int8 else "float"
    return f"{kind}[{', '.join(map(str, array.shape))}]"


def _quantize_rows(numbers: dict[str, Array], name: str, rows: npt.NDArray[np.float32]) -> None:
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-9) / 127
    numbers[f"{name}_rows"] = np.round(rows / scales).astype(np.int8)
    numbers[f"{name}_scales"] = scales.astype(np.float32)


def _take_linear(numbers: dict[str, Array], read: Read, name: str, of: str, times: float = 1.0) -> None:
    """A linear layer whose outputs are multiplied by `times`, its weights as integers."""
    kernel = read(f"{of}.weight").T
    scales = np.maximum(np.abs(kernel).max(axis=0), 1e-9) / LARGEST_WEIGHT
    numbers[f"{name}_kernel"] = np.ascontiguousarray(np.round(kernel / scales).astype(np.int8))
    numbers[f"{name}_scales"] = (scales * times).astype(np.float32)
    numbers[f"{name}_bias"] = (read(f"{of}.bias") * times).astype(np.float32)


def _take_norm(numbers: dict[str, Array], read: Read, name: str, of: str) -> None:
    for ours, theirs in (("gain", "weight"), ("shift", "bias")):
        numbers[f"{name}_{ours}"] = read(f"{of}.{theirs}")


def _take_layer(numbers: dict[str, Array], read: Read, layer: int, shape: Shape) -> None:
    of = f"encoder.layer.{layer}"
    # Divided by the root of a head's width once, and not whatever comes of it for each pair of tokens.
    _take_linear(numbers, read, f"q_{layer}", f"{of}.attention.self.query", (shape.heads / shape.width) ** 0.5)
    _take_linear(numbers, read, f"k_{layer}", f"{of}.attention.self.key")
    _take_linear(numbers, read, f"v_{layer}", f"{of}.attention.self.value")
    _take_linear(numbers, read, f"mixed_{layer}", f"{of}.attention.output.dense")
    _take_linear(numbers, read, f"wide_{layer}", f"{of}.intermediate.dense")
    _take_linear(numbers, read, f"narrow_{layer}", f"{of}.output.dense")
    _take_norm(numbers, read, f"mixed_norm_{layer}", f"{of}.attention.output.LayerNorm")
    _take_norm(numbers, read, f"narrow_norm_{layer}", f"{of}.output.LayerNorm")


# States are (n * tokens, width), so that each token is a row.
_EMBEDDING = """sizes = Shape (ids)
by_text = Concat <axis = 0> (sizes, width)
by_head = Concat <axis = 0> (sizes, heads)
word_rows = Gather (words_rows, ids)
word_states = Cast <to = 1> (word_rows)
word_scales = Gather (words_scales, ids)
words = Mul (word_states, word_scales)
places_here = Gather (places, positions)
embedded = Add (words, places_here)
rows = Reshape (embedded, flat)
state_0 = LayerNormalization <axis = -1, epsilon = {epsilon}> (rows, embedding_norm_gain, embedding_norm_shift)
row_count = Shape <end = 1> (state_0)
zeros = Expand (zero, row_count)
"""

# Sums by multiplication: a reduction adds up a text otherwise where there is but one.
_POOLING = """texts = Reshape ({state}, by_text)
tokens = Shape (positions)
one_row = Concat <axis = 0> (first, tokens)
ones = Expand (one, one_row)
rows_of_sums = MatMul (ones, texts)
sums = Squeeze (rows_of_sums, first)
count = Cast <to = 1> (tokens)
vectors = Div (sums, count)"""


def _describe_layer(layer: int, shape: Shape) -> str:
    def norm(name: str, of: str, to: str) -> str:
        gain, shift = f"{name}_{layer}_gain", f"{name}_{layer}_shift"
        return f"{to} = LayerNormalization <axis = -1, epsilon = {shape.epsilon}> ({of}, {gain}, {shift})\n"

    return f"""{_describe_bytes(f"state_{layer}")}
{_describe_linear(f"q_{layer}", f"state_{layer}")}
{_describe_linear(f"k_{layer}", f"state_{layer}")}
{_describe_linear(f"v_{layer}", f"state_{layer}")}
{_describe_heads(f"q_{layer}", "0, 2, 1, 3")}
{_describe_heads(f"k_{layer}", "0, 2, 3, 1")}
{_describe_heads(f"v_{layer}", "0, 2, 1, 3")}
likeness_{layer} = MatMul (q_{layer}_heads, k_{layer}_heads)
shares_{layer} = Softmax <axis = -1> (likeness_{layer})
seen_{layer} = MatMul (shares_{layer}, v_{layer}_heads)
turned_{layer} = Transpose <perm = [0, 2, 1, 3]> (seen_{layer})
joined_{layer} = Reshape (turned_{layer}, flat)
{_describe_bytes(f"joined_{layer}")}
{_describe_linear(f"mixed_{layer}", f"joined_{layer}")}
attended_{layer} = Add (mixed_{layer}, state_{layer})
{norm("mixed_norm", f"attended_{layer}", f"middle_{layer}")}
{_describe_bytes(f"middle_{layer}")}
{_describe_linear(f"wide_{layer}", f"middle_{layer}")}
active_{layer} = Gelu (wide_{layer})
{_describe_bytes(f"active_{layer}")}
{_describe_linear(f"narrow_{layer}", f"active_{layer}")}
added_{layer} = Add (narrow_{layer}, middle_{layer})
{norm("narrow_norm", f"added_{layer}", f"state_{layer + 1}")}
"""


def _describe_heads(name: str, order: str) -> str:
    return f"""{name}_parts = Reshape ({name}, by_head)
{name}_heads = Transpose <perm = [{order}]> ({name}_parts)"""


def _describe_bytes(name: str) -> str:
    """Rows as integers of eight bits, in units of each row's own."""
    return f"""{name}_sizes = Abs ({name})
{name}_tops = ReduceMax <keepdims = 1> ({name}_sizes, last)
{name}_above = Max ({name}_tops, least)
{name}_units = Div ({name}_above, largest)
{name}_scales = Squeeze ({name}_units, first)
{name}_bytes = QuantizeLinear <axis = 0> ({name}, {name}_scales, zeros)"""


def _describe_linear(name: str, of: str) -> str:
    product = f"com.microsoft.MatMulIntegerToFloat ({of}_bytes, {name}_kernel, one, {name}_scales, zero)"
    return f"""{name}_products = {product}
{name}_by_row = Mul ({name}_products, {of}_units)
{name} = Add ({name}_by_row, {name}_bias)"""
