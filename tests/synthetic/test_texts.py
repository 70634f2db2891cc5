"""What made-up accounts write: many languages and scripts on both sides, and no word that tells by its absence."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from random import Random
from statistics import median

import pytest

from sb_api.synthetic import phrases
from sb_api.synthetic.bios import UNKNOWN_SHARES, Slots, alphabets, put_in_unknown_words, write
from sb_api.synthetic.editors import SyntheticEditor, generate_editors
from sb_api.synthetic.evasions import WAYS, disguise
from sb_api.synthetic.parts import build_pools, common_words
from sb_api.text.tokenizers import fit_vocabulary
from sb_api.text.words import split_words

COUNT = 40_000
Sides = tuple[list[list[str]], list[list[str]]]  # the words of each bio of editors, and of spam
Spread = tuple[Counter[str], Counter[str]]
LANGUAGES = phrases.languages()


@pytest.fixture(scope="module")
def editors() -> list[SyntheticEditor]:
    return list(generate_editors(COUNT, seed=12))


@pytest.fixture(scope="module")
def bios(editors: list[SyntheticEditor]) -> Sides:
    """The words of the bios of either side."""
    sides: Sides = ([], [])
    for editor in editors:
        if editor.record["bio"]:
            sides[editor.verdict].append(split_words(str(editor.record["bio"])))
    return sides


@pytest.fixture(scope="module")
def spread(bios: Sides) -> Spread:
    """In how many bios of either side a word stands."""
    innocent, spam = (Counter(word for words in side for word in set(words)) for side in bios)
    return innocent, spam


def scripts(text: str) -> set[str]:
    return {unicodedata.name(letter, "?").split()[0].partition("-")[0] for letter in set(text) if letter.isalpha()}


def test_at_least_thirty_languages_and_twelve_scripts_are_on_both_sides(editors: list[SyntheticEditor]) -> None:
    assert len(LANGUAGES) >= 30
    counts: Spread = (Counter(), Counter())
    for editor in editors:
        counts[editor.verdict].update(scripts(str(editor.record["bio"] or "")))
    common = [script for script in counts[0] if min(counts[0][script], counts[1][script]) >= 20]
    assert len(common) >= 12, counts


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_ordinary_talk_editors_and_spam_of_several_kinds(code: str) -> None:
    language = LANGUAGES[code]
    assert len(language.everyday) >= 16
    assert len(language.editors["listener"]) >= 6
    assert len(language.editors["trade"]) >= 5, "who has a spammer's trade and plants nothing"
    assert len(language.polite) >= 5
    assert len(language.spam) >= 15
    assert min(map(len, language.spam.values())) >= 2
    assert set(language.spam) <= set(language.keywords)
    assert min(map(len, language.keywords.values())) >= 5
    assert set(language.spam) <= set(phrases.SPAM_HOST_WORDS)
    kinds = (*language.editors.values(), *language.spam.values(), language.everyday, language.polite, language.calls)
    slots = Slots(Random(1), build_pools(), code, ("keyword",), link="link")
    written = write(Random(1), [sentence for kind in kinds for sentence in kind], slots, " ")
    assert not set("[]{}") & set(written)


def ratio(word: str, bios: Sides, spread: Spread) -> float:
    """How much more common the word is in the bios of spam than in those of editors."""
    return (spread[1][word] + 1) / len(bios[1]) / ((spread[0][word] + 1) / len(bios[0]))


@pytest.mark.parametrize("code", [code for code, known in LANGUAGES.items() if known.words and not known.unspaced])
def test_function_words_are_as_common_on_both_sides(code: str, bios: Sides, spread: Spread) -> None:
    """The thirty most common words of the language."""
    found = [word for word in common_words(code)[0][:30] if spread[0][word] + spread[1][word] >= 60]
    if len(found) < 4:
        assert code in ("bn", "he", "ko", "ta"), "few accounts, or words joined with what belongs to them"
        return
    ratios = [ratio(word, bios, spread) for word in found]
    # Some operators have many accounts, so a language is more common on one side or the other, by chance.
    usual = median(ratios)
    assert 1 / 8 < usual < 8
    one_sided = [
        (word, spread[0][word], spread[1][word])
        for word, found_ratio in zip(found, ratios, strict=True)
        if not 1 / 6 < found_ratio / usual < 6
    ]
    assert len(one_sided) <= 2, one_sided


@pytest.mark.parametrize("code", [code for code, known in LANGUAGES.items() if known.words and known.unspaced])
def test_so_are_those_of_languages_without_blanks(code: str, bios: Sides) -> None:
    words = [word for word in common_words(code)[0][:60] if len(word) > 1]
    runs = [[" ".join(bio) for bio in side] for side in bios]
    counts = [[sum(word in run for run in side) for word in words] for side in runs]
    often = [(innocent, spam) for innocent, spam in zip(*counts, strict=True) if innocent + spam >= 20]
    assert len(often) >= 2
    shares = [(spam + 1) / len(bios[1]) / ((innocent + 1) / len(bios[0])) for innocent, spam in often]
    assert sum(not 1 / 6 < share < 6 for share in shares) <= 2, often


def test_few_words_of_the_vocabulary_are_of_one_side_alone(bios: Sides, spread: Spread) -> None:
    """137 of 511 words were in spam alone, \"no\" and \"without\" among them."""
    vocabulary = [word for word, _ in fit_vocabulary([*bios[0], *bios[1]], 511).words]
    one_sided = [word for word in vocabulary if 0 in (spread[0][word], spread[1][word])]
    assert len(one_sided) <= 15, " ".join(one_sided)
    ordinary = set(common_words("en")[0][:300]).intersection(vocabulary)
    assert len(ordinary) > 60
    lopsided = [word for word in ordinary if not 1 / 6 < ratio(word, bios, spread) < 6]
    assert len(lopsided) <= 5, [(word, spread[0][word], spread[1][word]) for word in lopsided]


def test_a_small_share_of_either_side_is_written_to_deceive_or_to_please(editors: list[SyntheticEditor]) -> None:
    odd = re.compile(
        r"[\uff21-\uff5a\U0001d400-\U0001d7ff\u200b-\u200d\u2060\u00ad\u0335\u0336]|&#\d+;|\b\w-\w-\w-\w\b"
    )
    for verdict, least, most in ((0, 0.0005, 0.02), (1, 0.005, 0.05)):
        bios = [str(editor.record["bio"]) for editor in editors if editor.verdict == verdict and editor.record["bio"]]
        assert least < sum(bool(odd.search(bio)) for bio in bios) / len(bios) < most


@pytest.mark.parametrize("way", range(WAYS))
def test_every_way_of_disguise_changes_words_and_no_more_than_its_share(way: int) -> None:
    text = "Online casino bonus, pharmacy pills and replica watches"
    assert disguise(Random(1), text, way, 1.0) != text
    assert disguise(Random(1), text, way, 0.0) == text
    rest = "a to of 12 https://casino.example/bonus www.casino.example"
    assert disguise(Random(1), rest, way, 1.0) == rest


@pytest.mark.parametrize("code", LANGUAGES)
def test_texts_in_unknown_words_look_as_before_and_keep_no_word(code: str) -> None:
    scripts_of = {letter: script for script in alphabets(code) for letter in script}
    link = "https://www.example.org/casino-bonus?from=here"
    for place, sentence in enumerate(LANGUAGES[code].everyday):
        words_alone = re.sub(r"[^\w\s]", " ", sentence)
        text = f"{words_alone} {link} {words_alone[:5].upper()}"
        changed = put_in_unknown_words(Random(place), text, code)
        assert len(changed) == len(text)
        assert link in changed
        kinds = zip(text, changed, strict=True)
        assert all(old == new or scripts_of[old.lower()] == scripts_of[new.lower()] for old, new in kinds)
        assert [letter.isupper() for letter in changed] == [letter.isupper() for letter in text]
        before, after = (set(words.replace(link, "").lower().split()) for words in (text, changed))
        longer = {word for word in before if len(scripts_of.keys() & set(word)) > 3}
        assert len(longer & after) <= 1, (text, changed)


def test_some_bios_of_either_side_are_of_unknown_words_and_most_of_these_are_of_editors() -> None:
    """Else nothing would say how to judge a text of which no word is known."""
    assert UNKNOWN_SHARES[0] > 5 * UNKNOWN_SHARES[1] > 0
