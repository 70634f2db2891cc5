"""A seeded generator of messages that belong to none of the shipped classes: chat, small talk, questions to anybody,
wishes to a machine, numbers, filler, code, in many languages.

For choosing when a message gets no class, or for teaching it. None of it is about a music database, praises or
complains about one, asks about an account, or sells anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    "France",
    "Spain",
    "Brazil",
)
_LANGUAGES = ("French", "Spanish", "Japanese", "Latin", "Swahili", "Hindi", "Finnish", "Turkish", "Korean", "Welsh")
_KINDS = ((40, "general"), (18, "chat"), (17, "foreign"), (18, "words"), (7, "signs"))


class Nothing(NamedTuple):
    """A message of no class: its kind, what it is a variation of, and the text."""

    kind: str
    core: str
    text: str


def generate_nothing(count: int, seed: int) -> Iterator[Nothing]:
    """Yield `count` messages; the same for the same seed. Raises ValueError when `count` is negative."""
    if count < 0:
        raise ValueError(f"count must not be negative, not {count}")
    return _generate(count, Random(f"nothing {seed}"))


def _generate(count: int, rng: Random) -> Iterator[Nothing]:
    # Of general sentences and of chat, a block each.
    general, chat = (files("sb_api.synthetic") / "nothing.txt").read_text("utf-8").split("\n\n")
    # Thanks may be praise.
    chatted = [said for said in languages()["en"].chat if "thank" not in said]
    sentences = {"general": general.splitlines(), "chat": [*chatted, *chat.splitlines()]}
    for _ in range(count):
        kind = weighted(rng, _KINDS)
        core, text = _text(rng, kind, sentences)
        manner = rng.random()
        yield Nothing(
            kind, f"{kind} {core}", text.upper() if manner < 0.05 else text.capitalize() if manner < 0.35 else text
        )


def _text(rng: Random, kind: str, sentences: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """What is varied, and the variation."""
    if kind == "signs":
        return _signs(rng)
    language = "en"
    if kind == "foreign":
        while language == "en":
            language = choose_language(rng)
    known = {"country": rng.choice(_COUNTRIES), "tongue": rng.choice(_LANGUAGES)}
    slots = Slots(rng, build_pools(), language, ("it",), **known)
    if kind == "foreign":
        return language, talk(rng, language, slots, rng.choice((1, 1, 2)))
    if kind == "words":
        words, sums = common_words("en")
        text = " ".join(rng.choices(words, cum_weights=sums, k=rng.randint(1, 14)))
        return text, text
    sentence = rng.choice(sentences[kind])
    return sentence, write(rng, [sentence], slots, "").strip() or "ok"


def _signs(rng: Random) -> tuple[str, str]:
    """Numbers, keys hit at random, marks and pictures; each is a variation of itself alone."""
    letters = rng.choice((digits, ascii_lowercase, "asdfjkl", "!?.,:;-)(", "😀😂🎉❤👍🌧🐈"))
    text = "".join(rng.choices(letters, k=rng.randint(1, 12)))
    return text, text


def split_nothing(messages: Sequence[Nothing], share: float, seed: int) -> tuple[list[Nothing], list[Nothing]]:
    """Messages to learn from, and those of about `share` of all cores, of which the others are no variations."""
    cores = sorted({message.core for message in messages})
    held_out = set(Random(seed).sample(cores, round(share * len(cores))))
    learned = [message for message in messages if message.core not in held_out]
    return learned, [message for message in messages if message.core in held_out]
