"""Letters of one script that stand in words of another because they look alike."""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sb_api.text.hashing import lay_points

# Not in Unicode's table, which compares small letters with small ones and shapes exactly; people do use them.
_ALSO: Mapping[str, str] = dict(zip("кмтвнпηяшщωεκτΛΣΞЯИ", "kmtbhnnrwwwektAEERN", strict=True))
# Letters of these scripts are glued to Latin words by grammar (Hebrew "and", Arabic "the"), not to deceive.
_GLUED = frozenset({"HEBREW", "ARABIC", "ETHIOPIC", "MALAYALAM", "MYANMAR", "ORIYA", "NKO"})
_SMALL_CAPITALS = {
    letter: name[-1].lower()
    for letter in map(chr, [*range(0x250, 0x2B0), *range(0x1D00, 0x1D80), *range(0xA700, 0xA800)])
    if re.fullmatch("LATIN LETTER SMALL CAPITAL [A-Z]", name := unicodedata.name(letter, ""))
}
LATIN_LOOK_ALIKES = _SMALL_CAPITALS | {"ɑ": "a", "ɡ": "g"}
# A run of letters of scripts that put blanks between words, or could: no Thai, Lao, Myanmar, Khmer, kana, Han.
_LETTERS = re.compile(
    "[^\\W\\d_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u31ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]+"
)
# Scripts with a letter that looks like a Latin one, and small capitals: who has none of them is done at a glance.
_FOREIGN = re.compile(
    "[ɑɡ\u0250-\u02af\u0370-\u058f\u13a0-\u167f\u1d00-\u1d7f\u2c80-\u2d7f\ua4d0-\ua4ff\ua700-\ua7ff\uab30-\uabbf"
    "\U00010280-\U0001044f\U00010500-\U0001052f\U000118a0-\U000118ff\U00016f00-\U00016f9f]"
)
_LISU_I, _UKRAINIAN_I = "\ua4f2", "\u0406"
_ASCII_LETTER = re.compile("[A-Za-z]")
_BY_ITSELF = 255  # what no script has for its number
_RARE = re.compile("[\U00010000-\U0010ffff]")


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """The script of a letter by the first word of its name, such as LATIN; "" for a character without a name."""
    return unicodedata.name(letter, "").partition(" ")[0]


@cache
def look_alikes_of_latin() -> Mapping[str, str]:
    """The ASCII letter that each letter of another script looks like, by Unicode's table of confusables (UTS 39).

    The table is the data file of confusable-homoglyphs, whose code is left alone: it holds ten times as much.
    """
    package = find_spec("confusable_homoglyphs")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("confusable-homoglyphs is not installed")
    listed = json.loads((Path(package.origin).parent / "confusables.json").read_text("utf-8"))
    found = {}
    for letter in string.ascii_letters:
        for entry in listed.get(letter, ()):
            other = entry["c"].strip("\u200e")
            if len(other) == 1 and not other.isascii() and _is_composed_letter(other):
                # The table takes I and l for one; a capital stands for I, but for the palochka, which stands for l.
                capital = letter == "l" and other != "\u04c0" and other.lower() != other
                found[other] = "I" if capital else letter
    return {letter: latin for letter, latin in found.items() if script_of(letter) not in {"LATIN", *_GLUED}}


def _is_composed_letter(character: str) -> bool:
    return unicodedata.category(character).startswith("L") and unicodedata.is_normalized("NFKC", character)


@cache
def _from_latin(script: str) -> Mapping[str, str]:
    """The letters of `script`, of the same case, that ASCII letters and look-alikes of a third script stand for."""
    own = {
        latin: letter for letter, latin in reversed([*look_alikes_of_latin().items()]) if script_of(letter) == script
    }
    return own | {letter: own[latin] for letter, latin in look_alikes_of_latin().items() if latin in own}


def undo_look_alikes(text: str) -> tuple[str, int]:
    """`text` (of n characters, and n it stays) with every letter of a mixed word in the word's own script, and how
    many letters that changed.

    A word of several scripts becomes Latin where all its other letters look like Latin ones, or of another of its
    scripts in the same way; where neither goes (a Russian ending on a Latin name), it stays. A word wholly of another
    script stays, unless all of it looks Latin, there are Latin letters beside it, and no word of its script can be
    told from Latin.
    """
    if not _FOREIGN.search(text):
        return text, 0
    letters = _LETTERS if _RARE.search(text) else _usual_letters()
    scripts = {word: _told_script(word) for word in set(letters.findall(text)) if not word.isascii()}
    told = set(scripts.values()) - {""}
    # Words of a script that can be told stay. Mixed words first: what becomes of them tells about the others.
    meant = {word: _unmix(word, bool(told)) for word, script in scripts.items() if not script}
    told |= set(map(_told_script, meant.values())) - {""}
    if _ASCII_LETTER.search(text) or any("LATIN" in _scripts(word) for word in meant.values()):
        meant = {word: own if _scripts(own) & told else _in_latin_wholly(own) for word, own in meant.items()}
    meant = {word: own for word, own in meant.items() if own != word}
    if not meant:
        return text, 0
    written = letters.sub(lambda match: meant.get(match[0], match[0]), text)
    return written, sum(map(str.__ne__, text, written))


def may_have_look_alikes(texts: Sequence[str]) -> list[bool]:
    """Whether each of n texts has what `undo_look_alikes` may change: a word of several scripts, one whose letters all
    look like Latin ones, or a letter that is looked at by itself. All of them are looked through at once."""
    points = lay_points(texts)
    scripts, told = (table.take(points, mode="clip") for table in _scripts_by_letter())
    letters = scripts > 0
    mixed = letters[1:] & letters[:-1] & (scripts[1:] != scripts[:-1])
    borders = np.flatnonzero(letters[1:] != letters[:-1])
    untold = np.diff(np.cumsum(told)[borders])[::2] == 0  # of the words: what lies between every other two borders
    places = np.concatenate([np.flatnonzero(mixed), borders[::2][untold], np.flatnonzero(scripts == _BY_ITSELF)])
    ends = np.cumsum([len(text) + 1 for text in texts])
    found = np.zeros(len(texts), np.bool_)
    found[ends.searchsorted(places, "right")] = True
    return found.tolist()


@cache
def _scripts_by_letter() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Of each code point a number for the script that it is a letter of, 0 of no letter, `_BY_ITSELF` of what tells
    nothing; and whether it is a letter that no Latin one looks like. The last stand for all that follow."""
    scripts, told = np.zeros((2, 0x10001), np.uint8)
    numbers: dict[str, int] = {}
    for letter in "".join(_usual_letters().findall("".join(map(chr, range(0x10000))))):
        scripts[ord(letter)] = numbers.setdefault(script_of.__wrapped__(letter), len(numbers) + 1)
        told[ord(letter)] = letter not in look_alikes_of_latin()
    scripts[[0x10000, *map(ord, LATIN_LOOK_ALIKES)]] = _BY_ITSELF
    return scripts, told


@cache
def _usual_letters() -> re.Pattern[str]:
    """`_LETTERS` of the first 65,536 characters: as a list of them it is a bitmap, and found in a third of the time."""
    runs = _LETTERS.findall("".join(map(chr, range(0x10000))))
    return re.compile(f"[{''.join(f'{run[0]}-{run[-1]}' for run in runs)}]+")


@lru_cache(maxsize=16_384)
def _scripts(word: str) -> frozenset[str]:
    return frozenset(map(script_of, word))


@lru_cache(maxsize=16_384)
def _told_script(word: str) -> str:
    """The script, other than Latin, of a word of one script with a letter that no Latin one looks like; else ""."""
    strict, scripts = look_alikes_of_latin(), _scripts(word)
    told = len(scripts) == 1 and "LATIN" not in scripts and not all(letter in strict for letter in word)
    return next(iter(scripts)) if told else ""


def _in_latin_wholly(word: str) -> str:
    """A word in Latin letters where all its letters look so."""
    strict, word = look_alikes_of_latin(), _in_case(word)
    return "".join(strict[letter] for letter in word) if all(letter in strict for letter in word) else word


@lru_cache(maxsize=16_384)
def _unmix(word: str, others_told: bool) -> str:
    """A word of several scripts in one of them, Latin in its own letters; as it is where none can stand for all."""
    scripts = _scripts(word)
    if len(scripts) == 1:
        return "".join(LATIN_LOOK_ALIKES.get(letter, letter) for letter in word) if "LATIN" in scripts else word
    counts = {script: sum(script_of(letter) == script for letter in word) for script in sorted(scripts)}
    latin = _in_latin(word) if "LATIN" in scripts else None
    for script in sorted(scripts - {"LATIN"}, key=lambda script: -counts[script]):
        if latin and not (others_told and counts[script] > counts["LATIN"]):
            break
        own = _from_latin(script)
        if all(script_of(letter) == script or letter in own for letter in word):
            return "".join(letter if script_of(letter) == script else own[letter] for letter in word)
    return latin or word


def _in_case(word: str) -> str:
    """Lisu has no case: its letter that is l beside small letters stands for I among capitals."""
    return word if any(map(str.islower, word)) else word.replace(_LISU_I, _UKRAINIAN_I)


def _in_latin(word: str) -> str | None:
    table, word = look_alikes_of_latin(), _in_case(word)
    latin = sum(script_of(letter) == "LATIN" for letter in word)
    if 3 * latin > len(word):  # in "DJ" before a Russian name the other letters are meant
        table = {**_ALSO, **table}
    letters = [
        LATIN_LOOK_ALIKES.get(letter, letter) if script_of(letter) == "LATIN" else table.get(letter) for letter in word
    ]
    return None if None in letters else "".join(filter(None, letters))
