"""A seeded generator of messages of several classes, and what it makes those of that moderators of a music database
get, on which the shipped intents are trained; `intents.txt` has their sentences.

Every message is a core sentence of its class with slots filled in, between an opening and an ending that any class may
have, written carefully or carelessly. The same seed gives the same messages in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from random import Random
from string import ascii_lowercase

from sb_api.synthetic.bios import write

MOST_CORES = 10_000  # of a class


@dataclass(frozen=True, slots=True)
class SyntheticMessage:
    """One message of a class; messages of the same `core` sentence are variations of each other."""

    label: str
    text: str
    core: int


@dataclass(frozen=True)
class Tongue:
    """What messages of one language are made of besides their cores: what may stand in a slot, by its name, how a
    message may begin and end, and words that are written shorter."""

    slots: Mapping[str, Sequence[str]]
    openings: Sequence[str]
    endings: Sequence[str]
    slang: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Phrases:
    """What messages are made of: the `cores` of each class, each with its language; braces in one name slots, and of
    what `[stands|is]` in brackets one is taken."""

    cores: Mapping[str, Sequence[tuple[str, str]]]
    tongues: Mapping[str, Tongue]

    @property
    def labels(self) -> list[str]:
        return list(self.cores)


_SLOTS = {
    "artist": "Miles Davis|Björk|The Beatles|Aphex Twin|Nina Simone|Daft Punk|Arvo Pärt|Fela Kuti|Kate Bush|Radiohead|"
    "Boards of Canada|Joni Mitchell|Kraftwerk|Sun Ra|Sigur Rós|a band from my town|my favourite singer",
    "thing": "release|recording|album|cover|track list|label|work|artist page|release group|series|relationship|"
    "barcode|disc ID|event|place|tag|edit note|annotation",
    "page": "search page|edit page|release editor|artist page|collection page|profile page|login page|cover art page|"
    "tagger|mobile site|web service|report page",
    "client": "Firefox|Chrome|Safari|my phone|the Android app|Picard|my tablet|Edge|the API|Linux|Windows 11",
    "when": "today|since yesterday|for a week now|since the last update|every time|this morning|again and again|lately",
    "fault": "shows error 500|stays blank|never finishes loading|crashes|freezes|loses what I typed|logs me out|"
    "returns nothing|shows the wrong image|throws an exception|times out|puts everything in the wrong order",
    "goods": "watches|casino bonus|followers|pills|loans|crypto|sneakers|essays|backlinks|web hosting|seo service|"
    "forex",
    "price": "50% off|for free|from 9.99|with bonus|at the best price|cheap|with fast delivery|no deposit",
    "feature": "a dark mode|an export to CSV|batch editing|a better search|keyboard shortcuts|a way to merge tags|"
    "a notification by mail|an undo button|statistics for my collection|filters by country|a map of places",
    "field": "release date|country|catalogue number|ISRC|composer|producer|track length|disambiguation|barcode|"
    "language",
    "account": "password|e-mail address|user name|account|login|profile|subscription|confirmation mail|API token",
    "person": "this editor|an auto-editor|somebody|a new user|the moderator|one of your voters|another editor",
}

_OPENINGS = (
    "",
    "",
    "",
    "",
    "hi, ",
    "hello, ",
    "hey, ",
    "hi all, ",
    "good morning, ",
    "dear team, ",
    "so ",
    "ok, ",
    "well, ",
)
_ENDINGS = (
    "",
    "",
    "",
    "",
    "",
    ".",
    "!",
    "...",
    " thanks",
    " please help",
    " regards",
    " :)",
    " cheers",
    " lol",
    " ??",
    " !!!",
)
_SLANG = {
    "you": "u",
    "please": "pls",
    "are": "r",
    "thanks": "thx",
    "because": "cuz",
    "really": "rly",
    "great": "gr8",
    "love": "luv",
    "people": "ppl",
    "with": "w/",
    "want to": "wanna",
    "I am": "im",
}


def _read_cores() -> dict[str, list[tuple[str, str]]]:
    """The sentences of each class; in the file they stand below a line with its name."""
    parts = (files("sb_api.synthetic") / "intents.txt").read_text("utf-8").split("== ")[1:]
    return {name: [("en", core) for core in cores] for name, *cores in map(str.splitlines, parts)}


INTENTS = Phrases(
    _read_cores(),
    {"en": Tongue({name: values.split("|") for name, values in _SLOTS.items()}, _OPENINGS, _ENDINGS, _SLANG)},
)


def generate_messages(count: int, seed: int, phrases: Phrases = INTENTS) -> Iterator[SyntheticMessage]:
    """`count` messages, every class as often as the others."""
    random = Random(seed)
    cores = list(phrases.cores.items())
    for number in range(count):
        place = number % len(cores)
        label, sentences = cores[place]
        chosen = random.randrange(len(sentences))
        language, core = sentences[chosen]
        tongue = phrases.tongues[language]
        slots = {name: random.choice(values) for name, values in tongue.slots.items()}
        text = " ".join(write(random, [core], slots, "").split())
        text = random.choice(tongue.openings) + text + random.choice(tongue.endings)
        yield SyntheticMessage(label, _write_carelessly(text, tongue.slang, random), place * MOST_CORES + chosen)


def split_by_core(
    messages: Sequence[SyntheticMessage], share: float, seed: int
) -> tuple[list[SyntheticMessage], list[SyntheticMessage]]:
    """Messages to learn from, and those of about `share` of each class's core sentences, which the others do not
    have."""
    random = Random(seed)
    held_out: set[int] = set()
    for place in sorted({message.core // MOST_CORES for message in messages}):
        cores = sorted({message.core for message in messages if message.core // MOST_CORES == place})
        held_out.update(random.sample(cores, round(share * len(cores))))
    return (
        [message for message in messages if message.core not in held_out],
        [message for message in messages if message.core in held_out],
    )


def _write_carelessly(text: str, slang: Mapping[str, str], random: Random) -> str:
    manner = random.random()
    if manner < 0.3:
        return text[0].upper() + text[1:]
    if manner < 0.4:
        return text.upper()
    if manner < 0.55:
        for word, short in slang.items():
            text = text.replace(word, short)
    letters = list(text.lower())
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        place = random.randrange(len(letters) - 1)
        match random.randrange(4):
            case 0:
                letters[place : place + 2] = letters[place : place + 2][::-1]
            case 1:
                del letters[place]
            case 2:
                letters.insert(place, letters[place])
            case _:
                letters[place] = random.choice(ascii_lowercase)
    return "".join(letters)
