"""One normal form for whatever editors and messages write, and what had to be undone to reach it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from operator import add
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.blanks import ENTITY, INVISIBLE, INVISIBLE_CLASS, unescape
from sb_api.records import LONGEST_TEXT
from sb_api.text.characters.composition import compose, drop_surplus_marks
from sb_api.text.characters.glance import (
    AMPERSAND,
    APOSTROPHES,
    COMPOSE,
    DROP,
    IN_ASCII,
    LOOK_ALIKE,
    MARK,
    MARKS_PER_LETTER,
    PUNCTUATION,
    SYMBOL,
    UNSPACED,
    WORK,
    look_at,
)
from sb_api.text.characters.glance import INVISIBLE as HAS_INVISIBLE
from sb_api.text.characters.look_alikes import look_alikes_of_latin, may_have_look_alikes, undo_look_alikes
from sb_api.text.hashing import lay_points, read_points
from sb_api.text.lengths import cut
from sb_api.text.markup import join_marked_up
from sb_api.text.percent import decode_letters

_ELLIPSIS, _APOSTROPHE = "\u2026", 1
_FEW = 1_500  # characters: so few are looked at one by one sooner than numpy's calls are made
_ENTITY_ROUNDS = 3  # "&amp;amp;amp;#99;" takes so many
_ROUNDS = 3  # of a normal form that has become markup: "ca&lt;wbr&gt;sino" takes one

# A byte a character of an ASCII text: 1 for control characters, of which only white space has a place in a text.
_CONTROLS = bytes(code < 9 or 0x0E <= code < 0x1C or code == 0x7F for code in range(256))
# Who writes backwards has it shown from right to left, by an override that no script needs.
_REVERSED = re.compile("\u202e([^\u202a-\u202e\u2066-\u2069\n]+)\u202c?")
_LINE_ENDS = re.compile("(?<!\r)\r++\n")
_HIDDEN = re.compile(f"(?<=[A-Za-z\xc0-\u052f])[{INVISIBLE_CLASS}]+(?=[A-Za-z\xc0-\u052f])")
_PUNCTUATION = re.compile(f"[{''.join(map(re.escape, IN_ASCII))}{APOSTROPHES}]")
# Where letters stand that only look otherwise: letter-like, encircled, full-width, mathematical.
_STYLED = re.compile("[\u2100-\u214f\u24b6-\u24e9\uff21-\uff5a\U0001d400-\U0001d7ff\U0001f110-\U0001f149]")
_RARE = re.compile("[\U00010000-\U0001efff]")
_ENCLOSED = {
    chr(first + number): chr(ord("A") + number) for first in (0x1F150, 0x1F170) for number in range(26)
}  # white letters on black circles and squares
_ENCLOSED_LETTER = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189]")


class Undone(NamedTuple):
    """How many characters of each kind hid what a text says."""

    entities: int = 0  # HTML's references to characters
    styled: int = 0  # full-width, mathematical, encircled or small capital letters
    invisible: int = 0  # invisible characters between two letters, or that turn the order of letters around
    marks: int = 0  # combining marks beyond what any letter bears
    look_alikes: int = 0  # letters of another script


class NormalText(msgspec.Struct, frozen=True, gc=False):
    """The normal form of a text, and what had to be undone."""

    text: str
    undone: Undone
    unspaced: bool = False  # whether it has letters of scripts without blanks between words


NOTHING = Undone()
_EMPTY = NormalText("", NOTHING)


def normalize_text(text: str, longest: int = LONGEST_TEXT) -> NormalText:
    """The normal form of `text`, of its beginning and its end, `longest` characters in all (`cut`), where there is
    anything to undo.

    HTML entities are unescaped, compatible characters composed (NFKC), what an override shows from right to left is
    turned around, invisible characters and marks that no letter bears are left out, quotation marks, dashes and
    apostrophes are those of ASCII, other symbols stand apart from words, and a word has the letters of one script. A
    line ends with a line feed alone, letters are not percent-encoded (`decode_letters`), and markup inside words is
    left out (`join_marked_up`).
    Normalizing twice is normalizing once, unless one thing hides another more than three times over. Never raises.
    Time: linear.
    """
    return normalize_texts([text], longest)[0]


def normalize_texts(texts: Sequence[str], longest: int = LONGEST_TEXT) -> list[NormalText]:
    """`normalize_text` of each of n texts, for which all of them are looked at together."""
    # Few have one of these, and a call for each text takes as long as all that is looked for here.
    tidy = [
        _tidy(text)
        if ("<" in text or "[" in text or "*" in text or "_" in text or "~" in text or "'" in text)
        or ("%" in text or "\r" in text)
        else text
        for text in texts
    ]
    return _normalize_tidy(tidy, longest)


def _normalize_tidy(texts: Sequence[str], longest: int, rounds: int = _ROUNDS) -> list[NormalText]:
    normal = [NormalText(text, NOTHING) if text else _EMPTY for text in texts]
    # One look tells that no text in ASCII has a control character, as is nearly always so.
    controls = b"\1" in "".join(filter(str.isascii, texts)).encode().translate(_CONTROLS)
    rows = [
        row
        for row, text in enumerate(texts)
        if not text.isascii() or ((controls or "&" in text) and not _is_plain(text))
    ]
    if not rows:
        return normal
    seen = look_at([texts[row] for row in rows])
    decoded = {
        row: _decode(cut(texts[row], longest), bits, longest)
        for row, bits in zip(rows, seen, strict=True)
        if bits & (HAS_INVISIBLE | COMPOSE | DROP | AMPERSAND) or (bits & MARK and not _is_composed(texts[row]))
    }
    # What was decoded is looked at again: it may have anything in it now.
    again = dict(zip(decoded, look_at([one.text for one in decoded.values()]) if decoded else (), strict=True))
    work = {
        row: (decoded[row], again[row]) if row in decoded else (_Decoded(texts[row]), bits)
        for row, bits in zip(rows, seen, strict=True)
    }
    marked = [row for row, (_, bits) in work.items() if bits & (PUNCTUATION | COMPOSE | DROP) == PUNCTUATION]
    for row, text in zip(marked, _write_marks_in([work[row][0].text for row in marked]), strict=True):
        one, bits = work[row]
        work[row] = one._replace(text=text), bits & ~PUNCTUATION
    suspected = [row for row, (_, bits) in work.items() if bits & (LOOK_ALIKE | COMPOSE | DROP) == LOOK_ALIKE]
    for row, found in zip(suspected, may_have_look_alikes([work[row][0].text for row in suspected]), strict=True):
        if not found:
            one, bits = work[row]
            work[row] = one, bits & ~LOOK_ALIKE
    for row, bits in zip(rows, seen, strict=True):
        one, rest = work[row]
        if row in decoded or bits & WORK:
            normal[row] = _finish(one, rest, longest)
            if row in decoded or normal[row].undone.look_alikes or "<" in normal[row].text:
                normal[row] = _settle(normal[row], longest, rounds)
        elif bits & UNSPACED:
            normal[row] = NormalText(texts[row], NOTHING, True)
    return normal


def _tidy(text: str) -> str:
    """`text` whose lines end with a line feed alone, its letters not percent-encoded, without markup inside words."""
    if "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    return join_marked_up(decode_letters(text))


def _settle(normal: NormalText, longest: int, rounds: int) -> NormalText:
    """What has only now become markup inside words, or percent-encoded, is normalized again, so many times at most."""
    tidy = _tidy(normal.text)
    if tidy == normal.text or not rounds:
        return normal
    again = _normalize_tidy([tidy], longest, rounds - 1)[0]
    undone = Undone(*map(add, normal.undone, again.undone))
    return NormalText(again.text, undone if any(undone) else NOTHING, again.unspaced)


def _is_plain(text: str) -> bool:
    return (
        text.isascii()
        and b"\1" not in text.encode().translate(_CONTROLS)
        and ("&" not in text or not ENTITY.search(text))
    )


class _Decoded(NamedTuple):
    text: str
    entities: int = 0
    styled: int = 0
    invisible: int = 0
    marks: int = 0


def _decode(text: str, seen: int, longest: int) -> _Decoded:
    """The characters that are meant, composed, and how many entities, styled letters and so on there were."""
    entities = styled = invisible = marks = 0
    for _ in range(_ENTITY_ROUNDS):
        found = 0
        if seen & AMPERSAND:
            text, found = unescape(text)
            entities += found
        if found or seen & HAS_INVISIBLE:
            text, reversed_runs = _REVERSED.subn(lambda match: match[1][::-1], text)
            invisible += reversed_runs + len(_HIDDEN.findall(text))
            text = INVISIBLE.sub("", text)
        if found or seen & (HAS_INVISIBLE | COMPOSE | DROP):  # else few marks are in a row
            text, surplus = drop_surplus_marks(text)
            marks += surplus
        # What the longest characters become, 18 of them, is cut before the next round.
        composed = unicodedata.normalize("NFKC", text)
        if composed != text:
            styled += sum(map(_is_styled, _STYLED.findall(text)))
            text = composed
        if found or seen & SYMBOL:
            text, enclosed = _ENCLOSED_LETTER.subn(lambda match: _ENCLOSED[match[0]], text)
            styled += enclosed
        text = cut(text, longest)
        if not ENTITY.search(text):
            break
        seen |= AMPERSAND
    return _Decoded(text, entities, styled, invisible, marks)


def _finish(decoded: _Decoded, seen: int, longest: int) -> NormalText:
    """The normal form of a decoded text of which `look_at` has seen the bits."""
    text, marks = decoded.text, decoded.marks
    if seen & (COMPOSE | DROP):
        text, dropped = _drop_marks(text)
        marks += dropped
        seen = look_at([text])[0]
    if seen & PUNCTUATION:
        text = _write_marks(text)
    if seen & SYMBOL:
        text = _marks_of(text).symbols.sub(_set_apart, text)
    kept, look_alikes = cut(text, longest), 0
    if seen & LOOK_ALIKE or len(kept) < len(text):
        kept, look_alikes = undo_look_alikes(kept)
    undone = Undone(decoded.entities, decoded.styled, decoded.invisible, marks, look_alikes)
    return NormalText(_keep_from_unescaping(kept), undone if any(undone) else NOTHING, bool(seen & UNSPACED))


def _is_composed(text: str) -> bool:
    """Of a text with few marks in a row."""
    return unicodedata.is_normalized("NFKC", text)


@lru_cache(maxsize=4096)
def _is_styled(character: str) -> bool:
    if character.isascii():
        return False
    plain = unicodedata.normalize("NFKC", character)
    return plain.isascii() and plain.isalpha() and len(plain) == 1


def _keep_from_unescaping(text: str) -> str:
    """What would still be taken for an entity after all rounds, or has only now become one, is none."""
    return ENTITY.sub(lambda match: f" {match[0][1:]}", text) if "&" in text else text


class _Marks(NamedTuple):
    of_letters: str
    any: re.Pattern[str]
    combining: re.Pattern[str]
    own: re.Pattern[str]
    symbols: re.Pattern[str]


@cache
def _marks(end: int) -> _Marks:
    """Expressions for the combining marks of all scripts up to a code point; Python's do not know them by category.

    What NFKC left apart of the marks called COMBINING belongs to no letter. Others belong to letters of their scripts.
    """
    combining: list[int] = []
    own: list[int] = []
    for code in range(0x300, end):
        if unicodedata.category(chr(code)).startswith("M"):
            (combining if unicodedata.name(chr(code), "").startswith("COMBINING") else own).append(code)
    marks = _as_class(own)
    apart = re.compile(f"[^\\w\\s{marks}]")
    symbols = [code for code in range(0x80, end) if apart.match(chr(code))]
    return _Marks(
        of_letters=marks,
        any=re.compile(f"[{_as_class(combining)}{marks}]"),
        combining=re.compile(f"[{_as_class(combining)}]+"),
        own=re.compile(f"([^\\W\\d_A-Za-z\xaa-\u0482\u048a-\u052f\u1e00-\u1fff])?([{marks}]+)"),
        # The second and the third plane are of Han letters.
        symbols=re.compile(f"[{_as_class(symbols)}\U0001f000-\U0001ffff\U00040000-\U0010ffff]+"),
    )


def _marks_of(text: str) -> _Marks:
    # Where it can be, without the marks of rare scripts: a class of the first 65,536 characters is a bitmap.
    return _marks(0x1F000 if _RARE.search(text) else 0x10000)


def letter_marks() -> str:
    """The vowel signs, tones and points that letters of some scripts bear, as the inside of a character class."""
    return _marks(0x10000).of_letters


def _as_class(codes: list[int]) -> str:
    """The code points as ranges for a character class of a regular expression."""
    starts = [code for code, before in zip(codes, [-1, *codes[:-1]], strict=True) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -1], strict=True) if code != after - 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


def _drop_marks(text: str) -> tuple[str, int]:
    """`text` without combining marks that are no letter's own, and how many went."""
    marks = _marks_of(text)
    if not marks.any.search(text):
        return text, 0
    dropped = marks.own.sub(lambda match: match[1] + match[2][:MARKS_PER_LETTER] if match[1] else "", text)
    dropped = marks.combining.sub("", dropped)
    # What stood apart because of such a mark may be composed now.
    return compose(dropped), len(text) - len(dropped)


def _write_marks(text: str) -> str:
    """`text` with the marks of ASCII for others that mean the same."""
    return _PUNCTUATION.sub(_in_ascii, text)


def _write_marks_in(texts: Sequence[str]) -> list[str]:
    """`_write_marks` of each of n texts, of which all are written anew at once."""
    if sum(map(len, texts)) < _FEW:
        return [*map(_write_marks, texts)]
    points = lay_points(texts)
    marks = _marks_in_ascii().take(points, mode="clip")
    places, ends = np.flatnonzero(marks), np.cumsum([0, *(len(text) + 1 for text in texts)])
    written = points.copy()
    written[places] = marks[places]
    for place in np.flatnonzero(marks == _APOSTROPHE).tolist():
        between = chr(points[place - 1]).isalpha() and chr(points[place + 1]).isalpha()
        written[place] = ord("'" if between else " ")
    # One mark stands for three.
    dots = np.flatnonzero(points == ord(_ELLIPSIS))
    if len(dots):
        sizes = np.ones(len(points), np.int64)
        sizes[dots] = len(IN_ASCII[_ELLIPSIS])
        written = written.repeat(sizes)
        ends += (len(IN_ASCII[_ELLIPSIS]) - 1) * dots.searchsorted(ends)
    return read_points(written, ends)


@cache
def _marks_in_ascii() -> npt.NDArray[np.uint8]:
    """Of each code point the mark of ASCII that it means, of an ellipsis one dot of three, or `_APOSTROPHE`; 0 of all
    others."""
    marks = np.zeros(ord(max(IN_ASCII)) + 2, np.uint8)
    marks[[*map(ord, IN_ASCII)]] = [ord(mark[0]) for mark in IN_ASCII.values()]
    marks[[*map(ord, APOSTROPHES)]] = _APOSTROPHE
    return marks


def _in_ascii(match: re.Match[str]) -> str:
    """The mark in ASCII; for an apostrophe, which quotes where it does not stand between letters, a blank there."""
    mark = IN_ASCII.get(match[0])
    if mark is not None:
        return mark
    place, text = match.start(), match.string
    return "'" if text[place - 1 : place].isalpha() and text[place + 1 : place + 2].isalpha() else " "


def _set_apart(match: re.Match[str]) -> str:
    """A run of symbols with a blank on either side that has none; Catalan writes its l·l without."""
    text, start, end = match.string, match.start(), match.end()
    if match[0] == "\xb7" and text[start - 1 : start] + text[end : end + 1] in ("ll", "LL"):
        return match[0]
    before = " " if start and not text[start - 1].isspace() else ""
    after = " " if end < len(text) and not text[end].isspace() else ""
    return f"{before}{match[0]}{after}"


def clean_class(name: str) -> str:
    """The name of a class as one writes it: composed (NFC), without invisible characters such as a byte order mark, its
    blanks single."""
    return " ".join(INVISIBLE.sub("", compose(name, "NFC")).split())


def fold_class(name: str) -> str:
    """What names of classes have in common that differ in case, blanks, marks, width, and letters of other scripts that
    look like Latin ones (a skeleton, as in UTS 39)."""
    folded = compose(name).casefold()
    return "".join(filter(str.isalnum, folded if folded.isascii() else folded.translate(_skeleton()))) or name


@cache
def _skeleton() -> dict[int, str]:
    return str.maketrans(dict(look_alikes_of_latin()))
