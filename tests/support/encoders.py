"""A sentence encoder of one small layer with numbers drawn at random, in the layout of sentence-transformers."""

from __future__ import annotations

import atexit
import json
import shutil
import string
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.models.encoder import Encoder, load_encoder

WIDTH, INNER, PLACES = 384, 64, 160
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *string.ascii_lowercase,
    *(f"##{letter}" for letter in string.ascii_lowercase),
]
CONFIG = {
    "model_type": "bert",
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 12,
    "max_position_embeddings": PLACES,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def make_arrays(seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """The numbers of an encoder under the names that published ones have."""
    random = np.random.default_rng(seed)
    layer = "encoder.layer.0"
    linear = {f"{layer}.attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")}
    linear |= {f"{layer}.attention.output.dense": (WIDTH, WIDTH)}
    linear |= {f"{layer}.intermediate.dense": (INNER, WIDTH), f"{layer}.output.dense": (WIDTH, INNER)}
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **{f"{name}.weight": shape for name, shape in linear.items()},
        **{f"{name}.bias": shape[:1] for name, shape in linear.items()},
    }
    arrays = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        arrays[f"{name}.LayerNorm.weight"] = random.normal(1, 0.1, WIDTH).astype(np.float32)
        arrays[f"{name}.LayerNorm.bias"] = random.normal(0, 0.1, WIDTH).astype(np.float32)
    return arrays


def write_encoder(directory: Path, seed: int = 1, **config: Any) -> Path:
    """Write an encoder, of the same numbers for the same seed."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    (directory / "tokenizer.json").write_text(tokenizer.to_str())
    (directory / "config.json").write_text(json.dumps({**CONFIG, **config}))
    header, content = {}, b""
    for name, array in make_arrays(seed).items():
        start = len(content)
        content += array.tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, len(content)]}
    told = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(len(told).to_bytes(8, "little") + told + content)
    return directory


@cache
def encoder_directory() -> Path:
    """A directory with an encoder, for all tests of a process."""
    directory = Path(tempfile.mkdtemp(prefix="encoder-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return write_encoder(directory)


@cache
def small_encoder() -> Encoder:
    return load_encoder(str(encoder_directory()))
