"""Ways of writing that hide words from filters: a small share of the spam is written so, and some innocent text is."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from random import Random

LINK = r"(?:https?://|www\.|href=)\S+"  # what stays as it is, however words are written
_LINK_OR_WORD = re.compile(rf"(?P<link>{LINK})|[^\W\d_]{{4,}}")
_LOOK_ALIKES = str.maketrans("aceopxyiABCEHKMOPTX", "асеорхуіАВСЕНКМОРТХ")  # the latter are Cyrillic
_DIGITS = str.maketrans("aeiosAEIOS", "4310543105")
_INVISIBLE = ("\u200b", "\u200c", "\u200d", "\u2060", "\u00ad", "\ufeff")
_MARKS = ("\u0323", "\u0336", "\u0335", "\u0307")
_ALPHABETS = (0x1D400, 0x1D4D0, 0x1D670)  # mathematical bold, bold script, monospace: capitals, then small letters
_AROUND = (("\u201c", "\u201d"), ("«", "»"), ("•", "•"), ("🔥", "🔥"), ("、", "、"), ("_", "_"), ("\u202a", "\u202c"))


def _spread(rng: Random, word: str) -> str:
    return rng.choice(("-", " ", ".", "_")).join(word)


def _full_width(_: Random, word: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in word)


def _mathematical(rng: Random, word: str) -> str:
    first = rng.choice(_ALPHABETS)

    def letter(character: str) -> str:
        if "A" <= character <= "Z":
            return chr(first + ord(character) - ord("A"))
        return chr(first + 26 + ord(character) - ord("a")) if "a" <= character <= "z" else character

    return "".join(map(letter, word))


def _insert(rng: Random, word: str, parts: tuple[str, ...]) -> str:
    place = rng.randrange(1, len(word))
    return word[:place] + rng.choice(parts) + word[place:]


def _marked(rng: Random, word: str) -> str:
    mark = rng.choice(_MARKS)
    return "".join(letter + mark for letter in word)


def _entities(rng: Random, word: str) -> str:
    return "".join(f"&#{ord(letter)};" if rng.random() < 0.4 else html.escape(letter) for letter in word)


def _doubled(rng: Random, word: str) -> str:
    place = rng.randrange(len(word))
    return word[:place] + word[place] * 2 + word[place + 1 :]


def _around(rng: Random, word: str) -> str:
    before, after = rng.choice(_AROUND)
    return f"{before}{word}{after}"


_WAYS: tuple[Callable[[Random, str], str], ...] = (
    _spread,
    _full_width,
    _mathematical,
    _marked,
    _entities,
    _doubled,
    _around,
    lambda rng, word: _insert(rng, word, _INVISIBLE),
    lambda rng, word: _insert(rng, word, ("-", ".", "*")),
    lambda _, word: word.translate(_LOOK_ALIKES),
    lambda _, word: word.translate(_DIGITS),
    lambda _, word: word.upper(),
)
WAYS = len(_WAYS)


def disguise(rng: Random, text: str, way: int, share: float) -> str:
    """The text with about `share` of its words of four letters or more written in that way; links stay."""

    def rewrite(match: re.Match[str]) -> str:
        return match[0] if match["link"] or rng.random() >= share else _WAYS[way](rng, match[0])

    return _LINK_OR_WORD.sub(rewrite, text)
