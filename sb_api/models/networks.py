"""The Keras networks. Keras is imported on first use, so that processes without a network never carry it.

Numbers travel as plain arrays by variable name; the architecture lives here and nowhere else.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Predict
from sb_api.errors import InvalidWeights
from sb_api.memory import HEAVY, hiding, keep_freed_memory, page_out
from sb_api.models.wide_features import ACCOUNT_LAYER, ACCOUNTS, FEATURES, FIELDS, SLOT_FIELDS, SLOTS
from sb_api.preprocessing import FEATURES_PER_MESSAGE, WORDS_PER_MESSAGE

if TYPE_CHECKING:
    import keras


LEAST_UNITS, MOST_UNITS, UNITS_PER_LABEL = 32, 256, 4
LINE_SCALE, LEAST_PROBABILITY = 4.0, 1e-9
# Of the wide-and-deep network: what each member's logarithms count, the deep one first, and the most that one field may
# add to the logarithm of the odds of spam.
WIDE_DEEP_SHARES = (0.25, 0.75)
WIDE_DEEP = "wide_deep"
FIELD_LIMIT = 4.0

# Of the message network with a sentence encoder: the width of its vectors, what they are multiplied by, and what each
# member's logarithms count.
SENTENCE_WIDTH, SENTENCE_SCALE = 384, 16.0
SENTENCE_SHARES = (2 / 15, 2 / 15, 2 / 15, 3 / 5)
REFUSING = "sentence_or_none"  # the layer by which the member of the text's vector may say that a text is of no label
REFUSING_SHARE = f"{REFUSING}/share"  # what each label has of that

# A batch is padded to the next of these, so that few shapes are ever traced.
BATCH_SIZES = (1, 8, 64, 512)


def import_keras() -> Any:
    """Keras on TensorFlow, quiet, with operations that give the same bits each time."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The order of its sums differs from one kind of processor to the next.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # Its settings are in nobody's home: what the user of this service has there is for other work (float16, say).
    os.environ["KERAS_HOME"] = os.devnull
    is_loaded = "tensorflow" in sys.modules
    # What is loaded is no garbage; looking for some takes a fifth of the time.
    gc.disable()
    try:
        with hiding(*HEAVY):
            import keras
            import tensorflow
    finally:
        gc.enable()
    if not is_loaded:
        gc.freeze()
        page_out("/tensorflow/")  # of 380 MB that its start touches, trainings need 120
        keep_freed_memory()
    tensorflow.config.experimental.enable_op_determinism()
    return keras


def _scaling_layer(keras: Any) -> Any:
    class SignedLogScaling(keras.layers.Layer):  # type: ignore[misc]
        """(f(x) - mean) / deviation, with f(x) = sign(x) ln(1 + log |x|) where `log` is above 0 and x where it is 0.

        Bio lengths and hours spread over six orders of magnitude; their logarithms do not. `log` is the unit: 60 takes
        hours in minutes, and so tells a minute from ten. As made it changes nothing, which is what weights of the
        original network, trained on raw numbers, need.
        """

        def build(self, shape: tuple[int | None, ...]) -> None:
            for name, value in (("log", "zeros"), ("mean", "zeros"), ("deviation", "ones")):
                variable = self.add_weight(name=name, shape=(shape[-1],), initializer=value, trainable=False)
                setattr(self, f"_{name}", variable)

        def call(self, x: Any) -> Any:
            ops = keras.ops
            logarithm = ops.sign(x) * ops.log1p(self._log * ops.abs(x))
            return (ops.where(self._log > 0.0, logarithm, x) - self._mean) / self._deviation

    return SignedLogScaling


def build_lodbrok() -> keras.Model:
    """The editor network: inputs `main_input` (n, 9), `email_input` (n, 1), `website_input` (n, 1), `bio_input`
    (n, 512); output (n, 2), the probabilities of not spam and spam. Layers are named as in the original project.
    """
    keras = import_keras()
    layers = keras.layers
    main = keras.Input((9,), name="main_input")
    website = keras.Input((1,), name="website_input", dtype="int32")
    email = keras.Input((1,), name="email_input", dtype="int32")
    bio = keras.Input((512,), name="bio_input")

    scaled = _scaling_layer(keras)(name="main_scaling")(main)
    # There is one time step: unrolled it is a few operations, in a loop of its own it costs more than they do.
    lstm = partial(layers.LSTM, unroll=True)
    website_state = lstm(32, name="website_lstm")(layers.Embedding(1025, 256, name="website_embedding")(website))
    email_state = lstm(32, name="email_lstm")(layers.Embedding(1025, 256, name="email_embedding")(email))
    bio_state = lstm(64, name="bio_lstm")(layers.Reshape((1, 512), name="bio_reshape")(bio))

    x = layers.Concatenate(name="merge")([website_state, email_state, bio_state, scaled])
    x = layers.Dropout(0.5, name="dropout_1")(x)
    x = layers.Dense(64, activation="tanh", name="dense_1")(x)
    x = layers.Dropout(0.5, name="dropout_2")(x)
    x = layers.Dense(64, activation="tanh", name="dense_2")(x)
    output = layers.Dense(2, activation="softmax", name="output")(x)
    # A dictionary, because inputs go in by name: by position the original swapped e-mail and website.
    inputs = {"main_input": main, "website_input": website, "email_input": email, "bio_input": bio}
    return keras.Model(inputs, output, name="lodbrok")


def build_wide_deep() -> keras.Model:
    """The wide-and-deep editor network (Cheng et al., Wide & Deep Learning for Recommender Systems, 2016): the inputs
    of `build_lodbrok` and `feature_input`, `weight_input` (n, SLOTS) and `account_input` (n, 2) of `wide_features`;
    output as there.

    The deep member is Lodbrok, the wide one a linear classifier of the features. What the features of one field add up
    to is squashed, so that no field alone makes an account sure spam. What was said of this one account is added: a
    number, where the account's other place is marked too. Both are 0 until they are set, and no gradient moves them.
    While it trains it gives (n, members, labels), for a loss of each member's own.
    """
    keras = import_keras()
    layers = keras.layers
    deep = build_lodbrok()
    features = keras.Input((SLOTS,), name="feature_input", dtype="int32")
    weights = keras.Input((SLOTS,), name="weight_input")
    line = layers.Embedding(FEATURES, 1, embeddings_initializer="zeros", name="line_embedding")(features)
    terms = layers.Multiply(name="line_terms")([_scaled_for_line(keras, weights), layers.Reshape((SLOTS,))(line)])
    account = keras.Input((2,), name="account_input", dtype="int32")
    table = layers.Embedding(ACCOUNTS, 2, embeddings_initializer="zeros", trainable=False, name=ACCOUNT_LAYER)
    places = table(account)
    # Of a mark the sign: what goes a part of the way between two versions has only a part of it.
    said = layers.Multiply(name="said")([places[:, 0, :1], keras.ops.sign(places[:, 1, 1:])])
    sums = _fields_layer(keras)(name="field_sums")(terms)
    odds = layers.Add(name="line_odds")([sums, said])
    wide = layers.Activation("softmax", name="line_output")(layers.Concatenate(name="odds")([-odds / 2, odds / 2]))
    members = layers.Concatenate(axis=1, name="members")([layers.Reshape((1, 2))(m) for m in (deep.output, wide)])
    output = _members_layer(keras)(WIDE_DEEP_SHARES, name="pool")(members)
    inputs = {**deep.input, "feature_input": features, "weight_input": weights, "account_input": account}
    return keras.Model(inputs, output, name=WIDE_DEEP)


def _scaled_for_line(keras: Any, weights: Any) -> Any:
    """The weights of features as a linear classifier takes them; the scaling makes up for their being small."""
    kept = keras.layers.Dropout(0.5, name="line_dropout")(weights)
    return keras.layers.Rescaling(LINE_SCALE, name="line_scaling")(kept)


def _fields_layer(keras: Any) -> Any:
    class FieldSums(keras.layers.Layer):  # type: ignore[misc]
        """Terms (n, slots) -> (n, 1): the sum over the fields of FIELD_LIMIT tanh(sum of the field / FIELD_LIMIT)."""

        def call(self, terms: Any) -> Any:
            sums = keras.ops.matmul(terms, slots_by_field())
            return keras.ops.sum(FIELD_LIMIT * keras.ops.tanh(sums / FIELD_LIMIT), axis=1, keepdims=True)

        def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return (shape[0], 1)

    return FieldSums


def slots_by_field() -> npt.NDArray[np.float32]:
    """(slots, fields), 1 where a slot is of a field."""
    return np.asarray(np.array(SLOT_FIELDS)[:, None] == np.array(FIELDS), np.float32)


def _members_layer(keras: Any) -> Any:
    class PoolOfMembers(keras.layers.Layer):  # type: ignore[misc]
        """Probabilities (n, members, labels) -> their normalized geometric mean (n, labels), weighted by `shares` if
        given; not so in training. What `merged` labels have, the one that each of them is merged into has in the end.

        Members that each learn for themselves err apart, so that together they err less than any of them; and where
        they disagree, the pool is sure of nothing.
        """

        def __init__(
            self, shares: tuple[float, ...] | None = None, merged: Sequence[int] | None = None, **options: Any
        ) -> None:
            super().__init__(**options)
            self._shares = shares
            self._merged = merged

        def call(self, probabilities: Any, training: bool = False) -> Any:
            if training:
                return self._add_up(probabilities)
            logarithms = keras.ops.log(probabilities + LEAST_PROBABILITY)
            if self._shares is None:
                return self._add_up(keras.ops.softmax(keras.ops.mean(logarithms, axis=1)))
            shares = np.array(self._shares, np.float32)[:, None]
            return self._add_up(keras.ops.softmax(keras.ops.sum(logarithms * shares, axis=1)))

        def _add_up(self, probabilities: Any) -> Any:
            if self._merged is None:
                return probabilities
            return keras.ops.matmul(probabilities, merging_matrix(self._merged))

        def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return (shape[0], shape[2])

    return PoolOfMembers


def merging_matrix(merged: Sequence[int]) -> npt.NDArray[np.float32]:
    """(labels, labels): probabilities times this are those of merged classes, the sums of their parts."""
    return np.eye(len(merged), dtype=np.float32)[list(merged)]


def message_width(label_count: int) -> int:
    """Units of the message network's hidden layer."""
    return min(MOST_UNITS, max(LEAST_UNITS, UNITS_PER_LABEL * label_count))


def build_intent(
    label_count: int,
    feature_count: int,
    word_count: int,
    encoded: bool = False,
    merged: Sequence[int] | None = None,
    refusing: bool = False,
) -> keras.Model:
    """The message network: inputs `feature_input` and `weight_input` (n, 192), `word_input` (n, 24), if `encoded` also
    `sentence_input` (n, SENTENCE_WIDTH), the text's vector from an encoder; output (n, labels) probabilities.

    Three members: a weighted sum of feature embeddings with one hidden layer, as in fastText (Joulin et al., Bag of
    Tricks for Efficient Text Classification, 2017); convolutions over the words in order (Kim, Convolutional Neural
    Networks for Sentence Classification, 2014); and a linear classifier of the features. Their width grows with the
    number of labels. A fourth one knows the text's vector alone, and counts for three fifths; a `refusing` one may say
    that a text is of no label. While it trains it gives (n, members, labels), for a loss of each member's own. `merged`
    are the numbers of the labels that each one is merged into.
    """
    keras = import_keras()
    layers = keras.layers
    width = message_width(label_count)
    features = keras.Input((FEATURES_PER_MESSAGE,), name="feature_input", dtype="int32")
    weights = keras.Input((FEATURES_PER_MESSAGE,), name="weight_input")
    words = keras.Input((WORDS_PER_MESSAGE,), name="word_input", dtype="int32")

    # Row 0 stands for no feature and no word.
    small = keras.initializers.RandomNormal(stddev=0.1, seed=1)
    rows = layers.Embedding(feature_count + 1, width, embeddings_initializer=small, name="feature_embedding")(features)
    kept = layers.Dropout(0.6, name="feature_dropout")(weights)
    bag = layers.Activation("relu", name="bag")(layers.Dot(axes=1, name="bag_sum")([kept, rows]))
    bag = layers.Dropout(0.5, name="bag_dropout")(bag)

    sequence = layers.Embedding(word_count + 2, width // 2, name="word_embedding")(words)
    sequence = layers.Dropout(0.1, noise_shape=(None, WORDS_PER_MESSAGE, 1), name="word_dropout")(sequence)
    sequence = layers.SpatialDropout1D(0.2, name="unit_dropout")(sequence)
    maxima = [
        layers.GlobalMaxPooling1D(name=f"maximum_{size}")(
            layers.Conv1D(width * 3 // 4, size, padding="same", activation="relu", name=f"convolution_{size}")(sequence)
        )
        for size in (2, 3)
    ]
    phrases = layers.Dropout(0.6, name="phrase_dropout")(layers.Concatenate(name="phrases")(maxima))

    # Embeddings as wide as there are labels: a linear classifier.
    line = layers.Embedding(feature_count + 1, label_count, embeddings_initializer="zeros", name="line_embedding")
    line_sum = layers.Dot(axes=1, name="line_sum")([_scaled_for_line(keras, weights), line(features)])

    outputs = [
        layers.Dense(label_count, activation="softmax", name="bag_output")(bag),
        layers.Dense(label_count, activation="softmax", name="phrase_output")(phrases),
        layers.Activation("softmax", name="line_output")(line_sum),
    ]
    inputs = {"feature_input": features, "weight_input": weights, "word_input": words}
    if encoded:
        inputs["sentence_input"] = sentence = keras.Input((SENTENCE_WIDTH,), name="sentence_input")
        outputs.append(_sentence_member(keras, sentence, label_count, refusing))
    members = [layers.Reshape((1, label_count))(output) for output in outputs]
    pool = _members_layer(keras)(SENTENCE_SHARES if encoded else None, merged, name="output")
    output = pool(layers.Concatenate(axis=1, name="members")(members))
    return keras.Model(inputs, output, name="intent")


def _sentence_member(keras: Any, sentence: Any, label_count: int, refusing: bool) -> Any:
    """A linear classifier of vectors of length 1, whose numbers are small: the scaling makes up for that."""
    layers = keras.layers
    kept = layers.Dropout(0.5, name="sentence_dropout")(
        layers.Rescaling(SENTENCE_SCALE, name="sentence_scaling")(sentence)
    )
    head = layers.Dense(label_count, activation=None if refusing else "softmax", name="sentence_output")(kept)
    return _refusing_layer(keras)(name=REFUSING)(head) if refusing else head


def _refusing_layer(keras: Any) -> Any:
    class RefusingSoftmax(keras.layers.Layer):  # type: ignore[misc]
        """Logits (n, labels) -> probabilities, with a label more whose logit is 0, *none of these*, of whose
        probability each label gets its share.

        Among the labels alone, a text is of none where all logits are equal, which is so on a plane: what has any
        likeness to one label is of it. With a level to reach, it is so wherever none of them is above it.
        """

        def build(self, shape: tuple[int | None, ...]) -> None:
            alike = keras.initializers.Constant(1 / (shape[-1] or 1))
            self.share = self.add_weight(shape=(shape[-1],), initializer=alike, trainable=False, name="share")

        def call(self, logits: Any) -> Any:
            with_none = keras.ops.softmax(keras.ops.pad(logits, [[0, 0], [0, 1]]))
            return with_none[:, :-1] + with_none[:, -1:] * self.share

        def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return shape

    return RefusingSoftmax


def get_arrays(model: keras.Model) -> dict[str, npt.NDArray[Any]]:
    """Copies of the network's numbers by variable path; the state of random generators is not among them."""
    return {variable.path: np.array(variable.value.numpy()) for variable in numbers_of(model)}


def shift_odds(model: keras.Model, shift: float) -> None:
    """Add `shift` to the log odds of spam, by the bias of the deep member: the more, the less that member counts."""
    share = WIDE_DEEP_SHARES[0] if model.name == WIDE_DEEP else 1.0
    bias = next(variable for variable in model.weights if variable.path == "output/bias")
    bias.assign_add(np.array([-shift, shift], np.float32) / (2 * share))


def set_arrays(model: keras.Model, arrays: Arrays) -> None:
    """Put `arrays` into the network, all or none. Raises InvalidWeights when names or shapes are not the network's."""
    assign_all(numbers_of(model), arrays, f"the network {model.name}")


def assign_all(variables: list[Any], arrays: Arrays, owner: str) -> None:
    """Assign every array to the variable of its name, all or none.

    Raises InvalidWeights when a name is missing or too many, a shape differs, or a number is not finite.
    """
    check_arrays({variable.path: tuple(variable.shape) for variable in variables}, arrays, owner)
    for variable in variables:
        # TensorFlow's own, with nothing read back: Keras's takes half as long again.
        variable.value.assign(arrays[variable.path].astype(variable.dtype, copy=False), read_value=False)


def check_arrays(expected: Mapping[str, tuple[int, ...]], arrays: Arrays, owner: str) -> None:
    """Raises InvalidWeights when a name is missing or too many, a shape differs, or a number is not finite."""
    if missing := sorted(expected.keys() ^ arrays.keys()):
        raise InvalidWeights(f"The file is not of {owner}: {', '.join(missing[:3])} on one side only.")
    for path, shape in expected.items():
        if arrays[path].shape != shape:
            raise InvalidWeights(f"{path} has the shape {arrays[path].shape}; {owner} needs {shape}.")
        if not np.isfinite(arrays[path]).all():
            raise InvalidWeights(f"{path} holds numbers that are not finite.")


def numbers_of(model: keras.Model) -> list[Any]:
    """The network's variables but for the state of random generators."""
    return [variable for variable in model.weights if "seed_generator" not in variable.path]


def compile_predict(model: keras.Model) -> Predict:
    """A compiled forward pass: named arrays of n rows -> (n, classes) probabilities, every batch size warmed.

    It follows later changes of the network's numbers without tracing again.
    """
    import tensorflow

    specification = {
        name: tensorflow.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for name, tensor in model.input.items()
    }
    function = tensorflow.function(
        lambda inputs: model(inputs, training=False), input_signature=[specification], autograph=False
    )
    # The function itself keeps its lock for ever when it is called with arrays that do not fit (TensorFlow 2.21), so
    # that the next thread that calls it would never come back.
    forward = function.get_concrete_function()

    def predict(arrays: Arrays) -> npt.NDArray[np.float32]:
        rows = len(next(iter(arrays.values())))
        parts = []
        for start in range(0, rows, BATCH_SIZES[-1]):
            count = min(rows - start, BATCH_SIZES[-1])
            size = next(size for size in BATCH_SIZES if size >= count)
            parts.append(forward({name: _padded(a[start : start + count], size) for name, a in arrays.items()})[:count])
        return np.concatenate(parts)

    for size in BATCH_SIZES:
        predict({name: np.zeros((size, *tensor.shape[1:]), tensor.dtype) for name, tensor in model.input.items()})
    return predict


def _padded(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    return np.pad(array, [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1)) if len(array) < rows else array
