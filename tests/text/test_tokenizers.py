"""Vocabularies: ranked as Keras ranks, kept as JSON, refused when damaged."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.errors import InvalidTokenizer
from sb_api.text.tokenizers import Vocabularies, Vocabulary, fit_vocabulary, load_vocabularies, parse_vocabulary
from tests.support.factories import BIO, EMAIL, VOCABULARIES, WEBSITE

SIZES = {"bio": 511, "email": 1022, "website": 1021}


def test_words_are_ranked_by_how_often_they_occur_in_all() -> None:
    """As in Keras: by total count, with the number of documents beside it for tf-idf."""
    fitted = fit_vocabulary([["b", "b", "b"], ["a"], ["a", "c"]], size=10)
    assert fitted == Vocabulary(3, (("b", 1), ("a", 2), ("c", 1)))
    assert fitted.ranks == {"b": 1, "a": 2, "c": 3}


def test_equally_common_words_keep_the_order_in_which_they_were_met() -> None:
    assert [word for word, _ in fit_vocabulary([["d", "c"], ["b", "a"]], size=10).words] == ["d", "c", "b", "a"]


def test_the_most_common_words_fill_the_vocabulary() -> None:
    documents = [[word] * number for number, word in enumerate("abcde", start=1)]
    assert [word for word, _ in fit_vocabulary(documents, size=3).words] == ["e", "d", "c"]


def test_words_of_too_few_documents_are_left_out() -> None:
    """However often one document repeats them."""
    documents = [["a"] * 100, ["b", "c"], ["c", "b"], ["b"]]
    assert fit_vocabulary(documents, size=10, least_documents=2).words == (("b", 3), ("c", 2))
    assert fit_vocabulary(documents, size=1, least_documents=3).words == (("b", 3),)


def test_documents_without_words_count_as_documents() -> None:
    assert fit_vocabulary([["a"], [], []], size=5) == Vocabulary(3, (("a", 1),))
    assert fit_vocabulary([], size=5) == Vocabulary(0, ())


def test_documents_may_come_from_generators() -> None:
    assert fit_vocabulary((iter(words.split()) for words in ("a b", "b")), size=5) == Vocabulary(
        2, (("b", 2), ("a", 1))
    )


def test_the_idf_is_that_of_the_keras_tokenizer() -> None:
    """idf = ln(1 + documents / (1 + documents with the word))."""
    assert BIO.inverse_document_frequencies == {
        "music": pytest.approx(log(1 + 9 / 9)),
        "the": pytest.approx(log(1 + 9 / 6)),
        "casino": pytest.approx(log(1 + 9 / 3)),
        "visit": pytest.approx(log(1 + 9 / 1)),
    }


def test_the_rarer_a_word_the_larger_its_idf() -> None:
    idf = list(BIO.inverse_document_frequencies.values())
    assert idf == sorted(idf)
    assert min(idf) > 0


words = st.lists(st.tuples(st.text(max_size=10), st.integers(0, 10**9)), max_size=20, unique_by=lambda word: word[0])


@given(st.integers(0, 10**9), words)
def test_a_vocabulary_comes_back_from_its_json(documents: int, listed: list[tuple[str, int]]) -> None:
    vocabulary = Vocabulary(documents, tuple(listed))
    assert parse_vocabulary(vocabulary.to_json(), 20, "this one") == vocabulary


def test_the_json_is_for_people_too() -> None:
    """One word a line, in order of rank; not a byte other for the same words, so that it can be compared."""
    assert json.loads(EMAIL.to_json()) == {"documents": 9, "words": [["gmail.com", 4], ["spam.example", 3]]}
    assert EMAIL.to_json().endswith(b"\n")
    assert EMAIL.to_json() == Vocabulary(9, tuple(EMAIL.words)).to_json()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff",
        b"\x80\x04}q\x00.",
        {"words": []},
        {"documents": 3},
        {"documents": -1, "words": []},
        {"documents": 1.5, "words": []},
        {"documents": "3", "words": []},
        {"documents": 3, "words": {}},
        {"documents": 3, "words": ["a"]},
        {"documents": 3, "words": [["a"]]},
        {"documents": 3, "words": [["a", 1, 2]]},
        {"documents": 3, "words": [[1, "a"]]},
        {"documents": 3, "words": [["a", -1]]},
        {"documents": 3, "words": [], "lower": False},
        b"[" * 100_000,
    ],
)
def test_a_damaged_vocabulary_is_refused_by_its_name(document: Any) -> None:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(InvalidTokenizer, match=r"this one"):
        parse_vocabulary(content, 10, "this one")


def test_a_vocabulary_with_more_words_than_the_network_has_room_for_is_refused() -> None:
    document = Vocabulary(1, tuple((str(number), 1) for number in range(11))).to_json()
    assert len(parse_vocabulary(document, 11, "this one").words) == 11
    with pytest.raises(InvalidTokenizer, match="11 words; the network has room for 10"):
        parse_vocabulary(document, 10, "this one")


def test_a_vocabulary_with_a_word_twice_is_refused() -> None:
    with pytest.raises(InvalidTokenizer, match="twice"):
        parse_vocabulary(Vocabulary(5, (("a", 3), ("b", 2), ("a", 1))).to_json(), 10, "this one")


def write(folder: Path, vocabularies: Vocabularies) -> Path:
    folder.mkdir()
    for name, vocabulary in vocabularies.by_name.items():
        (folder / f"{name}.json").write_bytes(vocabulary.to_json())
    return folder


def test_vocabularies_are_loaded_from_the_first_folder_that_has_them_all(tmp_path: Path) -> None:
    """Never some of one folder and some of another: they go together."""
    kept = write(tmp_path / "kept", VOCABULARIES)
    other = write(tmp_path / "other", Vocabularies(dict.fromkeys(SIZES, Vocabulary(1, (("x", 1),)))))
    assert load_vocabularies([kept, other], SIZES) == VOCABULARIES
    assert load_vocabularies([tmp_path / "missing", kept], SIZES) == VOCABULARIES
    (kept / "bio.json").unlink()
    assert load_vocabularies([kept, other], SIZES)["email"].words == (("x", 1),)


def test_without_vocabularies_the_error_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidTokenizer, match=r"bio\.json, email\.json, website\.json in .*sb-api bootstrap"
    ) as caught:
        load_vocabularies([tmp_path / "a", tmp_path / "b"], SIZES)
    assert str(tmp_path / "a") in caught.value.detail
    assert str(tmp_path / "b") in caught.value.detail


def test_a_damaged_file_is_an_error_not_a_reason_to_look_further(tmp_path: Path) -> None:
    """The weights were trained with it; others would judge nonsense."""
    kept, other = write(tmp_path / "kept", VOCABULARIES), write(tmp_path / "other", VOCABULARIES)
    (kept / "email.json").write_bytes(EMAIL.to_json()[:-10])
    with pytest.raises(InvalidTokenizer, match=r"kept/email\.json"):
        load_vocabularies([kept, other], SIZES)


def test_the_fingerprint_stands_for_every_word_rank_and_count() -> None:
    def fingerprint(bio: Vocabulary, **others: Vocabulary) -> str:
        return Vocabularies({"email": EMAIL, "website": WEBSITE, **others, "bio": bio}).fingerprint

    assert fingerprint(BIO) == VOCABULARIES.fingerprint
    assert len(VOCABULARIES.fingerprint) == 16
    changed = [
        Vocabulary(10, BIO.words),
        Vocabulary(9, BIO.words[:-1]),
        Vocabulary(9, (BIO.words[1], BIO.words[0], *BIO.words[2:])),
        Vocabulary(9, (("music", 7), *BIO.words[1:])),
        Vocabulary(9, (("musik", 8), *BIO.words[1:])),
    ]
    assert len({VOCABULARIES.fingerprint, *map(fingerprint, changed)}) == 1 + len(changed)


def test_the_fingerprint_knows_which_vocabulary_is_which() -> None:
    swapped = Vocabularies({"bio": BIO, "email": WEBSITE, "website": EMAIL})
    assert swapped.fingerprint != VOCABULARIES.fingerprint


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    """Weights carry it, so it must not change with the release or the machine."""
    assert VOCABULARIES.fingerprint == "0bc884d34c1f0994"


def test_vocabularies_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        BIO.documents = 5  # type: ignore[misc]
