"""The parts of a synthetic account: words, names, places, hosts and addresses, drawn from a `random.Random`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from random import Random
from typing import TypeVar

from disposable_email_domains import blocklist
from faker import Faker

from sb_api.synthetic import phrases
from sb_api.synthetic.phrases import languages

_TOP_LEVEL = (*["com"] * 9, "net", "net", "org", "org", "info", "co", "io", "online", "site", "xyz", "club", "top",
              "de", "me", "app", "eu", "dev", "shop", "store", "blog", "art", "live", "space", "us")  # fmt: skip
_COUNTRY_TOP_LEVEL = {
    "vi": "vn", "ja": "jp", "ar": "sa", "zh": "cn", "pt": "com.br", "en": "co.uk", "sv": "se", "da": "dk", "nb": "no",
    "cs": "cz", "uk": "ua", "el": "gr", "fa": "ir", "ur": "pk", "he": "co.il", "hi": "in", "bn": "com.bd", "ta": "in",
    "ko": "kr", "hy": "am", "ka": "ge", "sl": "si", "et": "ee", "ca": "cat", "ms": "my", "fil": "ph", "tr": "com.tr",
}  # fmt: skip
# One disposable domain in ten is kept for the campaigns, so that theirs are never in the training data.
_CAMPAIGN_DOMAINS = 10
_PROVIDERS = [
    f"faker.providers.{name}" for name in ("person", "address", "date_time", "internet", "phone_number", "lorem")
]
_COMMON_WORDS = {"en": 8000}
_OTHER_COMMON_WORDS = 2000
_FUNCTION_WORDS = 60
_SYLLABLES = tuple(onset + rhyme for onset in phrases.ONSETS for rhyme in phrases.RHYMES)
_LETTERS = re.compile(r"[^\d_]+").fullmatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pools:
    """What Faker is asked for once: by language names, places, user names, phone numbers and free mail domains."""

    names: Mapping[str, tuple[str, ...]]
    cities: Mapping[str, tuple[str, ...]]
    users: Mapping[str, tuple[str, ...]]
    phones: Mapping[str, tuple[str, ...]]
    free_mail: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...]
    disposable: tuple[str, ...]
    campaign_disposable: tuple[str, ...]


@cache
def build_pools() -> Pools:
    """Ask Faker for the pools, once a process (about 0.5 s); they are the same in all of them."""
    # The pools are the same for every seed: names are common knowledge, the combinations are what a seed decides.
    fakers = {code: Faker(language.locale, providers=_PROVIDERS) for code, language in languages().items()}
    for faker in fakers.values():
        faker.seed_instance(20240601)

    def draw(method: str, count: int) -> dict[str, tuple[str, ...]]:
        # Some locales lack a provider; people there get what English has.
        makers = {code: getattr(faker, method, getattr(fakers["en"], method)) for code, faker in fakers.items()}
        return {code: tuple(str(make()) for _ in range(count)) for code, make in makers.items()}

    disposable = sorted({*blocklist, *phrases.known_domains().spam_mail, *phrases.known_domains().shared_mail})
    return Pools(
        names=draw("name", 150),
        cities=draw("city", 60) | {code: language.cities for code, language in languages().items() if language.cities},
        users=draw("user_name", 150),
        phones=draw("phone_number", 60),
        free_mail={
            code: tuple(faker.free_email_domain() for _ in range(30)) + language.mail * 10
            for (code, language), faker in zip(languages().items(), fakers.values(), strict=True)
        },
        words=tuple(sorted({fakers["en"].word().lower() for _ in range(800)})),
        disposable=tuple(name for place, name in enumerate(disposable) if place % _CAMPAIGN_DOMAINS),
        campaign_disposable=tuple(disposable[::_CAMPAIGN_DOMAINS]),
    )


@cache
def common_words(code: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """A language's most common words and the running sum of how often each is written; two empty tuples for none."""
    if not (name := languages()[code].words):
        return (), ()
    # Here, because it takes a quarter of a second to import, and who only predicts has no use for it.
    from wordfreq import get_frequency_list

    marks = {mark for campaign in phrases.CAMPAIGNS for mark in campaign.marks}
    usual: dict[str, float] = {}
    most = _COMMON_WORDS.get(code, _OTHER_COMMON_WORDS)
    # Lists of words by hundredths of a power of ten.
    for place, bucket in enumerate(get_frequency_list(name, "small")):
        usual.update((word, 10 ** (-0.0075 * place)) for word in sorted(bucket) if _LETTERS(word) and word not in marks)
        if len(usual) >= most:
            break
    # Flatter than the language is, so that the rare ones occur, but for the head: half of what people write.
    head = sum(islice(usual.values(), _FUNCTION_WORDS))
    tail = sum(usual.values()) - head
    weights = (weight * (tail / head if rank < _FUNCTION_WORDS else 1) for rank, weight in enumerate(usual.values()))
    return tuple(usual), tuple(accumulate(weights))


def free_mail_domains(pools: Pools) -> frozenset[str]:
    """The mail domains that are nobody's own."""
    return frozenset(phrases.COMMON_MAIL).union(*pools.free_mail.values())


def weighted(rng: Random, choices: Sequence[tuple[int, T]]) -> T:
    """One of the `(weight, choice)` pairs' choices, by weight."""
    return rng.choices([choice for _, choice in choices], [weight for weight, _ in choices])[0]


def choose_language(rng: Random) -> str:
    """One of the languages, by its share of all accounts."""
    return weighted(rng, [(language.share, code) for code, language in languages().items()])


def make_brand(rng: Random) -> str:
    """A name that means nothing in any language."""
    return "".join(rng.choices(_SYLLABLES, k=rng.choice((2, 2, 3)))).title()


def make_host(rng: Random, pools: Pools, words: Sequence[str], language: str) -> str:
    """A new host name made of the given words and of words that every kind of site uses."""
    parts = [rng.choice(words)]
    parts.append(rng.choice(phrases.COMMON_HOST_WORDS if rng.random() < 0.4 else pools.words))
    if rng.random() < 0.5:
        parts.append(rng.choice(phrases.COMMON_HOST_WORDS if rng.random() < 0.5 else words))
    rng.shuffle(parts)
    return add_ending(rng, ("-" if rng.random() < 0.18 else "").join(parts), language)


def make_brand_host(rng: Random, language: str) -> str:
    """A new host name of nothing but an invented name."""
    return add_ending(rng, make_brand(rng).lower() + rng.choice(("", "", "", "a", "ly", "o")), language)


def add_ending(rng: Random, label: str, language: str) -> str:
    """The label, now and then with a number, on a platform, in the language's country or anywhere."""
    label += str(rng.randint(1, 999)) if rng.random() < 0.15 else ""
    if rng.random() < 0.1:
        return f"{label}.{rng.choice(phrases.PLATFORMS)}"
    local = rng.random() < (0.05 if language == "en" else 0.43)
    return f"{label}.{_COUNTRY_TOP_LEVEL.get(language, language) if local else rng.choice(_TOP_LEVEL)}"


def public_host(rng: Random, social: float) -> str:
    """A site where anybody may have a page, with the probability `social` one of those that everybody knows."""
    return rng.choice(phrases.SOCIAL_HOSTS if rng.random() < social else phrases.PUBLIC_HOSTS)


def make_url(rng: Random, pools: Pools, host: str) -> str:
    """An address on the host, a user's page on a public one; two in a hundred lack the scheme."""
    scheme = "" if rng.random() < 0.02 else "https://" if rng.random() < 0.6 else "http://"
    prefix = "www." if host.count(".") == 1 and rng.random() < 0.4 and host not in phrases.PUBLIC_HOSTS else ""
    if host in phrases.PUBLIC_HOSTS:
        path = "/" + rng.choice(pools.users["en"]) + str(rng.randint(1, 99))
    else:
        path = "/" if rng.random() < 0.6 else "" if rng.random() < 0.5 else f"/{rng.choice(pools.words)}"
    return f"{scheme}{prefix}{host}{path}"


def make_band_name(rng: Random, pools: Pools, language: str) -> str:
    """The name of a person or a band; band names hold the words that spammers advertise with."""
    chance = rng.random()
    if chance < 0.35:
        return rng.choice(pools.names[language])
    if chance < 0.42:
        return make_brand(rng)
    if chance < 0.75:
        return f"{rng.choice(('The ', '', ''))}{' '.join(rng.choices(common_words('en')[0], k=2)).title()}"
    return f"{rng.choice(('The ', '', ''))}{rng.choice(phrases.BAND_WORDS)} {rng.choice(phrases.BAND_NOUNS)}"


def make_place(rng: Random, pools: Pools, language: str) -> str:
    """A place as people write it: a city, a country, or both."""
    city, country = rng.choice(pools.cities[language]), languages()[language].country
    return weighted(rng, ((45, city), (30, country), (25, f"{city}, {country}")))


def make_user_name(rng: Random, pools: Pools, language: str, own: str) -> str:
    """A user name: one of the usual kind, made of the person's name or of common words, or `own`."""
    number = str(rng.randint(1, 2010)) if rng.random() < 0.45 else ""
    words = common_words("en")[0]
    choice = weighted(rng, ((45, "user"), (12, "name"), (18, "words"), (10, "brand"), (15, "own")))
    if choice == "user":
        return rng.choice(pools.users[language]) + number
    if choice == "name":
        return rng.choice(pools.names[language])
    if choice == "words":
        return rng.choice(("", "_", "-")).join(rng.choices(words, k=2)) + number
    return (make_brand(rng) if choice == "brand" or not own else own) + number


def free_mail_domain(rng: Random, pools: Pools, language: str) -> str:
    """A free mail provider, a local one half the time where the language has some."""
    if language != "en" and rng.random() < 0.5:
        return rng.choice(pools.free_mail[language])
    return rng.choices(tuple(phrases.COMMON_MAIL), tuple(phrases.COMMON_MAIL.values()))[0]


def make_mail_domain(rng: Random, pools: Pools, endings: Sequence[str]) -> str:
    """A new mail domain of two English words and one of the endings."""
    return f"{rng.choice(pools.words)}{rng.choice(pools.words)}{rng.choice(endings)}"


def make_address(rng: Random, pools: Pools, language: str, domain: str) -> str:
    """An e-mail address at the domain, with digits half the time."""
    digits = str(rng.randint(1, 9999)) if rng.random() < 0.5 else ""
    return f"{rng.choice(pools.users[language])}{digits}@{domain}"


def make_campaign_host(rng: Random, host_words: Sequence[str]) -> str:
    """A new host name that holds one of the campaign's words, so that no other generated host can equal it."""
    words = [rng.choice(host_words), rng.choice(phrases.COMMON_HOST_WORDS)]
    rng.shuffle(words)
    return f"{''.join(words)}{rng.randint(2, 99)}.{rng.choice(('com', 'net', 'info', 'online'))}"
