"""The way over from the original SB_API: its pickled Keras tokenizers and its Keras 2 weights, read as data alone.

A pickle is a program that may call whatever it names, and a Keras 2 file describes a network with code in it. Neither
is run here: the pickle is read step by step with nothing imported or called, and of the weights file only arrays are
taken, by a process of its own, for the network that `networks.py` builds.
"""

from __future__ import annotations

import io
import pickletools
import re
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Annotated, Any

import h5py
import msgspec
import numpy as np
import numpy.typing as npt

from sb_api import preprocessing
from sb_api.errors import InvalidTokenizer, InvalidWeights
from sb_api.text.tokenizers import Count, Vocabularies, Vocabulary, parse_vocabulary

MAX_FILE_BYTES = 256 * 2**20
MAX_PICKLE_BYTES = 64 * 2**20
KERAS_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'

# How many words the network has room for, and the filters with which Keras finds the words that preprocessing does:
# those of a bio by its default, a domain or a host as one word.
_FIELDS = {
    "bio": (preprocessing.BIO_WORDS, KERAS_FILTERS),
    "email": (preprocessing.EMAIL_DOMAINS, ""),
    "website": (preprocessing.WEBSITE_HOSTS, ""),
}


class _Tokenizer(msgspec.Struct):
    """The attributes of a Keras Tokenizer that matter; those that later versions added have defaults."""

    filters: str
    lower: bool
    split: str
    word_index: dict[str, int]  # ranks from 1 on
    word_docs: dict[str, Count]  # documents with the word
    document_count: Annotated[int, msgspec.Meta(ge=1)]
    num_words: Count | None = None
    index_docs: dict[int, int] | None = None
    char_level: bool = False
    oov_token: str | None = None
    analyzer: None = None


# Where Keras, tf.keras and tf_keras have kept the class over the years.
_TOKENIZER = re.compile(
    r"(keras_preprocessing|(keras|tf_keras|tensorflow|tensorflow_core)(\.\w+)*\.preprocessing)\.text\.Tokenizer"
)
_NAMES = {
    "collections.OrderedDict": "dictionary",
    "collections.defaultdict": "counts",
    **dict.fromkeys(("builtins.int", "__builtin__.int", "__builtin__.long"), "int"),  # the last two in protocol 2
}
_EMPTY_OBJECTS = (["Tokenizer", ()], ["dictionary", ()], ["counts", ("int",)])
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
# A Tokenizer fills its dictionaries a thousand entries at a time, and 64 MiB hold at most 1.6 million words.
_MAX_STACK, _MAX_MEMO = 10_000, 2_000_000

# The variables of `networks.build_lodbrok` that the original has too. Keras 2 and 3 both keep the gates of an LSTM in
# the order input, forget, cell, output, with one bias.
_SHAPES: dict[str, tuple[int, ...]] = {
    **{f"{field}_embedding/embeddings": (1025, 256) for field in ("email", "website")},
    **{f"{field}_lstm/lstm_cell/kernel": (256, 128) for field in ("email", "website")},
    **{f"{field}_lstm/lstm_cell/recurrent_kernel": (32, 128) for field in ("email", "website")},
    **{f"{field}_lstm/lstm_cell/bias": (128,) for field in ("email", "website")},
    "bio_lstm/lstm_cell/kernel": (512, 256),
    "bio_lstm/lstm_cell/recurrent_kernel": (64, 256),
    "bio_lstm/lstm_cell/bias": (256,),
    "dense_1/kernel": (137, 64),
    "dense_1/bias": (64,),
    "dense_2/kernel": (64, 64),
    "dense_2/bias": (64,),
    "output/kernel": (64, 2),
    "output/bias": (2,),
}
_MERGED = (b"website_lstm", b"email_lstm", b"bio_lstm", b"main_input")
_MERGE = re.compile(rb"\[" + rb", ".join([rb'\["(\w+)", 0, 0, \{\}\]'] * 4) + rb"\]")
_BEFORE_2_3 = re.compile(rb"\0(?:1\.\d|2\.[012])\.\d{1,2}\0")
_TIME_LIMIT = 60.0  # seconds


def import_tokenizers(bio: bytes, email: bytes, website: bytes) -> Vocabularies:
    """Lodbrok's vocabularies from the bytes of the original's three files, each a pickled Keras `Tokenizer`.

    Words keep their ranks, so weights trained with them still fit, and bios give the tf-idf of `texts_to_matrix`.
    Keras takes white space other than blank, tab and newline for a part of a word; such a word keeps its rank, but
    `words.split_words` never finds it.

    Raises InvalidTokenizer, naming the field, when a file is damaged, larger than 64 MiB, names anything but a
    Tokenizer and its dictionaries, or finds other words than preprocessing: by `char_level`, `oov_token`, an
    `analyzer`, other `filters`, `split` or `lower`, or `num_words` for more words than the network has room for.
    """
    vocabularies = {}
    for field, content in (("bio", bio), ("email", email), ("website", website)):
        try:
            vocabularies[field] = _make_vocabulary(field, _read_attributes(content))
        except InvalidTokenizer as error:
            raise InvalidTokenizer(f"The {field} tokenizer cannot be imported: {error.detail}") from None
        except Exception as error:  # a malformed pickle can fail in every step
            kind = type(error).__name__
            raise InvalidTokenizer(f"The {field} tokenizer is no Keras Tokenizer: {kind}, {error!s:.200}.") from error
    return Vocabularies(vocabularies)


def import_weights(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Lodbrok's arrays by variable path, as `networks.set_arrays` takes them, from a `.h5` file of Keras 2.

    The file is one of `model.save` or `model.save_weights`. E-mail and website layers have the same shapes and go by
    name alone. The scaling becomes the identity, as the original had none; the optimizer's state is not taken. The
    original trained its website embedding on e-mail tokens: the rows of hosts mean little until trained again.

    Raises InvalidWeights when the file is damaged, too large, of another network (the earliest, with 1024 tokens,
    included), of Keras before 2.3, whose LSTM had other gates, or holds anything but plain finite numbers.
    """
    if len(content) > MAX_FILE_BYTES:
        raise InvalidWeights(f"The file has {len(content)} bytes; at most {MAX_FILE_BYTES} are read.")
    command, folder = [sys.executable, "-m", "sb_api.bootstrap.legacy"], Path(__file__).parents[2]
    try:
        # In a damaged file HDF5 can loop for ever, where no signal stops it, or crash.
        child = subprocess.run(
            command, input=content, capture_output=True, cwd=folder, timeout=_TIME_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise InvalidWeights(f"The file is damaged: reading it took longer than {_TIME_LIMIT} seconds.") from None
    if child.returncode:
        raise InvalidWeights(
            child.stderr.decode(errors="replace").strip() or "The file is damaged: HDF5 crashed on it."
        )
    parts = np.split(
        np.frombuffer(child.stdout, np.float32), np.cumsum([prod(shape) for shape in _SHAPES.values()])[:-1]
    )
    arrays = {path: part.reshape(shape) for (path, shape), part in zip(_SHAPES.items(), parts, strict=True)}
    scaling = {"log": np.zeros(9), "mean": np.zeros(9), "deviation": np.ones(9)}
    return arrays | {f"main_scaling/{name}": values.astype(np.float32) for name, values in scaling.items()}


def read_weights(content: bytes) -> bytes:
    """What `import_weights` takes from the file, one array after the other, read in this process."""
    _check_network(content)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            datasets = _find_datasets(file)
            return b"".join(_read_array(path, datasets[path]).tobytes() for path in _SHAPES)
    except InvalidWeights:
        raise
    except Exception as error:  # h5py raises whatever a damaged file leads it to
        raise InvalidWeights(f"The file is not one of Keras 2, or is damaged: {error!s:.200}.") from error


def _read_attributes(content: bytes) -> Any:
    """What a pickled Tokenizer holds. Names stay texts, objects become dictionaries, and unknown steps end it."""
    if len(content) > MAX_PICKLE_BYTES:
        raise InvalidTokenizer(f"the file has {len(content)} bytes; at most {MAX_PICKLE_BYTES} are read.")
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in pickletools.genops(content):
        match opcode.name:
            case "BININT" | "BININT1" | "BININT2" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "MEMOIZE" | "BINPUT" | "LONG_BINPUT":
                memo[len(memo) if argument is None else argument] = stack[-1]
            case "MARK":
                marks.append(len(stack))
            case "SETITEM" | "SETITEMS":
                start = marks.pop() if opcode.name == "SETITEMS" else len(stack) - 2
                items = stack[start:]
                del stack[start:]
                # Keys are texts, numbers and the like: with tuples they could be made to take for ever to hash.
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                stack.append(_CONSTANTS[opcode.name])
            case "GLOBAL":
                stack.append(_check_name(str(argument).replace(" ", ".", 1)))
            case "STACK_GLOBAL" if type(stack[-2]) is type(stack[-1]) is str:
                stack[-2:] = [_check_name(".".join(stack[-2:]))]
            case "TUPLE1" if type(stack[-1]) is str:
                stack[-1:] = [(stack[-1],)]
            case "EMPTY_DICT":
                stack.append({})
            case "REDUCE" | "NEWOBJ" if stack[-2:] in _EMPTY_OBJECTS:
                stack[-2:] = [{}]
            case "BUILD" if type(stack[-1]) is dict:
                stack[-2:] = [stack[-1]]
            case "PROTO" | "FRAME" | "STOP":
                pass
            case name:
                raise InvalidTokenizer(f"it takes a step that no pickle of a Tokenizer does, {name}; it was not taken.")
        if max(len(stack), len(marks)) > _MAX_STACK or len(memo) > _MAX_MEMO:
            raise InvalidTokenizer("it holds more than any Tokenizer does.")
    return stack[-1]


def _check_name(name: str) -> str:
    known = "Tokenizer" if _TOKENIZER.fullmatch(name) else _NAMES.get(name)
    if known is None:
        raise InvalidTokenizer(f"it asks for {name[:100]!r}, which no Tokenizer needs; nothing was imported or run.")
    return known


def _make_vocabulary(field: str, attributes: Any) -> Vocabulary:
    room, filters = _FIELDS[field]
    tokenizer = msgspec.convert(attributes, _Tokenizer)
    options = (tokenizer.lower, tokenizer.split, tokenizer.char_level, tokenizer.oov_token, set(tokenizer.filters))
    if options != (True, " ", False, None, set(filters)):
        given = f"{options[:4]!r:.60} and {tokenizer.filters!r:.60}"
        raise InvalidTokenizer(
            f"with lower, split, char_level, oov_token and filters of {given} it finds other words than preprocessing, "
            f"which needs (True, ' ', False, None) and {filters!r}."
        )
    end = tokenizer.num_words or len(tokenizer.word_index) + 1  # Keras uses the ranks below
    if end > room + 1:
        raise InvalidTokenizer(
            f"it uses {end - 1} words and the network has room for {room}: it is of another field or network, or "
            f"num_words={room + 1} is to be set."
        )
    words = {rank: word for word, rank in tokenizer.word_index.items() if rank < end}
    if sorted(words) != list(range(1, min(end, len(tokenizer.word_index) + 1))):
        raise InvalidTokenizer("its words are not ranked 1, 2, 3 and so on.")
    pairs = tuple((words[rank], tokenizer.word_docs.get(words[rank], 0)) for rank in sorted(words))
    for rank, (word, count) in enumerate(pairs, 1):
        # tf-idf uses the counts by rank; after `fit_on_sequences` they are not those by word.
        by_rank = count if tokenizer.index_docs is None else tokenizer.index_docs.get(rank, 0)
        if not count == by_rank <= tokenizer.document_count:
            raise InvalidTokenizer(f"its numbers of documents with {word[:40]!r} do not agree.")
    return parse_vocabulary(Vocabulary(tokenizer.document_count, pairs).to_json(), room, field)


def _check_network(content: bytes) -> None:
    """Refuse a network that does other things with arrays of the same names and shapes, as far as the file tells.

    Sought in the bytes, so that nothing in the file is decoded for it.
    """
    for sources in _MERGE.findall(content):
        if sources != _MERGED:
            raise InvalidWeights(f"The network merges {b', '.join(sources).decode()}, in another order than here.")
    # Without such a word the file has no description of the network, and the version has to do.
    told = b'"recurrent_activation"' in content
    if b'"hard_sigmoid"' in content or (not told and _BEFORE_2_3.search(content)):
        raise InvalidWeights("The gates of the LSTM are hard sigmoids, Keras's default before 2.3; here they are not.")


def _find_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The network's datasets by the path of our variable. None is read, and no link out of the file is followed."""
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda path, item: found.update({path: item}) if isinstance(item, h5py.Dataset) else None)
    root = "model_weights/"  # in the file of a whole network; weights alone lie at the top
    if any(path.startswith(root) for path in found):
        found = {path.removeprefix(root): item for path, item in found.items() if path.startswith(root)}
    names = {_layer_and_name(path): path for path in _SHAPES}
    named = {_layer_and_name(path): item for path, item in found.items()}
    different = sorted("/".join(name) for name in names.keys() ^ named.keys())
    if different or len(named) != len(found):
        raise InvalidWeights(f"The file is not of the original network: {', '.join(different[:3])} on one side only.")
    return {names[name]: item for name, item in named.items()}


def _layer_and_name(path: str) -> tuple[str, str]:
    # What lies between them, `lstm_cell_3`, changes with the version of Keras and the number of networks built.
    return path.partition("/")[0], path.rpartition("/")[2].removesuffix(":0")


def _read_array(path: str, item: h5py.Dataset) -> npt.NDArray[np.float32]:
    if item.shape != (shape := _SHAPES[path]):
        earliest = "; the earliest network had no row for the token 1024, train it again" if 1024 in item.shape else ""
        raise InvalidWeights(f"{path} has the shape {item.shape}; the network needs {shape}{earliest}.")
    plain = item.dtype.kind == "f" and not item.is_virtual and item.external is None and item.chunks is None
    # A shape may promise more than the file holds; what is read must be there.
    if not plain or item.id.get_storage_size() != item.nbytes:
        raise InvalidWeights(f"{path} is not a plain array of numbers.")
    array = np.asarray(item[()], np.float32)
    if not np.isfinite(array).all():
        raise InvalidWeights(f"{path} holds numbers that are not finite.")
    return array


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(read_weights(sys.stdin.buffer.read()))
    except InvalidWeights as invalid:
        sys.exit(invalid.detail)
