"""Made-up messages to a help desk that are positive, neutral or negative, in seven languages, on which the shipped
sentiment classifier is trained.

`sentiments.txt` has the sentences, by language: praise, thanks and relief; anger, disappointment and mockery;
questions, requests and facts, also on what went wrong. Some are made by rule, so that it is not the word alone that
decides: a sentence with and without a negation, and each with words of praise and of blame.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from sb_api.synthetic.messages import Phrases, Tongue

# The classes, each with what may stand behind its sentences.
MARKS: dict[str, tuple[str, ...]] = {
    "negative": (*[""] * 8, " :(", " :-(", " \N{POUTING FACE}", " \N{THUMBS DOWN SIGN}"),
    "neutral": ("",),
    "positive": (*[""] * 8, " :)", " :-)", " \N{SMILING FACE WITH SMILING EYES}", " \N{THUMBS UP SIGN}"),
}
NUMBERS = tuple(map(str, (2, 3, 4, 7, 12, 15, 20, 31, 48, 100, 250, 404, 500, 1999, 2024, 7701, 60413)))


@cache
def read_sentiments() -> Phrases:
    """The sentences with all that goes with them. A part of the file begins with a line that names its language and
    what it holds: the sentences of a class, `slots` by name, `openings` or `endings`; or sentences that a negation
    turns into their opposite, `praise blame: sentence => negation`, in which `*` stands for a word of either slot."""
    cores: dict[str, list[tuple[str, str]]] = {label: [] for label in MARKS}
    parts: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for part in (files("sb_api.synthetic") / "sentiments.txt").read_text("utf-8").split("== ")[1:]:
        head, *lines = part.rstrip("\n").split("\n")
        language, name = head.split()
        if name == "turned":
            written = [one for line in lines for one in _turn(line)]
        elif name in cores:
            written = [(name, line) for line in lines]
        else:
            parts[language][name] = lines
            continue
        for label, sentence in written:
            cores[label].append((language, f"{sentence}{{{label}}}"))
    return Phrases(cores, {language: _read_tongue(part) for language, part in parts.items()})


def _turn(line: str) -> list[tuple[str, str]]:
    """A sentence with words of praise and of blame, and its negation with those of praise, or where an arrow leads back
    with both: the classes and the sentences."""
    words, sentences = line.split(": ", 1)
    praise, blame = (f"{{{slot}}}" for slot in words.split())
    plain, arrow, negation = re.split(" (<?=>) ", sentences)
    turned = [
        ("positive", plain.replace("*", praise)),
        ("negative", plain.replace("*", blame)),
        ("negative", negation.replace("*", praise)),
    ]
    return turned + [("positive", negation.replace("*", blame))] * (arrow == "<=>")


def _read_tongue(part: dict[str, list[str]]) -> Tongue:
    named = (line.split(": ", 1) for line in part["slots"])
    slots: dict[str, Sequence[str]] = {name: values.split("|") for name, values in named}
    slots |= {"n": NUMBERS, **MARKS}
    return Tongue(slots, part["openings"][0].split("|"), part["endings"][0].split("|"))
