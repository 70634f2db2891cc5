"""The sentence encoder: what the published numbers say, each text by itself, and nothing that is not whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sb_api.errors import InvalidTokenizer, SbApiError, Unavailable
from sb_api.models import encoder
from sb_api.models.encoder import MOST_TOKENS, REMEDY, WIDTH, load_encoder
from tests.support.encoders import WORDS, encoder_directory, make_arrays, small_encoder, write_encoder

TEXTS = ["where is my parcel", "a", "", "\u8bdd \U0001f600", "hello there dear friend, where have you been for so long"]
Array = npt.NDArray[Any]


def encode_plainly(ids: list[int]) -> Array:
    """The vector of a text by the formulas of the paper, in numbers that are not rounded."""
    read = make_arrays(1)

    def norm(x: Array, name: str) -> Array:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return scaled * read[f"{name}.LayerNorm.weight"] + read[f"{name}.LayerNorm.bias"]

    def linear(x: Array, name: str) -> Array:
        return x @ read[f"{name}.weight"].T + read[f"{name}.bias"]

    x = read["embeddings.word_embeddings.weight"][ids] + read["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + read["embeddings.token_type_embeddings.weight"][0], "embeddings")
    layer = "encoder.layer.0"
    query, key, value = (
        linear(x, f"{layer}.attention.self.{name}").reshape(len(ids), 12, 32).transpose(1, 0, 2)
        for name in ("query", "key", "value")
    )
    shares = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(32))
    seen = (shares / shares.sum(-1, keepdims=True)) @ value
    x = norm(
        x + linear(seen.transpose(1, 0, 2).reshape(len(ids), WIDTH), f"{layer}.attention.output.dense"),
        f"{layer}.attention.output",
    )
    wide = linear(x, f"{layer}.intermediate.dense")
    active = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
    x = norm(x + linear(active, f"{layer}.output.dense"), f"{layer}.output")
    return x.mean(0) / np.linalg.norm(x.mean(0))


def test_vectors_are_those_of_the_published_numbers() -> None:
    ids = [WORDS.index(word) for word in ("[CLS]", "w", "##h", "##o", "i", "##s", "[SEP]")]
    (vector,) = small_encoder().encode(["Who is"])
    assert vector @ encode_plainly(ids) > 0.999
    assert vector @ encode_plainly(ids[::-1]) < 0.99


def test_a_text_has_the_same_vector_alone_and_among_others() -> None:
    together = small_encoder().encode(TEXTS * 20)
    assert together.shape == (100, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    for place, text in enumerate(TEXTS):
        np.testing.assert_array_equal(small_encoder().encode([text])[0], together[place])
    assert small_encoder().encode([]).shape == (0, WIDTH)


def test_of_a_long_text_the_beginning_is_read() -> None:
    words = "a " * (MOST_TOKENS + 100)
    beginning, all_of_it = small_encoder().encode(["a " * (MOST_TOKENS - 2), words * 50])
    np.testing.assert_array_equal(beginning, all_of_it)


def test_where_the_tokenizer_finds_nothing_the_vector_is_nothing(tmp_path: Path) -> None:
    path = write_encoder(tmp_path) / "tokenizer.json"
    bare = {**json.loads(path.read_bytes()), "post_processor": None}  # nothing marks where a text begins and ends
    path.write_text(json.dumps(bare))
    nothing, something = load_encoder(str(tmp_path)).encode(["", "a"])
    assert not nothing.any()
    assert np.isclose(np.linalg.norm(something), 1)


def test_another_one_is_told_apart() -> None:
    assert load_encoder(str(encoder_directory())) == small_encoder()
    assert len(small_encoder().sha256) == 64


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (lambda path: (path / "tokenizer.json").unlink(), Unavailable, "no tokenizer.json"),
        (lambda path: cut(path / "model.safetensors"), InvalidTokenizer, "not as large as it says"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\xff" * 20), InvalidTokenizer, "cannot be used"),
        (lambda path: (path / "tokenizer.json").write_text("{}"), InvalidTokenizer, "cannot be used"),
        (lambda path: write_encoder(path, hidden_act="relu"), InvalidTokenizer, "BERT family"),
        (lambda path: write_encoder(path, hidden_size=768), InvalidTokenizer, "768 numbers"),
        (lambda path: write_encoder(path, num_hidden_layers=2), InvalidTokenizer, "cannot be used"),
    ],
)
def test_what_is_not_whole_or_of_another_kind_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], error: type[SbApiError], told: str
) -> None:
    spoil(write_encoder(tmp_path))
    with pytest.raises(error, match=told):
        load_encoder(str(tmp_path))


def test_without_one_it_is_said_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "PACKAGE", "no-such-package")
    with pytest.raises(Unavailable) as caught:
        load_encoder("")
    assert REMEDY in caught.value.detail
