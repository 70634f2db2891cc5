"""The parts of a synthetic account: names, hosts, addresses, sentences and dates, drawn from a `random.Random`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from math import log
from random import Random
from typing import TypeVar

from disposable_email_domains import blocklist
from faker import Faker

from sb_api.synthetic import phrases as phrases

_SPIN = re.compile(r"\[([^\[\]]*)\]")
_TOP_LEVEL = (*["com"] * 9, "net", "net", "org", "org", "info", "co", "io", "online", "site", "xyz", "club", "top")
_COUNTRY_TOP_LEVEL = {"vi": "vn", "ja": "jp", "ar": "sa", "zh": "cn", "pt": "com.br", "en": "co.uk"}
# One disposable domain in ten is kept for the campaigns, so that theirs are never in the training data.
_CAMPAIGN_DOMAINS = 10
# Row numbers of MusicBrainz areas that editors name most often, the United States (222) first.
_AREAS = (222, 221, 1178, 7020, 81, 99, 73, 38, 13, 7703, 30, 11042, 105, 100, 194, 150)

REFERENCE_TIME = datetime(2024, 6, 1)
"""The "now" of every account: none of its dates is later."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Habits:
    """How an account is used. Medians are minutes since registration, `spread` is the sigma of their logarithm."""

    confirm_share: float
    confirm: float
    update_share: float
    update: float
    login: float
    spread: float
    gender_share: float
    genders: tuple[int, int, int] = (78, 14, 8)
    birth_share: float = 0.1
    area_share: float = 0.02
    odd_share: float = 0.01
    privs_share: float = 0.003


@dataclass(frozen=True, slots=True)
class Pools:
    """What Faker is asked for once: by language names, cities, user names, phone numbers and free mail domains."""

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
    """Ask Faker for the pools, once a process (about 0.1 s); they are the same in all of them."""
    # The pools are the same for every seed: names are common knowledge, the combinations are what a seed decides.
    fakers = {language: Faker(locale) for language, (locale, _) in phrases.LANGUAGES.items()}
    for faker in fakers.values():
        faker.seed_instance(20240601)

    def draw(method: str, count: int) -> dict[str, tuple[str, ...]]:
        return {
            language: tuple(str(getattr(faker, method)()) for _ in range(count)) for language, faker in fakers.items()
        }

    disposable = sorted(blocklist)
    return Pools(
        names=draw("name", 150),
        cities=draw("city", 60),
        users=draw("user_name", 150),
        phones=draw("phone_number", 60),
        free_mail=draw("free_email_domain", 60),
        words=tuple(sorted({fakers["en"].word().lower() for _ in range(800)})),
        disposable=tuple(name for place, name in enumerate(disposable) if place % _CAMPAIGN_DOMAINS),
        campaign_disposable=tuple(disposable[::_CAMPAIGN_DOMAINS]),
    )


def free_mail_domains(pools: Pools) -> frozenset[str]:
    """The mail domains that are nobody's own."""
    return frozenset(phrases.COMMON_MAIL).union(*pools.free_mail.values())


def weighted(rng: Random, choices: Sequence[tuple[int, T]]) -> T:
    """One of the `(weight, choice)` pairs' choices, by weight."""
    return rng.choices([choice for _, choice in choices], [weight for weight, _ in choices])[0]


def choose_language(rng: Random, languages: Sequence[str]) -> str:
    """One of the languages, by its share of all accounts."""
    return weighted(rng, [(phrases.LANGUAGES[language][1], language) for language in languages])


def make_host(rng: Random, pools: Pools, words: Sequence[str], language: str) -> str:
    """A new host name made of the given words and of words that every kind of site uses."""
    parts = [rng.choice(words)]
    parts.append(rng.choice(phrases.COMMON_HOST_WORDS if rng.random() < 0.4 else pools.words))
    if rng.random() < 0.5:
        parts.append(rng.choice(phrases.COMMON_HOST_WORDS if rng.random() < 0.5 else words))
    rng.shuffle(parts)
    label = ("-" if rng.random() < 0.18 else "").join(parts) + (str(rng.randint(1, 999)) if rng.random() < 0.15 else "")
    if rng.random() < 0.1:
        return f"{label}.{rng.choice(phrases.PLATFORMS)}"
    local = rng.random() < (0.05 if language == "en" else 0.43)
    return f"{label}.{_COUNTRY_TOP_LEVEL.get(language, language) if local else rng.choice(_TOP_LEVEL)}"


def make_url(rng: Random, pools: Pools, host: str) -> str:
    """An address on the host, a user's page on a public one; two in a hundred lack the scheme."""
    scheme = "" if rng.random() < 0.02 else "https://" if rng.random() < 0.45 else "http://"
    prefix = "www." if host.count(".") == 1 and rng.random() < 0.4 and host not in phrases.PUBLIC_HOSTS else ""
    if host in phrases.PUBLIC_HOSTS:
        path = "/" + rng.choice(pools.users["en"]) + str(rng.randint(1, 99))
    else:
        path = "/" if rng.random() < 0.6 else "" if rng.random() < 0.5 else f"/{rng.choice(pools.words)}"
    return f"{scheme}{prefix}{host}{path}"


def make_band_name(rng: Random, pools: Pools, language: str) -> str:
    """The name of a person or a band; band names hold the words that spammers advertise with."""
    if rng.random() < 0.35:
        return rng.choice(pools.names[language])
    return f"{rng.choice(('The ', '', ''))}{rng.choice(phrases.BAND_WORDS)} {rng.choice(phrases.BAND_NOUNS)}"


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
            return str(rng.randint(1975, 2024))
        if slot == "keyword":
            return rng.choice(self._keywords)
        kept = {"name": pools.names, "city": pools.cities, "phone": pools.phones}
        value = rng.choice(kept[slot][language]) if slot in kept else make_band_name(rng, pools, language)
        self[slot] = value
        return value


def write(rng: Random, templates: Sequence[str], slots: Slots, separator: str) -> str:
    """The sentences with an alternative picked in every `[a|b]`, and their slots filled."""

    def pick(match: re.Match[str]) -> str:
        alternatives: list[str] = match[1].split("|")
        return rng.choice(alternatives).strip()

    return separator.join(_SPIN.sub(pick, template).format_map(slots) for template in templates)


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


def make_record(
    rng: Random, identity: int, email: str | None, website: str | None, bio: str | None, habits: Habits, born: datetime
) -> dict[str, object]:
    """The record of an account registered at `born` and used as `habits` says."""

    def after(minutes: float) -> datetime:
        time = born + timedelta(minutes=rng.lognormvariate(log(minutes), habits.spread))
        return time if time <= REFERENCE_TIME else born + (REFERENCE_TIME - born) * rng.random() ** 0.5

    # Who has a bio or a website must have saved the profile once, unless the row is older than that column.
    update_share = 0.97 if bio or website else habits.update_share
    updated = after(habits.update) if rng.random() < update_share else born
    login = after(habits.login) if rng.random() > 0.08 else born
    if login < updated - timedelta(hours=2):
        login = updated - timedelta(minutes=rng.uniform(0, 120))
    dates: dict[str, datetime | None] = {
        "member_since": born,
        "email_confirm_date": after(habits.confirm) if email and rng.random() < habits.confirm_share else None,
        "last_updated": updated,
        "last_login_date": login,
    }
    if rng.random() < habits.odd_share:
        # Old rows: times that were never stored, were stored later, or come from an imported table.
        name = rng.choice(("member_since", "email_confirm_date", "last_updated", "last_login_date"))
        dates[name] = None if rng.random() < 0.6 else born - timedelta(days=rng.randint(1, 400))
    birth = None
    if rng.random() < habits.birth_share:
        birth = datetime(rng.randint(1950, 2004), 1, 1) + timedelta(days=rng.randrange(365))
    area = None
    if rng.random() < habits.area_share:
        area = rng.choice(_AREAS) if rng.random() < 0.5 else rng.randint(1, 120_000)
    gender = rng.choices((1, 2, 3), habits.genders)[0] if rng.random() < habits.gender_share else None
    # 1 auto-editor, 2 bot, 4 untrusted, 8 relationship editor, 1024 may not add notes; spammers get the latter.
    privs = rng.choice((1, 1, 2, 4, 8, 9, 1024)) if rng.random() < habits.privs_share else 0
    record: dict[str, object] = {
        "id": identity, "email": email, "website": website, "bio": bio, "area": area, "privs": privs,
        "gender": gender, "birth_date": birth and birth.isoformat(),
    }  # fmt: skip
    record.update((name, date and date.isoformat(timespec="seconds")) for name, date in dates.items())
    return record


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


def write_editor_bio(rng: Random, pools: Pools, language: str, sentences: Sequence[str], host: str) -> str:
    """The bio of an editor, who links to `host` or to a public one and writes of the spammers' trades now and then."""
    if rng.random() < 0.06:
        return rng.choice(phrases.SHORT_BIOS)
    keywords = phrases.KEYWORDS[rng.choice(tuple(phrases.KEYWORDS))]
    brand = make_band_name(rng, pools, language)
    target = host if host and rng.random() < 0.7 else rng.choice(phrases.PUBLIC_HOSTS)
    style = rng.choice(("plain", "plain", "plain", "wiki", "html", "bbcode", "none", "none"))
    link = make_link(style, make_url(rng, pools, target), brand)
    slots = Slots(rng, pools, language, keywords, brand=brand, link=link)
    templates = rng.sample(sentences, rng.randint(1 + len(sentences) // 4, len(sentences)))
    if rng.random() < 0.35:
        templates += rng.sample(phrases.EDITOR_SENTENCES["listener"][language], 2)
    if rng.random() < 0.12:
        templates.append(rng.choice(phrases.CALLS[language]))
    bio = write(rng, templates, slots, rng.choice((" ", " ", "\n")))
    if rng.random() < 0.12:
        wanted = [make_band_name(rng, pools, language) for _ in range(int(rng.lognormvariate(3.3, 0.9)) + 3)]
        bio += "\n" + rng.choice((", ", "\n", " / ")).join(wanted)
    return bio


def make_campaign_host(rng: Random, host_words: Sequence[str]) -> str:
    """A new host name that holds one of the campaign's words, so that no other generated host can equal it."""
    words = [rng.choice(host_words), rng.choice(phrases.COMMON_HOST_WORDS)]
    rng.shuffle(words)
    return f"{''.join(words)}{rng.randint(2, 99)}.{rng.choice(('com', 'net', 'info', 'online'))}"
