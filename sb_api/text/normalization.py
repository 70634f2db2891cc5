"""One normal form for whatever editors and messages write, and what had to be undone to reach it."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache
from typing import NamedTuple

import msgspec

from sb_api.records import LONGEST_TEXT
from sb_api.text.look_alikes import undo_look_alikes

MARKS_PER_LETTER = 4  # Hebrew with vowels and accents has so many
_ENTITY_ROUNDS = 3  # "&amp;amp;amp;#99;" takes so many

# A byte a character of an ASCII text: 1 for control characters, of which only white space has a place in a text.
_CONTROLS = bytes(code < 9 or 0x0E <= code < 0x1C or code == 0x7F for code in range(256))
# References to letters need no semicolon where a number ends them; names do, as "?a=1&copy=2" is no copyright sign.
_ENTITY = re.compile("&(?:#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});?|[A-Za-z][A-Za-z0-9]{1,31};)")
# Format characters (category Cf), variation selectors, fillers that show nothing, and control characters.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_HIDDEN = re.compile(f"(?<=[A-Za-z\xc0-\u052f]){_INVISIBLE.pattern}(?=[A-Za-z\xc0-\u052f])")
_DASHES = dict.fromkeys("\u058a\u2010\u2011\u2012\u2013\u2014\u2015\u2027\u2043\u2212\u2e3a\u2e3b\u301c\u30a0", "-")
_QUOTES = dict.fromkeys("\xab\xbb\u201c\u201d\u201e\u201f\u2039\u203a\u2e42\u301d\u301e\u301f\U0001f676\U0001f677", '"')
_APOSTROPHES = "\u02b9\u02bb\u02bc\u2018\u2019\u201a\u201b\u2032\u055a\ua78c"
_ASCII_MARKS = _DASHES | _QUOTES
_MARK = re.compile(f"[{''.join(_ASCII_MARKS)}]")
_BETWEEN_LETTERS = re.compile(rf"(?<=[^\W\d_])[{_APOSTROPHES}](?=[^\W\d_])")
_APOSTROPHE = re.compile(f"[{_APOSTROPHES}]")
_ENCLOSED = {
    chr(first + number): chr(ord("A") + number) for first in (0x1F150, 0x1F170) for number in range(26)
}  # white letters on black circles and squares
_ENCLOSED_LETTER = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189]")


class Undone(NamedTuple):
    """How many characters of each kind hid what a text says."""

    entities: int = 0  # HTML's references to characters
    styled: int = 0  # full-width, mathematical, encircled or small capital letters
    invisible: int = 0  # invisible characters between two letters
    marks: int = 0  # combining marks beyond what any letter bears
    look_alikes: int = 0  # letters of another script


class NormalText(msgspec.Struct, frozen=True, gc=False):
    """The normal form of a text, and what had to be undone."""

    text: str
    undone: Undone


NOTHING = Undone()


def normalize_text(text: str, longest: int = LONGEST_TEXT) -> NormalText:
    """The normal form of `text`, of its first `longest` characters where there is anything to undo.

    HTML entities are unescaped, compatible characters composed (NFKC), invisible ones and marks that no letter bears
    left out, quotation marks, dashes and apostrophes are those of ASCII, other symbols stand apart from words, and a
    word has the letters of one script. Normalizing twice is normalizing once. Never raises.
    """
    if (
        text.isascii()
        and b"\1" not in text.encode().translate(_CONTROLS)
        and ("&" not in text or not _ENTITY.search(text))
    ):
        return NormalText(text, NOTHING)
    text, entities, styled, invisible = _decode(text, longest)
    if text.isascii():
        return NormalText(_keep_from_unescaping(text), Undone(entities, styled, invisible))
    text, marks = _drop_marks(text)
    text = _write_marks_in_ascii(text)
    text = _marks().symbols.sub(_set_apart, text)[:longest]
    text, look_alikes = undo_look_alikes(text)
    return NormalText(_keep_from_unescaping(text), Undone(entities, styled, invisible, marks, look_alikes))


def _decode(text: str, longest: int) -> tuple[str, int, int, int]:
    """The characters that are meant, composed, with how many entities, styled letters and invisible ones there were."""
    text = text[:longest]
    entities = styled = invisible = 0
    for _ in range(_ENTITY_ROUNDS):
        text, found = _ENTITY.subn(_unescape, text) if "&" in text else (text, 0)
        entities += found
        if _INVISIBLE.search(text):
            invisible += len(_HIDDEN.findall(text))
            text = _INVISIBLE.sub("", text)
        if not unicodedata.is_normalized("NFKC", text):
            styled += sum(map(_is_styled, text))
            # What the longest of them become, 18 characters, is cut before the next round.
            text = unicodedata.normalize("NFKC", text)
        text, found = _ENCLOSED_LETTER.subn(lambda match: _ENCLOSED[match[0]], text)
        styled += found
        text = text[:longest]
        if not _ENTITY.search(text):
            break
    return text, entities, styled, invisible


def _unescape(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _is_styled(character: str) -> bool:
    if character.isascii():
        return False
    plain = unicodedata.normalize("NFKC", character)
    return plain.isascii() and plain.isalpha() and len(plain) == 1


def _keep_from_unescaping(text: str) -> str:
    """What would still be taken for an entity after all rounds, or has only now become one, is none."""
    return _ENTITY.sub(lambda match: f" {match[0][1:]}", text) if "&" in text else text


class _Marks(NamedTuple):
    bare: re.Pattern[str]
    combining: re.Pattern[str]
    own: re.Pattern[str]
    symbols: re.Pattern[str]


@cache
def _marks() -> _Marks:
    """Expressions for the combining marks of all scripts, which Python's do not know by category.

    What NFKC left apart of the marks called COMBINING belongs to no letter. Others belong to letters of their scripts.
    """
    combining: list[int] = []
    own: list[int] = []
    for code in range(0x300, 0x1F000):
        if unicodedata.category(chr(code)).startswith("M"):
            (combining if unicodedata.name(chr(code), "").startswith("COMBINING") else own).append(code)
    marks = _as_class(own)
    return _Marks(
        bare=re.compile(f"[{_as_class(combining)}{marks}]"),
        combining=re.compile(f"[{_as_class(combining)}]+"),
        own=re.compile(f"([^\\W\\d_A-Za-z\xaa-\u0482\u048a-\u052f\u1e00-\u1fff])?([{marks}]+)"),
        symbols=re.compile(f"[^\\w\\s\0-\x7f{marks}]+"),
    )


def _as_class(codes: list[int]) -> str:
    """The code points as ranges for a character class of a regular expression."""
    starts = [code for code, before in zip(codes, [-1, *codes[:-1]], strict=True) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -1], strict=True) if code != after - 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


def _drop_marks(text: str) -> tuple[str, int]:
    """`text` without combining marks that are no letter's own, and how many went."""
    marks = _marks()
    if not marks.bare.search(text):
        return text, 0
    dropped = marks.own.sub(lambda match: match[1] + match[2][:MARKS_PER_LETTER] if match[1] else "", text)
    dropped = marks.combining.sub("", dropped)
    # What stood apart because of such a mark may be composed now.
    return unicodedata.normalize("NFKC", dropped), len(text) - len(dropped)


def _write_marks_in_ascii(text: str) -> str:
    text = _MARK.sub(lambda match: _ASCII_MARKS[match[0]], text)
    return _APOSTROPHE.sub(" ", _BETWEEN_LETTERS.sub("'", text))


def _set_apart(match: re.Match[str]) -> str:
    """A run of symbols with a blank on either side that has none."""
    text, start, end = match.string, match.start(), match.end()
    before = " " if start and not text[start - 1].isspace() else ""
    after = " " if end < len(text) and not text[end].isspace() else ""
    return f"{before}{match[0]}{after}"
