"""What people who collect music paste into a profile: lists of titles, codes, tablature, keys, long addresses."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from urllib.parse import quote
from uuid import UUID

from sb_api.synthetic.parts import Pools, common_words, make_band_name, weighted

# A line of a list; its number, title, artist, year, running time, mark out of five and code are filled in.
_LINES = (
    "{number}. {title}",
    "{number:02d}. {title} {time}",
    "{number:02d} - {title} ({time})",
    "{number}) {artist} - {title}",
    "{side}{number} {title} {time}",
    "{title} - {time}",
    "{title} ({year})",
    "{artist} - {title} ({year})",
    "{year}: {title}",
    "{year} - {artist}",
    "- {title}",
    "- {artist}, {title} [{code}]",
    "* {title} {mark}/5",
    "{title}: {mark}/5",
    "{artist} {stars}",
    "{code} {title}",
    "{code}",
    "{title}",
)
_BETWEEN = ("\n", "\n", "\n", "\n", " / ", ", ")
_ADDRESSES = (
    "https://musicbrainz.org/release/{mbid}",
    "https://musicbrainz.org/artist/{mbid}",
    "https://www.youtube.com/watch?v={letters}&list={letters}",
    "https://www.amazon.com/dp/{code}/ref=sr_1_1?keywords={quoted}&qid={long}&sr=8-1",
    "https://www.google.com/search?q={quoted}&oq={quoted}&sourceid=chrome&ie=UTF-8",
    "https://www.discogs.com/release/{long}-{quoted}",
    "https://open.spotify.com/album/{letters}?si={letters}",
    "https://{language}.wikipedia.org/wiki/{quoted}",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_CHORDS = ("Am", "F", "C", "G", "Dm", "Em", "E7", "Bb", "D", "A")


def write_list(rng: Random, pools: Pools, language: str) -> str:
    """A list of some kind, with titles in the words of the language."""
    write = weighted(
        rng, ((70, _list_titles), (8, _list_codes), (12, _list_addresses), (6, _tablature), (4, _public_key))
    )
    return write(rng, pools, language)


def _title(rng: Random, language: str) -> str:
    words, sums = common_words(language)
    words, sums = (words, sums) if words else common_words("en")
    chosen = " ".join(rng.choices(words, cum_weights=sums, k=rng.choice((1, 1, 2, 2, 3, 4))))
    return chosen.title() if rng.random() < 0.6 else chosen.capitalize()


def _code(rng: Random) -> str:
    """A number of a release as labels, shops and standards give them."""
    return rng.choice(
        (
            f"{''.join(rng.choices(_LETTERS[26:52], k=rng.randint(2, 4)))} {rng.randint(1, 9999):03d}",
            f"GB{''.join(rng.choices(_LETTERS[26:52], k=3))}{rng.randrange(10**7):07d}",
            f"{rng.randrange(10**12):013d}",
            f"{rng.getrandbits(32):08X}",
            f"B0{''.join(rng.choices(_LETTERS[26:], k=8))}",
        )
    )


def _letters(rng: Random, count: int) -> str:
    return "".join(rng.choices(_LETTERS, k=count))


def _repeat(rng: Random, most: int, write: Callable[[int], str]) -> str:
    count = min(2 + int(rng.expovariate(1 / 6)), most)
    return rng.choice(_BETWEEN).join(write(number) for number in range(1, count + 1))


def _list_titles(rng: Random, pools: Pools, language: str) -> str:
    line = rng.choice(_LINES)

    def write(number: int) -> str:
        return line.format(
            number=number,
            title=_title(rng, language),
            artist=make_band_name(rng, pools, language),
            year=rng.randint(1955, 2026),
            time=f"{rng.randint(1, 9)}:{rng.randrange(60):02d}",
            mark=rng.randint(1, 5),
            stars="★" * rng.randint(1, 5),
            code=_code(rng),
            side=rng.choice("AB"),
        )

    return _repeat(rng, 30, write)


def _list_codes(rng: Random, _: Pools, __: str) -> str:
    mbids = rng.random() < 0.5
    return _repeat(rng, 12, lambda _: _mbid(rng) if mbids else _code(rng))


def _mbid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def _list_addresses(rng: Random, _: Pools, language: str) -> str:
    def write(_: int) -> str:
        return rng.choice(_ADDRESSES).format(
            mbid=_mbid(rng),
            letters=_letters(rng, rng.choice((11, 22))),
            code=_code(rng).replace(" ", ""),
            quoted=quote(_title(rng, language).replace(" ", rng.choice(("_", "+", "-")))),
            long=rng.randint(10**5, 10**8),
            language=language,
        )

    return write(1) if rng.random() < 0.5 else _repeat(rng, 8, write)


def _tablature(rng: Random, _: Pools, __: str) -> str:
    if rng.random() < 0.4:
        return "\n".join(" ".join(rng.choices(_CHORDS, k=8)) for _ in range(rng.randint(1, 6)))
    frets = [
        f"{string}|{''.join(rng.choices(('-', '-', '-', '--', '7', '2', '0', '12', 'h'), k=24))}|"
        for string in "eBGDAE"
    ]
    return "\n".join(frets)


def _public_key(rng: Random, _: Pools, __: str) -> str:
    if rng.random() < 0.4:
        return f"ssh-ed25519 {_letters(rng, 68)}"
    lines = [_letters(rng, 64) for _ in range(rng.randint(6, 14))]
    return "\n".join(("-----BEGIN PGP PUBLIC KEY BLOCK-----", "", *lines, "-----END PGP PUBLIC KEY BLOCK-----"))
