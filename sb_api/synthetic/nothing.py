"""A seeded generator of messages that belong to none of the shipped classes: chat, small talk, questions to anybody,
wishes to a machine, numbers, filler, code, in many languages.

For choosing when a message gets no class, or for teaching it. None of it is about a music database, praises or
complains about one, asks about an account, or sells anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from random import Random
from string import ascii_lowercase, digits
from typing import NamedTuple

from sb_api.synthetic.bios import Slots, talk, write
from sb_api.synthetic.parts import build_pools, choose_language, common_words, weighted
from sb_api.synthetic.phrases import languages

_COUNTRIES = (
    "Japan",
    "Peru",
    "Kenya",
    "Norway",
    "India",
    "Egypt",
    "Chile",
    "Laos",
    "Greece",
    "Canada",
    "Nepal",
)
_LANGUAGES = ("French", "Spanish", "Japanese", "Latin", "Swahili", "Hindi", "Finnish", "Turkish", "Korean", "Welsh")
_KINDS = ((45, "general"), (20, "chat"), (20, "foreign"), (7, "words"), (8, "signs"))


class Nothing(NamedTuple):
    """A message of no class: its kind, and the text."""

    kind: str
    text: str


def generate_nothing(count: int, seed: int) -> Iterator[Nothing]:
    """Yield `count` messages; the same for the same seed. Raises ValueError when `count` is negative."""
    if count < 0:
        raise ValueError(f"count must not be negative, not {count}")
    return _generate(count, Random(f"nothing {seed}"))


def _generate(count: int, rng: Random) -> Iterator[Nothing]:
    sentences = (files("sb_api.synthetic") / "nothing.txt").read_text("utf-8").splitlines()
    for _ in range(count):
        kind = weighted(rng, _KINDS)
        text = _text(rng, kind, sentences)
        manner = rng.random()
        yield Nothing(kind, text.upper() if manner < 0.05 else text.capitalize() if manner < 0.35 else text)


def _text(rng: Random, kind: str, sentences: list[str]) -> str:
    if kind == "signs":
        return _signs(rng)
    language = "en"
    if kind == "foreign":
        while language == "en":
            language = choose_language(rng)
    known = {"country": rng.choice(_COUNTRIES), "tongue": rng.choice(_LANGUAGES)}
    slots = Slots(rng, build_pools(), language, ("it",), **known)
    if kind == "foreign":
        return talk(rng, language, slots, rng.choice((1, 1, 2)))
    if kind == "words":
        words, sums = common_words("en")
        return " ".join(rng.choices(words, cum_weights=sums, k=rng.randint(1, 14)))
    # Thanks may be praise.
    source = [said for said in languages()["en"].chat if "thank" not in said] if kind == "chat" else sentences
    return write(rng, [rng.choice(source)], slots, "").strip() or "ok"


def _signs(rng: Random) -> str:
    """Numbers, keys hit at random, marks and pictures."""
    letters = rng.choice((digits, ascii_lowercase, "asdfjkl", "!?.,:;-)(", "😀😂🎉❤👍🌧🐈"))
    return "".join(rng.choices(letters, k=rng.randint(1, 12)))
