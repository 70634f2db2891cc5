"""The same networks as ONNX graphs, for ONNX Runtime. Keras is the truth, and each graph is compared with it.

A graph is text in ONNX's own notation; n is the number of rows. Beside its inputs it declares the network's numbers,
each under its variable path in Keras and with the shape that it must have. It is made here and never read from a file:
a graph is code, and files hold numbers only.
"""

from __future__ import annotations

from sb_api.models.networks import (
    FIELD_LIMIT,
    LEAST_PROBABILITY,
    LINE_SCALE,
    REFUSING_SHARE,
    SENTENCE_SCALE,
    SENTENCE_SHARES,
    SENTENCE_WIDTH,
    WIDE_DEEP_SHARES,
    message_width,
)
from sb_api.models.wide_features import ACCOUNT_TABLE, ACCOUNTS, FEATURES, FIELDS, SLOT_FIELDS, SLOTS
from sb_api.preprocessing import FEATURES_PER_MESSAGE, WORDS_PER_MESSAGE

VERSION = '<ir_version: 10, opset_import: ["" : 21]>'


def lodbrok_graph() -> str:
    """The graph of `networks.build_lodbrok`."""
    return f"""{VERSION}
lodbrok ({_LODBROK_INPUTS},
{_declare(_lodbrok_numbers())}) => (float[n, 2] scores)
<float zero = {{0.0}}, float one = {{1.0}}, int64[1] second = {{1}}>
{{
{_lodbrok("scores")}
}}"""


def wide_deep_graph() -> str:
    """The graph of `networks.build_wide_deep`."""
    numbers = {**_lodbrok_numbers(), "line_embedding/embeddings": (FEATURES, 1), ACCOUNT_TABLE: (ACCOUNTS, 2)}
    fields = ", ".join(str(FIELDS.index(field)) for field in SLOT_FIELDS)
    deep_share, wide_share = WIDE_DEEP_SHARES
    return f"""{VERSION}
wide_deep ({_LODBROK_INPUTS}, int32[n, {SLOTS}] feature_input, float[n, {SLOTS}] weight_input,
int32[n, 2] account_input,
{_declare(numbers)}) => (float[n, 2] scores)
<float zero = {{0.0}}, float one = {{1.0}}, int64[1] second = {{1}}, float scale = {{{LINE_SCALE}}},
float least = {{{LEAST_PROBABILITY}}}, float limit = {{{FIELD_LIMIT}}}, float half = {{0.5}},
float deep_share = {{{deep_share}}}, float wide_share = {{{wide_share}}},
int64[1] flat = {{-1}}, int64[2] by_row = {{-1, {SLOTS}}},
int64[{SLOTS}] fields = {{{fields}}}, int64 depth = {{{len(FIELDS)}}}, float[2] off_and_on = {{0.0, 1.0}}>
{{
{_lodbrok("deep_output")}
line_table = Squeeze ("line_embedding/embeddings", second)
scaled_table = Mul (line_table, scale)
flat_features = Reshape (feature_input, flat)
flat_lines = GatherElements <axis = 0> (scaled_table, flat_features)
lines = Reshape (flat_lines, by_row)
line_terms = Mul (weight_input, lines)
slots_by_field = OneHot (fields, depth, off_and_on)
field_sums = MatMul (line_terms, slots_by_field)
over_limit = Div (field_sums, limit)
squashed = Tanh (over_limit)
limited = Mul (squashed, limit)
line_odds = ReduceSum <keepdims = 1> (limited, second)
of_account = GatherElements <axis = 0> ("{ACCOUNT_TABLE}", account_input)
number, mark = Split <axis = 1, num_outputs = 2> (of_account)
marked = Sign (mark)
said = Mul (number, marked)
odds = Add (line_odds, said)
for_spam = Mul (odds, half)
against = Neg (for_spam)
both = Concat <axis = 1> (against, for_spam)
wide_output = Softmax <axis = 1> (both)
deep_least = Add (deep_output, least)
wide_least = Add (wide_output, least)
deep_log = Log (deep_least)
wide_log = Log (wide_least)
deep_part = Mul (deep_log, deep_share)
wide_part = Mul (wide_log, wide_share)
pool = Add (deep_part, wide_part)
scores = Softmax <axis = 1> (pool)
}}"""


def intent_graph(
    label_count: int, feature_count: int, word_count: int, encoded: bool = False, refusing: bool = False
) -> str:
    """The graph of `networks.build_intent`."""
    width = message_width(label_count)
    filters = width * 3 // 4
    numbers = {
        "feature_embedding/embeddings": (feature_count + 1, width),
        "line_embedding/embeddings": (feature_count + 1, label_count),
        "word_embedding/embeddings": (word_count + 2, width // 2),
        **{f"convolution_{size}/kernel": (size, width // 2, filters) for size in (2, 3)},
        **{f"convolution_{size}/bias": (filters,) for size in (2, 3)},
        **_dense_shapes("bag_output", width, label_count),
        **_dense_shapes("phrase_output", 2 * filters, label_count),
    }
    features, words = f"n, {FEATURES_PER_MESSAGE}", f"n, {WORDS_PER_MESSAGE}"
    sentence, pooled = "", "pool = Mean (bag_log, phrase_log, line_log)"
    if encoded:
        numbers |= _dense_shapes("sentence_output", SENTENCE_WIDTH, label_count)
        numbers |= {REFUSING_SHARE: (label_count,)} if refusing else {}
        sentence = f"float[n, {SENTENCE_WIDTH}] sentence_input,"
        pooled = _sentence_member(refusing)
    return f"""{VERSION}
intent (int32[{features}] feature_input, float[{features}] weight_input, int32[{words}] word_input,{sentence}
{_declare(numbers)}) => (float[n, {label_count}] scores)
<int64[1] second = {{1}}, int64[1] third = {{2}}, float scale = {{{LINE_SCALE}}}, float least = {{{LEAST_PROBABILITY}}},
float sentence_scale = {{{SENTENCE_SCALE}}}, float own_share = {{{SENTENCE_SHARES[3]}}},
float other_share = {{{1 - SENTENCE_SHARES[3]}}}, int64[4] one_more = {{0, 0, 0, 1}}, float level = {{0.0}},
int64[2] parts = {{{label_count}, 1}}>
{{
weights = Unsqueeze (weight_input, second)
rows = Gather ("feature_embedding/embeddings", feature_input)
bag_sums = MatMul (weights, rows)
bag_sum = Squeeze (bag_sums, second)
bag = Relu (bag_sum)
{_dense("bag_output", "bag", "Softmax")}
in_order = Gather ("word_embedding/embeddings", word_input)
sequence = Transpose <perm = [0, 2, 1]> (in_order)
{_convolution(2, "0, 1")}
{_convolution(3, "1, 1")}
phrases = Concat <axis = 1> (maximum_2, maximum_3)
{_dense("phrase_output", "phrases", "Softmax")}
lines = Gather ("line_embedding/embeddings", feature_input)
scaled = Mul (weights, scale)
line_sums = MatMul (scaled, lines)
line_sum = Squeeze (line_sums, second)
line_output = Softmax <axis = 1> (line_sum)
bag_least = Add (bag_output, least)
phrase_least = Add (phrase_output, least)
line_least = Add (line_output, least)
bag_log = Log (bag_least)
phrase_log = Log (phrase_least)
line_log = Log (line_least)
{pooled}
scores = Softmax <axis = 1> (pool)
}}"""


def _sentence_member(refusing: bool) -> str:
    """The member of the text's vector, and the pool with it."""
    head = _REFUSING_HEAD if refusing else _dense("sentence_output", "sentence", "Softmax")
    return f"""sentence = Mul (sentence_input, sentence_scale)
{head}
sentence_least = Add (sentence_output, least)
sentence_log = Log (sentence_least)
own = Mul (sentence_log, own_share)
others = Mean (bag_log, phrase_log, line_log)
theirs = Mul (others, other_share)
pool = Add (own, theirs)"""


_REFUSING_HEAD = f"""sentence_logits = Gemm (sentence, "sentence_output/kernel", "sentence_output/bias")
with_none = Pad (sentence_logits, one_more, level)
sentence_shares = Softmax <axis = 1> (with_none)
of_labels, of_none = Split <axis = 1> (sentence_shares, parts)
of_each = Mul (of_none, "{REFUSING_SHARE}")
sentence_output = Add (of_labels, of_each)"""


def parse_graph(graph: str) -> tuple[bytes, dict[str, tuple[int, ...]], list[str]]:
    """A graph as ONNX Runtime takes it, the shapes of the numbers that it lacks by name, and which of them it uses."""
    import onnx
    import onnx.parser

    model = onnx.parser.parse_model(graph)
    declared = {put.name: put.type.tensor_type.shape.dim for put in model.graph.input}
    # The inputs have n rows, and n is no number.
    shapes = {name: tuple(size.dim_value for size in sizes) for name, sizes in declared.items()}
    shapes = {name: shape for name, shape in shapes.items() if all(shape)}
    inputs = [put for put in model.graph.input if put.name not in shapes]
    used = sorted(shapes.keys() & {name for node in model.graph.node for name in node.input})
    # A number that could be overridden as an input would not be folded into others when the graph is loaded.
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for name in used:
        number = onnx.TensorProto(name=name, dims=shapes[name], data_type=onnx.TensorProto.FLOAT)
        number.data_location = onnx.TensorProto.EXTERNAL
        number.external_data.add(key="location", value="weights")
        model.graph.initializer.append(number)
    return bytes(model.SerializeToString()), shapes, used


_LODBROK_INPUTS = "float[n, 9] main_input, int32[n, 1] website_input, int32[n, 1] email_input, float[n, 512] bio_input"


def _lodbrok_numbers() -> dict[str, tuple[int, ...]]:
    return {
        **{f"main_scaling/{name}": (9,) for name in ("log", "mean", "deviation")},
        **{f"{name}_embedding/embeddings": (1025, 256) for name in ("website", "email")},
        **_lstm_shapes("website", 256, 32),
        **_lstm_shapes("email", 256, 32),
        **_lstm_shapes("bio", 512, 64),
        **_dense_shapes("dense_1", 137, 64),
        **_dense_shapes("dense_2", 64, 64),
        **_dense_shapes("output", 64, 2),
    }


def _lodbrok(output: str) -> str:
    return f"""{_token_state("website")}
{_token_state("email")}
{_gates("bio")}
bio_sums = Gemm (bio_input, bio_kernel, bio_bias)
{_first_state("bio")}
sizes = Abs (main_input)
units = Mul (sizes, "main_scaling/log")
more = Add (units, one)
logarithms = Log (more)
signs = Sign (main_input)
signed = Mul (signs, logarithms)
logarithmic = Greater ("main_scaling/log", zero)
chosen = Where (logarithmic, signed, main_input)
centred = Sub (chosen, "main_scaling/mean")
main_state = Div (centred, "main_scaling/deviation")
merged = Concat <axis = 1> (website_state, email_state, bio_state, main_state)
{_dense("dense_1", "merged", "Tanh")}
{_dense("dense_2", "dense_1", "Tanh")}
{_dense("output", "dense_2", "Softmax", output)}"""


def _declare(numbers: dict[str, tuple[int, ...]]) -> str:
    return ",\n".join(f'float[{", ".join(map(str, shape))}] "{path}"' for path, shape in numbers.items())


def _dense_shapes(name: str, inputs: int, units: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (inputs, units), f"{name}/bias": (units,)}


def _lstm_shapes(name: str, inputs: int, units: int) -> dict[str, tuple[int, ...]]:
    cell = f"{name}_lstm/lstm_cell"
    return {
        f"{cell}/kernel": (inputs, 4 * units),
        f"{cell}/recurrent_kernel": (units, 4 * units),
        f"{cell}/bias": (4 * units,),
    }


def _dense(name: str, of: str, activation: str, output: str = "") -> str:
    return f"""{name}_sums = Gemm ({of}, "{name}/kernel", "{name}/bias")
{output or name} = {activation} ({name}_sums)"""


def _token_state(name: str) -> str:
    # Ahead of the choice of a row, so that ONNX Runtime makes one table of it all when it loads the graph.
    return f"""{_gates(name)}
{name}_raw = MatMul ("{name}_embedding/embeddings", {name}_kernel)
{name}_table = Add ({name}_raw, {name}_bias)
{name}_token = Squeeze ({name}_input, second)
{name}_sums = Gather ({name}_table, {name}_token)
{_first_state(name)}"""


def _gates(name: str) -> str:
    # The first step of an LSTM has nothing to forget, and no state that recurs.
    cell = f"{name}_lstm/lstm_cell"
    kernels, biases = (", ".join(f"{name}_{part}_{gate}" for gate in "ifco") for part in ("kernel", "bias"))
    return f"""{kernels} = Split <axis = 1, num_outputs = 4> ("{cell}/kernel")
{biases} = Split <axis = 0, num_outputs = 4> ("{cell}/bias")
{name}_kernel = Concat <axis = 1> ({name}_kernel_i, {name}_kernel_o, {name}_kernel_c)
{name}_bias = Concat <axis = 0> ({name}_bias_i, {name}_bias_o, {name}_bias_c)"""


def _first_state(name: str) -> str:
    return f"""{name}_i, {name}_o, {name}_c = Split <axis = 1, num_outputs = 3> ({name}_sums)
{name}_input_gate = Sigmoid ({name}_i)
{name}_output_gate = Sigmoid ({name}_o)
{name}_candidate = Tanh ({name}_c)
{name}_cell = Mul ({name}_input_gate, {name}_candidate)
{name}_shown = Tanh ({name}_cell)
{name}_state = Mul ({name}_output_gate, {name}_shown)"""


def _convolution(size: int, padding: str) -> str:
    return f"""filters_{size} = Transpose <perm = [2, 1, 0]> ("convolution_{size}/kernel")
sums_{size} = Conv <pads = [{padding}]> (sequence, filters_{size}, "convolution_{size}/bias")
active_{size} = Relu (sums_{size})
maximum_{size} = ReduceMax <keepdims = 0> (active_{size}, third)"""
