"""What a text hides by writing all its words in one odd way is read; what words of ordinary people have is not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.synthetic.editors import generate_editors
from sb_api.text.disguises import hidden_words, hidden_words_in, readings
from sb_api.text.normalization import normalize_text
from tests.text.test_normalization import TEXTS

PLAIN = ["cheap", "poker", "bonus", "every", "casino", "viagra", "money"]
WAYS: dict[str, Callable[[str], str]] = {
    "a dash inside": lambda word: f"{word[:2]}-{word[2:]}",
    "a dot inside": lambda word: f"{word[:1]}.{word[1:]}",
    "a star inside": lambda word: f"{word[:1]}*{word[1:]}",
    **{
        f"{sign} inside": lambda word, sign=sign: f"{word[:2]}{sign}{word[2:]}"  # type: ignore[misc]
        for sign in '!/,;"\\^=`'
    },
    "accents on vowels": lambda word: word.translate(str.maketrans("aeiou", "àéïöü")),
    "dots below": lambda word: "".join(letter + "\u0323" for letter in word),
    "acute accents": lambda word: "".join(letter + "\u0301" for letter in word),
    "each letter twice": lambda word: "".join(letter * 2 for letter in word),
    "vowels twice": lambda word: re.sub("([aeiou])", r"\1\1", word),
    "digits for vowels": lambda word: word.translate(str.maketrans("aeio", "4310")),
    "letters apart": "-".join,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_words_that_are_all_hidden_in_one_way_are_read(way: Callable[[str], str]) -> None:
    text = normalize_text(", ".join(map(way, PLAIN))).text
    assert hidden_words(text) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "I collect records of hip-hop, post-punk, trip-hop and drum-and-bass; write an e-mail to me",
        "Keeping coffee, books and little dolls; all well, will call soon",
        "mp3 and 2pac since 1999: 45 rpm, 33 rpm, 78 rpm",
        "see example.com, records.example.org and last.fm",
        "https://a-b.example/c-d-e https://f-g.example/h-i https://j-k.example/x_y_z",
        "Příliš žluťoučký kůň úpěl ďábelské ódy",
        "Tiếng Việt có nhiều dấu, đường phố đã tắt",
        "naïve café à côté de l'été",
        "Kaalkop koos maan sees meer weer oor teen",
        "tuuli puu maa kaatuu suureen metsään hyvää päivää kaikki",
        "rock/pop, jazz,blues and soul; either/or and/or both, and so on",
        "私は,音楽が好きです,猫も,本も,映画も",
        "音楽,映画,本 読書,旅行,料理 猫,犬,鳥",
        "если что,то пиши мне,я отвечу сразу",
        "https://a.example/b/c/d https://e.example/f/g/h https://i.example/j/k",
        "Wǒ xǐhuan yīnyuè hé diànyǐng",
        "Được ngờ đã cương chọn tăng tương tác Đà Nẵng",
        "no-one",
        "",
    ],
)
def test_what_people_write_hides_nothing(text: str) -> None:
    assert readings(text) == []


def test_made_up_innocents_hide_next_to_nothing() -> None:
    bios = [str(e.record["bio"]) for e in generate_editors(8000, seed=8) if not e.verdict and e.record["bio"]]
    assert len(bios) > 1200
    assert sum(bool(readings(normalize_text(bio).text)) for bio in bios) <= len(bios) / 200


HIDING = st.builds(
    lambda words, way: ", ".join(map(way, words)),
    st.lists(st.sampled_from(PLAIN), max_size=12),
    st.sampled_from([*WAYS.values(), str]),
)


@given(st.lists(TEXTS | HIDING.map(lambda text: normalize_text(text).text), max_size=5), st.booleans())
def test_together_is_as_alone(texts: list[str], many: bool) -> None:
    # Many are looked at together, and a long one is not looked at to its end.
    texts = [*texts, *(["all of this is plain " * 300, ""] if many else []), *texts]
    assert hidden_words_in(texts) == [hidden_words(text) for text in texts]
