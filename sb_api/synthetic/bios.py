"""Texts of synthetic accounts: filled-in sentences, ordinary talk, links in their markups, editors' bios."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

from sb_api.synthetic import phrases
from sb_api.synthetic.evasions import LINK, WAYS, disguise
from sb_api.synthetic.lists import write_list
from sb_api.synthetic.parts import Pools, common_words, make_band_name, make_brand, make_url, weighted
from sb_api.synthetic.phrases import languages

_LINK = re.compile(f"({LINK})")
_SPIN = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE_ENDS = (".", ".", ".", "", "", "!", "...", "?")
_LABELS = ("", "", "{name}: ", "- ", "music: ", "me on {name}: ", "see ")
# Of the bios of editors and of spammers' pitches, how many are of words that nobody else writes. What is made up holds
# each word many times on one side or the other; without these no account would say what to think of words that are
# unknown, and chance would decide. People write them far more often than spammers, in more ways and languages.
UNKNOWN_SHARES = (0.11, 0.006)
_QUOTES = ('"{}"', "“{}”", "«{}»", "'{}'")
_REPORTS = ("spam: {}", "I report accounts that write {}", "deleted again: {}", "not interested in {}", "no {} please")


class Slots(dict[str, str]):
    """Fills the slots of one account's sentences, so that it keeps one name, city, brand, phone and link."""

    def __init__(self, rng: Random, pools: Pools, language: str, keywords: Sequence[str], **given: str) -> None:
        super().__init__(given)
        self._rng, self._pools, self._language, self._keywords = rng, pools, language, keywords

    def __missing__(self, slot: str) -> str:
        rng, pools, language = self._rng, self._pools, self._language
        if slot == "genre":
            return rng.choice(phrases.GENRES)
        if slot == "artist":
            return make_band_name(rng, pools, language)
        if slot == "number":
            return str(rng.choice((rng.randint(2, 30), rng.randrange(20, 100, 10))))
        if slot == "price":
            return str(rng.randint(5, 99))
        if slot == "year":
            return str(rng.randint(1975, 2026))
        if slot == "keyword":
            return rng.choice(self._keywords)
        kept = {"name": pools.names, "city": pools.cities, "phone": pools.phones}
        value = rng.choice(kept[slot][language]) if slot in kept else make_band_name(rng, pools, language)
        self[slot] = value
        return value


def write(rng: Random, templates: Sequence[str], slots: Mapping[str, str], separator: str) -> str:
    """The sentences with an alternative picked in every `[a|b]`, and their slots filled."""

    def pick(match: re.Match[str]) -> str:
        alternatives: list[str] = match[1].split("|")
        return rng.choice(alternatives).strip()

    return separator.join(_SPIN.sub(pick, template).format_map(slots) for template in templates)


def put_in_unknown_words(rng: Random, text: str, language: str) -> str:
    """The text with the letters of its language exchanged for others of their script by chance, but for its links: it
    looks as before, by its length, its scripts and its marks, and none of its words is known."""
    table: dict[int, str] = {}
    for letters in alphabets(language):
        for letter, other in zip(letters, rng.sample(letters, len(letters)), strict=True):
            table |= {ord(letter): other, ord(letter.upper()): other.upper()}
    parts = _LINK.split(text)
    return "".join(part if place % 2 else part.translate(table) for place, part in enumerate(parts))


@cache
def alphabets(language: str) -> tuple[str, ...]:
    """The small letters that the language's sentences are written with, those of each script in order; without those
    whose capital is more than one letter."""
    known = languages()[language]
    said = set("".join((*known.everyday, *itertools.chain.from_iterable(known.spam.values()))).lower())
    by_script: dict[str, str] = {}
    for letter in sorted(filter(str.isalpha, said)):
        if len(letter.upper()) == 1:
            script = unicodedata.name(letter).partition(" ")[0]
            by_script[script] = by_script.get(script, "") + letter
    return tuple(by_script.values())


def searched_for(rng: Random, kind: str, language: str) -> tuple[str, ...]:
    """The keywords of a kind of spam in the language, or the English ones, which are used everywhere now and then."""
    return languages()["en" if rng.random() < 0.12 else language].keywords[kind]


def make_link(style: str, url: str, text: str) -> str:
    """The link in the markup of `style`; for an unknown style such as "none" the text alone."""
    full = url if "://" in url else f"http://{url}"
    return {
        "plain": full,
        "html": f'<a href="{full}">{text}</a>',
        "bbcode": f"[url={full}]{text}[/url]",
        "markdown": f"[{text}]({full})",
        "wiki": f"[{full}|{text}]",
    }.get(style, text)


def talk(rng: Random, language: str, slots: Slots, count: int) -> str:
    """`count` sentences about anything, written or made of the language's common words: the same on both sides."""
    known = languages()[language]
    words, sums = common_words(language)
    sentences = []
    for _ in range(count):
        if words and rng.random() < 0.5:
            length = min(2 + int(rng.expovariate(1 / 6)), 25)
            chosen = rng.choices(words, cum_weights=sums, k=length)
            text = ("" if known.unspaced else " ").join(chosen)
            sentences.append(text[:1].upper() + text[1:] + rng.choice(_SENTENCE_ENDS))
        else:
            source = known.everyday
            if known.chat and rng.random() < 0.6:
                source = known.chat if rng.random() < 0.55 else known.questions
            sentences.append(write(rng, [rng.choice(source)], slots, ""))
    text = " ".join(sentences)
    return text.lower() if rng.random() < 0.15 else text


def small_talk(rng: Random, language: str, slots: Slots, count: int) -> str:
    """`count` sentences about music, as many as the language has."""
    sentences = languages()[language].editors["listener"]
    return write(rng, rng.sample(sentences, min(count, len(sentences))), slots, " ")


def quote_spam(rng: Random, pools: Pools, language: str) -> str:
    """Some words of what spammers write in the language, in quotation marks: titles, reports, jokes."""
    kind = rng.choice(tuple(languages()[language].spam))
    if rng.random() < 0.5:
        return rng.choice(("{}", *_QUOTES)).format(rng.choice(searched_for(rng, kind, language)))
    slots = Slots(rng, pools, language, searched_for(rng, kind, language), link="", phone="")
    said = write(rng, [rng.choice(languages()[language].spam[kind])], slots, " ")
    words = said.split()
    if len(words) < 3:
        start, length = rng.randrange(max(len(said) - 4, 1)), rng.randint(3, 12)
        snippet = said[start : start + length]
    else:
        start, length = rng.randrange(len(words)), rng.randint(1, 6)
        snippet = " ".join(words[start : start + length])
    return rng.choice(_QUOTES).format(snippet.strip(" .,:;"))


def write_editor_bio(rng: Random, pools: Pools, kind: str, language: str, host: str) -> str:
    """The bio of an editor, who links to `host` or to a public one and writes of the spammers' trades now and then."""
    if rng.random() < 0.06:
        return rng.choice(phrases.SHORT_BIOS)
    keywords = searched_for(rng, rng.choice(tuple(languages()[language].spam)), language)
    brand = make_band_name(rng, pools, language)
    target = host if host and rng.random() < 0.7 else rng.choice(phrases.PUBLIC_HOSTS)
    style = rng.choice(("plain", "plain", "plain", "wiki", "html", "bbcode", "none", "none"))
    link = make_link(style, make_url(rng, pools, target), brand)
    slots = Slots(rng, pools, language, keywords, brand=brand, link=link)
    bio = _of_kind(rng, pools, kind, language, slots)
    if host and target == host and rng.random() < 0.15:
        bio += f" {link}"
    if rng.random() < 0.015:
        bio = f"{bio}\n{write_list(rng, pools, language)}"
    if rng.random() < 0.07:
        bio += " " + quote_spam(rng, pools, language)
    if rng.random() < UNKNOWN_SHARES[0]:
        bio = put_in_unknown_words(rng, bio, language)
    # Bands and people who like how it looks.
    return disguise(rng, bio, rng.randrange(WAYS), 0.3) if rng.random() < 0.008 else bio


def _of_kind(rng: Random, pools: Pools, kind: str, language: str, slots: Slots) -> str:
    known = languages()[language]
    if kind == "person":
        return talk(rng, language, slots, rng.choice((1, 1, 2, 3, 4, 6, 9)))
    if kind == "introduction":
        said = write(rng, rng.sample(known.introductions, rng.choice((1, 1, 2))), slots, rng.choice((" ", " ", "\n")))
        return f"{said} {talk(rng, language, slots, rng.choice((1, 2)))}" if rng.random() < 0.4 else said
    if kind == "chatter":
        return talk(rng, language, slots, rng.choice((1, 1, 1, 2, 3)))
    if kind == "lister":
        listed = write_list(rng, pools, language)
        return listed if rng.random() < 0.5 else f"{talk(rng, language, slots, 1)}\n{listed}"
    if kind == "linker":
        hosts = rng.sample(phrases.PUBLIC_HOSTS, rng.randint(2, 7))
        lines = [
            rng.choice(_LABELS).format(name=host.split(".")[0].title()) + make_url(rng, pools, host) for host in hosts
        ]
        return rng.choice((" ", "\n", " | ")).join(lines)
    if kind == "guardian":
        reports = [
            rng.choice(_REPORTS).format(quote_spam(rng, pools, language)) for _ in range(rng.choice((1, 2, 4, 8)))
        ]
        return " ".join([talk(rng, language, slots, 1), *reports])
    if kind == "trade":
        sentences = known.editors.get("trade", known.editors.get("merchant", known.editors["listener"]))
        bio = write(rng, rng.sample(sentences, rng.choice((1, 1, 2))), slots, " ")
        if rng.random() < 0.12:
            bio += " " + write(rng, [rng.choice(known.polite)], slots, "")
        return f"{bio} {talk(rng, language, slots, rng.choice((1, 2)))}" if rng.random() < 0.6 else bio
    sentences = known.editors.get(kind, known.editors["listener"])
    templates = rng.sample(sentences, rng.randint(1 + len(sentences) // 4, len(sentences)))
    if rng.random() < 0.35:
        templates += rng.sample(known.editors["listener"], 2)
    if rng.random() < 0.12:
        templates.append(rng.choice(known.calls))
    bio = write(rng, templates, slots, rng.choice((" ", " ", "\n")))
    if rng.random() < 0.6:
        said = talk(rng, language, slots, rng.choice((1, 2, 3, 6)))
        bio = f"{said} {bio}" if rng.random() < 0.4 else f"{bio} {said}"
    if rng.random() < 0.12:
        wanted = [make_band_name(rng, pools, language) for _ in range(int(rng.lognormvariate(3.3, 0.9)) + 3)]
        bio += "\n" + rng.choice((", ", "\n", " / ")).join(wanted)
    return bio


def write_wordless(rng: Random, link: str) -> str:
    """Invented names and a link, or only one of the two."""
    names = " ".join(make_brand(rng) for _ in range(rng.choice((1, 1, 2, 3))))
    return weighted(rng, ((40, f"{names} {link}"), (25, link), (20, names), (15, f"{link} {names} {link}")))
