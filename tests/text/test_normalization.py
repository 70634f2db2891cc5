"""Whatever the way of writing: one normal form, said what was undone, never in more than linear time."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sb_api.text.characters.glance import MARKS_PER_LETTER
from sb_api.text.characters.look_alikes import may_have_look_alikes, undo_look_alikes
from sb_api.text.normalization import NOTHING, Undone, normalize_text, normalize_texts
from sb_api.text.spelling import join_spelt_out, separate_words, separate_words_in

PLAIN = "cheap pills and poker"


def in_mathematical(word: str, first: int) -> str:
    return "".join(chr(first + ord(letter) - ord("a")) if letter.isalpha() else letter for letter in word)


DISGUISES = {
    "entities": "".join(f"&#{ord(letter)};" for letter in PLAIN),
    "entities of entities": "".join(f"&amp;#x{ord(letter):x};" for letter in PLAIN),
    "full-width": "".join(chr(ord(letter) + 0xFEE0) if letter != " " else letter for letter in PLAIN),
    "bold": in_mathematical(PLAIN, 0x1D41A),
    "monospace": in_mathematical(PLAIN, 0x1D68A),
    "encircled": in_mathematical(PLAIN, 0x24D0),
    "zero-width space": PLAIN.replace("e", "e\u200b"),
    "joiner": PLAIN.replace("e", "\u200de"),
    "non-joiner": PLAIN.replace("l", "\u200cl"),
    "word joiner": PLAIN.replace("l", "\u2060l"),
    "soft hyphen": PLAIN.replace("k", "\xadk"),
    "byte-order mark": "\ufeff" + PLAIN.replace("k", "\ufeffk"),
    "direction marks": f"\u202d{PLAIN}\u202c \u200f".rstrip(" \u200f"),
    "backwards, shown from right to left": f"\u202e{PLAIN[::-1]}\u202c",
    "backwards to the end": f"cheap \u202e{PLAIN[6:][::-1]}",
    "tags": PLAIN + "".join(chr(0xE0000 + ord(letter)) for letter in "hidden"),
    "backspaces": PLAIN.replace("k", "\bk"),
    "strokes": "".join(letter + "\u0336" for letter in PLAIN),
    "piled marks": "".join(letter + "\u0334\u033d\u0353" * 5 for letter in PLAIN),
    "one Cyrillic letter a word": "сheap рills аnd роker",
    "all that look alike in Cyrillic": PLAIN.translate(str.maketrans("aecpio", "аесріо")),
    "Greek": "chεap pιlls αnd ροκer",
    "Armenian": "cheap pills aոd poker",
    "Cherokee and Lisu": "cheap pilꓲs aոd pokeꮁ",
    "small capitals": "ᴄʜᴇᴀᴘ ᴘɪʟʟꜱ ᴀɴᴅ ᴘᴏᴋᴇʀ",
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_disguise_comes_off(disguise: str) -> None:
    assert normalize_text(disguise).text == PLAIN
    if "\u202d" not in disguise and "\U000e0068" not in disguise and "\b" not in disguise:
        assert sum(normalize_text(disguise).undone) > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("&#99;a&#x73;ino &lt;b&gt;", Undone(entities=4)),
        ("ｃaѕh 𝐍𝐎𝐖", Undone(styled=4, look_alikes=1)),
        ("pi\u200blls pi\u00adlls", Undone(invisible=2)),
        ("\u202esllip paehc\u202c", Undone(invisible=1)),
        ("p\u0335ills", Undone(marks=1)),
        ("раypal", Undone(look_alikes=2)),
    ],
)
def test_what_was_undone_is_counted_by_kind(text: str, expected: Undone) -> None:
    assert normalize_text(text).undone == expected


@pytest.mark.parametrize(
    "text",
    [
        "I like R&B, rock & roll; and jazz!\nVisit http://example.com/?a=1&copy=2",
        "Ich höre gern Björk und Motörhead.",
        "Cześć, słucham jazzu. Příliš žluťoučký kůň.",
        "Merhaba, kız arkadaşım ve ben ışık",
        "Tiếng Việt có nhiều dấu, đường phố",
        "Привет, я люблю музыку и рок",
        "Слушаю Rammstein и DJВася",
        "мама рок она оса",
        "Μου αρέσει η μουσική",
        "मुझे हिन्दी संगीत पसंद है",
        "আমি গান ভালোবাসি",
        "எனக்கு இசை பிடிக்கும்",
        "ฉันชอบฟังเพลงที่นี่",
        "La col·lecció és al món, l'LP és meu",
        "أحب الموسيقى كَثِيرًا",
        "אני אוהב מוזיקה שָׁלוֹם וRock",
        "음악을 좋아해요 kpop을",
        "音楽が好きです。",
        "我喜欢音乐。",
        "ខ្ញុំចូលចិត្តតន្ត្រី",
        "მიყვარს მუსიკა",
        "Ես սիրում եմ երաժշտություն",
    ],
)
def test_what_people_write_in_their_languages_stays(text: str) -> None:
    assert normalize_text(text).text == text.replace("。", ".")
    assert normalize_text(text).undone == NOTHING


def test_emoji_and_persian_need_joiners_and_hide_nothing_with_them() -> None:
    assert normalize_text("می‌خواهم").undone == NOTHING
    assert normalize_text("👩‍👩‍👧 ❤️").undone == NOTHING


def test_quotes_dashes_and_apostrophes_are_those_of_ascii_and_symbols_stand_apart() -> None:
    assert normalize_text("“pills”—«poker» don’t ‘now’").text == '"pills"-"poker" don\'t  now '
    assert normalize_text("pills🎰poker•cash ★").text == "pills 🎰 poker • cash ★"
    assert normalize_text("cash，now！ ¿Qué? 音楽。はい、 شكرا، हाँ।").text == "cash,now! ?Qué? 音楽.はい, شكرا, हाँ."


def test_letters_of_lisu_are_capitals_among_capitals() -> None:
    assert normalize_text("Q\ua4f4\ua4f2\ua4da\ua4d7 \ua4e1\ua4f2\ua4e0\ua4d7, pil\ua4f2s").text == "QUICK LINK, pills"


def test_a_word_of_look_alikes_beside_latin_is_latin_and_beside_its_own_script_it_is_not() -> None:
    assert normalize_text("buy сосоа now").text == "buy cocoa now"
    assert normalize_text("он пьёт сосоа now").text == "он пьёт сосоа now"
    assert normalize_text("пpивет друзья").text == "привет друзья"


@pytest.mark.parametrize("mark", ["\u0e34", "\u064e", "\u05b8", "\u093f"])
def test_marks_of_other_scripts_do_not_pile_up(mark: str) -> None:
    letter = {"\u0e34": "\u0e01", "\u064e": "\u0628", "\u05b8": "\u05d0", "\u093f": "\u0915"}[mark]
    assert normalize_text(letter + mark * 50).text == letter + mark * MARKS_PER_LETTER
    assert normalize_text("a" + mark * 3 + "b").text == "ab"


def test_an_entity_that_only_appears_at_the_end_is_none() -> None:
    assert normalize_text("x &аmp; y").text == "x  amp; y"
    deep = "&" + "amp;" * 50 + "lt;"
    once = normalize_text(deep).text
    assert normalize_text(once).text == once


# Entities and their parts; invisible characters and marks; letters of several scripts, some alike; symbols.
ENTITIES = ["&amp;", "&#38;", "&shy", "lt", *"&#;"]
HIDING = [*"\u200b\xad\u0301\u0323\u0334\u0345\u093f\u0e34\u0900\u3099\u1160\uff9e"]
LETTERS = [*"сажρωazKéİßﷺﬃＡ𝐚🅰ɢ가कก中かϾ①⒈\ud800"]
PIECES = st.sampled_from([*ENTITIES, *HIDING, *LETTERS, *"“’🎰 \n-"])
TEXTS = st.lists(PIECES | st.text(max_size=3) | st.characters(), max_size=25).map("".join)


MARKS = st.sampled_from([*"“’ʼ＇…—。 '-aéЖ中\ud800", "\U0001f676", "&amp;", "it’s", "рay", "Հա"])


@given(st.lists(st.lists(MARKS, max_size=12).map("".join), max_size=6), st.integers(3, 30))
def test_marks_of_many_texts_are_written_as_in_each_alone(texts: list[str], longest: int) -> None:
    many = [*texts, "…" * 1_000, "no’ne" * 300]
    assert normalize_texts(many, longest) == [normalize_text(text, longest) for text in many]


LOOK_ALIKES = st.lists(st.sampled_from([*"аеhсЖωaKéᴀ中 -ո𐐀", "привет", "рay", "ρal", "ა"]), max_size=12).map("".join)


@given(st.lists(LOOK_ALIKES, min_size=1, max_size=5))
def test_texts_that_have_no_look_alikes_are_told_at_a_glance(texts: list[str]) -> None:
    for text, found in zip(texts, may_have_look_alikes(texts), strict=True):
        assert found or undo_look_alikes(text) == (text, 0)
    assert may_have_look_alikes(["привет, мир", "hello Ελλάδα", "рay", "о", "ᴀ", "Հայաստան"]) == [
        *(False, False, True, True, True, False)
    ]


@given(LOOK_ALIKES)
def test_a_rare_character_elsewhere_changes_no_look_alikes(text: str) -> None:
    """Which takes the way of texts that may have letters beyond the first 65,536 characters."""
    meant, changed = undo_look_alikes(text)
    assert undo_look_alikes(f"{text} \U0001f600") == (f"{meant} \U0001f600", changed)


MARKUP = [
    "<b>",
    "</b>",
    "<i ",
    "<wbr>",
    "<br>",
    "[b]",
    "[/b]",
    "''",
    "**",
    "\r",
    "\r\n",
    "lt;",
    "gt;",
    "#60;",
    "ca",
    "sino",
]
MARKED_UP = st.lists(PIECES | st.sampled_from(MARKUP), max_size=12).map("".join)


@given(TEXTS | MARKED_UP)
@example("&a\u0335mp;")
@example("ᄀ\u0334ᅡ")
@example("ca<i><b></b></i>sino")
@example("ca&lt;wbr&gt;sino")
@example("ca＜b＞sino")
@example("ca<ь>sino")
@example("\r\r\n")
@example("\U00020000\u093f")
@example("％D0％9A &#37;C3&#37;89")
def test_normalizing_twice_is_normalizing_once(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once.text).text == once.text


@given(TEXTS)
@example("é&shyb a&shyé")
def test_composed_or_decomposed_is_the_same(text: str) -> None:
    normal = normalize_text(text).text
    assert normalize_text(unicodedata.normalize("NFC", text)).text == normal
    assert normalize_text(unicodedata.normalize("NFD", text)).text == normal


@given(TEXTS, st.integers(1, 30))
def test_it_is_no_longer_than_may_be(text: str, longest: int) -> None:
    normal = normalize_text(text, longest)
    assert len(normal.text) <= longest or (normal.undone == NOTHING and normal.text == text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_without_entities_and_controls_stays_as_it_is(text: str) -> None:
    kept = "".join(c for c in text if c.isprintable() or c.isspace()).replace("&", "+")
    assert normalize_text(kept).text == kept


def test_no_invisible_character_of_unicode_is_left() -> None:
    formats = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Cf"]
    assert len(formats) > 100
    assert [c for c in formats if normalize_text(f"pi{c}lls").text != "pills"] == ["\u202e"]
    assert normalize_text("pi\u202esll").text == "pills"


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("best c-a-s-i-n-o now", ["casino"]),
        ("c a s i n o   b o n u s", ["casino", "bonus"]),
        ("c.a.s.i.n.o", ["casino"]),
        ("c_a_s_i_n_o p*i*l*l*s", ["casino", "pills"]),
        ("c - a - s - h", ["cash"]),
        ("c  a  s  h", ["cash"]),
        ("c • a • s • h", ["cash"]),
        ("c-4-s-1-n-0", ["c4s1n0"]),
        ("赌 场 网 站", ["赌场网站"]),
        ("I am a man, a plan", []),
        ("1-2-3-4-5, 2024-05-01, 1 2 3 4", []),
        ("R.E.M. and N.W.A.", []),
        ("A-ha, e-mail, hip-hop, x-y-z", []),
        ("c-a.s-h", []),
    ],
)
def test_letters_spelt_out_are_joined(text: str, joined: list[str]) -> None:
    assert join_spelt_out(text) == joined


@given(st.text(st.sampled_from("ab1 -._\n"), max_size=40))
def test_the_glance_at_ascii_misses_nothing(text: str) -> None:
    """The same words beside a letter that takes the way without a glance."""
    assert join_spelt_out(text) == join_spelt_out(f"{text}\n;\n\xe4\xe4")


def test_scripts_without_blanks_have_pairs_for_words() -> None:
    assert separate_words("音楽が好き").split() == ["音楽", "楽が", "が好", "好き"]
    assert separate_words("官网http://example.com注册").split() == ["官网", "http://example.com", "注册"]
    assert separate_words("ที่นี่").split() == ["ที่นี่"]  # two characters with their vowels and tones: one pair
    assert separate_words("音 楽").split() == ["音", "楽"]
    for text in ("plain ASCII", "Björk", "Привет", "음악을 좋아해요", "हिन्दी में"):
        assert separate_words(text) == text


UNSPACED = st.text(st.sampled_from("ab 。音楽がーกิ้\n\ud800\U00020001\U0003ffff\U00040000가"), max_size=12)


@given(st.lists(UNSPACED, max_size=6))
def test_words_of_many_texts_are_separated_as_in_each_alone(texts: list[str]) -> None:
    long = ["音" * 1_000, *texts, "x" * 1_000]
    assert separate_words_in(long) == [separate_words(text) for text in long]


@given(TEXTS)
def test_the_words_of_scripts_with_blanks_are_not_cut(text: str) -> None:
    separated = separate_words(text)
    assert len(separated) <= 4 * len(text) + 2
    assert set(separated) - {" "} == set(text) - {" "}
