"""Vocabularies: which words, e-mail domains or website hosts are known, and how common each is. Kept as JSON."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import log
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.errors import InvalidTokenizer
from sb_api.text.hosts import website_host
from sb_api.text.words import WordFinder

Count = Annotated[int, msgspec.Meta(ge=0)]


class VocabularyFile(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON on disk: `words` in order of rank, most common first, each with the number of documents that have it."""

    documents: Count
    words: list[tuple[str, Count]]


@dataclass(frozen=True)
class Vocabulary:
    """Words in order of rank (the first has rank 1), with the document counts that tf-idf needs."""

    documents: int
    words: tuple[tuple[str, int], ...]

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        return {word: rank for rank, (word, _) in enumerate(self.words, start=1)}

    @cached_property
    def host_ranks(self) -> Mapping[str, int]:
        """The ranks of hosts or domains in the form that `website_host` gives them: the most common one's, where
        several have one form."""
        ranks: dict[str, int] = {}
        for word, rank in self.ranks.items():
            ranks.setdefault(website_host(word) or word, rank)
        return ranks

    @cached_property
    def inverse_document_frequencies(self) -> Mapping[str, float]:
        """idf = ln(1 + documents / (1 + documents with the word)), as in the Keras tokenizer's tf-idf mode."""
        return {word: log(1 + self.documents / (1 + count)) for word, count in self.words}

    @cached_property
    def idf_by_rank(self) -> npt.NDArray[np.float64]:
        """The inverse document frequencies (size + 1,) of the words of each rank; there is no word of rank 0."""
        frequencies = np.zeros(len(self.words) + 1)
        for word, rank in self.ranks.items():
            frequencies[rank] = self.inverse_document_frequencies[word]
        return frequencies

    @cached_property
    def finder(self) -> WordFinder:
        return WordFinder(self.ranks)

    def to_json(self) -> bytes:
        document = msgspec.json.encode(VocabularyFile(self.documents, list(self.words)))
        return msgspec.json.format(document, indent=1) + b"\n"


class TextEncoder(Protocol):
    """What turns texts into vectors: `sha256` is of its numbers, `identity` of all that they depend on."""

    @property
    def sha256(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def encode(self, texts: Sequence[str], /) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Vocabularies:
    """The vocabularies of one classifier by name, with its sentence encoder if it has one, and a fingerprint that
    weights trained with them carry."""

    by_name: Mapping[str, Vocabulary]
    encoder: TextEncoder | None = None

    def __getitem__(self, name: str) -> Vocabulary:
        return self.by_name[name]

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, vocabulary in sorted(self.by_name.items()):
            digest.update(name.encode() + b"\0" + vocabulary.to_json())
        if self.encoder is not None:
            digest.update(self.encoder.identity.encode())
        return digest.hexdigest()[:16]


def fit_vocabulary(documents: Iterable[Iterable[str]], size: int, least_documents: int = 1) -> Vocabulary:
    """The `size` most common words of `documents` (each an iterable of its words) that so many of them have.

    Ranked by total count; equally common words keep the order in which they were first met, as in Keras.
    """
    totals: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    number = 0
    for number, document in enumerate(documents, start=1):  # noqa: B007
        counts = Counter(document)
        totals.update(counts)
        spread.update(counts.keys())
    common = (word for word, _ in totals.most_common() if spread[word] >= least_documents)
    return Vocabulary(number, tuple((word, spread[word]) for word in islice(common, size)))


def parse_vocabulary(document: bytes, size: int, name: str) -> Vocabulary:
    """A vocabulary from its JSON. Raises InvalidTokenizer when it is damaged, repeats a word or is too long."""
    try:
        file = msgspec.json.decode(document, type=VocabularyFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidTokenizer(f"The tokenizer {name} is not a vocabulary file: {error}.") from None
    if len(file.words) > size:
        raise InvalidTokenizer(f"The tokenizer {name} has {len(file.words)} words; the network has room for {size}.")
    if len({word for word, _ in file.words}) != len(file.words):
        raise InvalidTokenizer(f"The tokenizer {name} has a word twice.")
    return Vocabulary(file.documents, tuple(file.words))


def load_vocabularies(folders: Iterable[Path], sizes: Mapping[str, int]) -> Vocabularies:
    """Read `<name>.json` for every name of `sizes` from the first of `folders` that has them all.

    Raises InvalidTokenizer when none has, or when a file is damaged.
    """
    tried = []
    for folder in folders:
        paths = {name: folder / f"{name}.json" for name in sizes}
        if all(path.is_file() for path in paths.values()):
            return Vocabularies(
                {name: parse_vocabulary(path.read_bytes(), sizes[name], str(path)) for name, path in paths.items()}
            )
        tried.append(str(folder))
    raise InvalidTokenizer(
        f"No tokenizers {', '.join(f'{name}.json' for name in sizes)} in {' or '.join(tried)}; "
        "`sb-api bootstrap` makes them."
    )
