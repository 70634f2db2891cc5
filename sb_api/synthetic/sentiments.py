"""Made-up messages to a help desk that are positive, neutral or negative, in seven languages, on which the shipped
sentiment classifier is trained.

`sentiments.txt` has the sentences, by language: praise, thanks and relief; anger, disappointment and mockery;
questions, requests and facts, also on what went wrong.
"""

from __future__ import annotations

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
    what it holds: the sentences of a class, `slots` by name, `openings` or `endings`."""
    cores: dict[str, list[tuple[str, str]]] = {label: [] for label in MARKS}
    parts: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for part in (files("sb_api.synthetic") / "sentiments.txt").read_text("utf-8").split("== ")[1:]:
        head, *lines = part.rstrip("\n").split("\n")
        language, name = head.split()
        if name in cores:
            cores[name] += [(language, f"{line}{{{name}}}") for line in lines]
        else:
            parts[language][name] = lines
    return Phrases(cores, {language: _read_tongue(part) for language, part in parts.items()})


def _read_tongue(part: dict[str, list[str]]) -> Tongue:
    named = (line.split(": ", 1) for line in part["slots"])
    slots: dict[str, Sequence[str]] = {name: values.split("|") for name, values in named}
    slots |= {"n": NUMBERS, **MARKS}
    return Tongue(slots, part["openings"][0].split("|"), part["endings"][0].split("|"))
