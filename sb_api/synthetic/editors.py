"""A seeded generator of MusicBrainz-like editor accounts, spam and not, on which the shipped classifier is trained.

The real accounts are private. What is public of them (the MetaBrainz counts of 2018: how often e-mail, gender, area and
privileges are set on either side) sets the shares here, docs/data-pipeline.md says which and why; the rest is made up.
Spam and editors overlap in every field and differ in combinations: spam comes from operators that reuse hosts, mail
domains, templates and habits. Ordinary talk in all languages is the same on both sides.

With the same versions of Faker, wordfreq and disposable-email-domains, the same seed gives the same accounts in every
process: nothing depends on the clock, the order of a set or global random state. It makes thousands of accounts a
second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from sb_api.synthetic import phrases
from sb_api.synthetic.accounts import REFERENCE_TIME, Habits, Profile, SyntheticEditor, make_record
from sb_api.synthetic.bios import write_editor_bio, write_wordless
from sb_api.synthetic.operators import HABITS, Operator, campaign_operator, new_operator
from sb_api.synthetic.parts import (
    Pools,
    add_ending,
    build_pools,
    choose_language,
    common_words,
    free_mail_domain,
    make_address,
    make_band_name,
    make_brand_host,
    make_host,
    make_mail_domain,
    make_place,
    make_url,
    make_user_name,
    public_host,
    weighted,
)
from sb_api.synthetic.phrases import CAMPAIGNS, languages
from sb_api.synthetic.split import split_by_host

__all__ = [
    "CAMPAIGNS",
    "REFERENCE_TIME",
    "SyntheticEditor",
    "generate_campaign",
    "generate_editors",
    "generate_in_language",
    "split_by_host",
]

_DAY = 24 * 60.0
_FIRST_EDITORS = datetime(2001, 1, 1)
_CAMPAIGN_IDS = 50_000_000
_EMPLOYER_ENDINGS = (".com", ".com", ".net", ".edu", ".ac.uk", ".de", ".org")

_LEFT = Habits(0.72, 7, 0.35, 12, 12, 1.9, 0.24, odd_share=0.03, area_share=0.05)
_NEWCOMER = Habits(0.85, 4, 0.95, 7, 6, 1.2, 0.6, birth_share=0.3, area_share=0.25, login_share=0.7)
_RETURNED = Habits(0.85, 10, 0.5, 3 * _DAY, 70 * _DAY, 1.9, 0.3, area_share=0.1, odd_share=0.03)
_REGULAR = Habits(0.93, 15, 0.8, 250 * _DAY, 1100 * _DAY, 1.3, 0.35, birth_share=0.2, area_share=0.2, privs_share=0.03)
_VETERAN = replace(_REGULAR, odd_share=0.6, privs_share=0.06)
_SLEEPER = Habits(0.9, 15, 0.9, 500 * _DAY, 520 * _DAY, 0.3, 0.3)
# Days before the reference time that a campaign registered, and its habits: not all behave like known spam.
_CAMPAIGN_HABITS = ((40, _LEFT), (60, HABITS[3][1]), (900, _SLEEPER), (300, _RETURNED), (40, HABITS[0][1]))


@dataclass(frozen=True, slots=True)
class _EditorKind:
    weight: int
    bio_share: float
    site_share: float
    lives: tuple[tuple[int, Habits], ...]
    sentences: str = ""


_QUIET_LIVES = ((66, _LEFT), (23, _RETURNED), (11, _REGULAR))
# Who fills in a profile does it at once as often as not: that alone is no sign of spam.
_OPEN_LIVES = ((45, _NEWCOMER), (8, _LEFT), (22, _RETURNED), (25, _REGULAR))
_EDITOR_LIVES = ((30, _NEWCOMER), (6, _LEFT), (24, _RETURNED), (40, _REGULAR))
_EDITOR_KINDS = {
    "silent": _EditorKind(650, 0.0, 0.04, _QUIET_LIVES),
    "listener": _EditorKind(110, 0.75, 0.4, _EDITOR_LIVES),
    "person": _EditorKind(70, 0.95, 0.55, _OPEN_LIVES),
    "introduction": _EditorKind(45, 1.0, 0.5, _OPEN_LIVES),
    "chatter": _EditorKind(45, 1.0, 0.3, _OPEN_LIVES),
    "collector": _EditorKind(65, 0.92, 0.5, _EDITOR_LIVES),
    "musician": _EditorKind(75, 0.8, 0.65, _OPEN_LIVES),
    "label": _EditorKind(28, 0.85, 0.8, _OPEN_LIVES),
    "archivist": _EditorKind(18, 0.9, 0.5, _EDITOR_LIVES),
    "worker": _EditorKind(35, 0.9, 0.55, _EDITOR_LIVES),
    "trade": _EditorKind(22, 0.9, 0.85, _OPEN_LIVES),
    "developer": _EditorKind(18, 0.8, 0.6, _EDITOR_LIVES),
    "linker": _EditorKind(14, 1.0, 0.4, _OPEN_LIVES),
    "lister": _EditorKind(10, 1.0, 0.3, _OPEN_LIVES),
    "guardian": _EditorKind(14, 1.0, 0.1, _EDITOR_LIVES),
    "wordless": _EditorKind(6, 1.0, 0.5, _OPEN_LIVES),
    "bot": _EditorKind(4, 0.9, 0.5, ((1, replace(_REGULAR, privs_share=0.5)),), "developer"),
    "merchant": _EditorKind(28, 0.85, 0.8, _OPEN_LIVES),
    "veteran": _EditorKind(15, 0.4, 0.2, ((1, _VETERAN),), "collector"),
}


def _again(rng: Random, recent: list[str], share: float, new: str) -> str:
    """`new`, or with the given probability one of the recent ones: labels and universities have several editors."""
    if recent and rng.random() < share:
        return rng.choice(recent)
    recent[:] = [*recent[-20:], new]
    return new


def _own_host(rng: Random, pools: Pools, language: str, name: str) -> str:
    """A host of somebody's own: after music, a trade, the owner, nothing, anything, or like a spammer's."""
    source = weighted(rng, ((24, "music"), (12, "trade"), (20, "name"), (20, "brand"), (12, "words"), (12, "spam")))
    if source == "brand":
        return make_brand_host(rng, language)
    if source == "words":
        return add_ending(rng, rng.choice(("", "", "-")).join(rng.choices(common_words("en")[0], k=2)), language)
    words = {
        "music": phrases.MUSIC_HOST_WORDS,
        "trade": phrases.TRADE_HOST_WORDS,
        "name": (name,),
        "spam": phrases.SPAM_HOST_WORDS[rng.choice(tuple(phrases.SPAM_HOST_WORDS))],
    }[source]
    if source == "name" and rng.random() < 0.5:
        return add_ending(rng, name + rng.choice(("", "", "music", "-blog", str(rng.randint(1, 99)))), language)
    return make_host(rng, pools, words, language)


def _real_editor(
    rng: Random,
    pools: Pools,
    identity: int,
    recent_hosts: list[str],
    recent_employers: list[str],
    language: str | None = None,
) -> SyntheticEditor:
    kind = rng.choices(tuple(_EDITOR_KINDS), [entry.weight for entry in _EDITOR_KINDS.values()])[0]
    entry = _EDITOR_KINDS[kind]
    language = language or choose_language(rng)
    name = rng.choice(pools.users[language])
    host = ""
    if rng.random() < entry.site_share:
        where = weighted(rng, ((28, "public"), (12, "platform"), (60, "own")))
        if where == "public":
            host = public_host(rng, 0.5)
        elif where == "platform":
            host = f"{name}{rng.randint(1, 999)}.{rng.choice(phrases.PLATFORMS)}"
        else:
            host = _again(rng, recent_hosts, 0.2, _own_host(rng, pools, language, name))
    born = _FIRST_EDITORS + (REFERENCE_TIME - _FIRST_EDITORS) * rng.random() ** 0.7
    email = None
    # Until 2011 an account needed no address.
    if rng.random() > (0.4 if born.year < 2011 else 0.05):
        own = host and host not in phrases.PUBLIC_HOSTS and rng.random() < 0.2
        source = weighted(rng, ((85, "free"), (11, "employer"), (4, "disposable")))
        if own:
            domain = host
        elif source == "employer":
            domain = _again(rng, recent_employers, 0.65, make_mail_domain(rng, pools, _EMPLOYER_ENDINGS))
        else:
            domain = rng.choice(pools.disposable) if source == "disposable" else free_mail_domain(rng, pools, language)
        email = make_address(rng, pools, language, domain)
    website = make_url(rng, pools, host) if host else None
    bio = None
    # Who has a site to show says who they are more often than not, and comes back or is here for the first time.
    if rng.random() < (max(entry.bio_share, 0.8) if host else entry.bio_share):
        if kind == "wordless":
            bio = write_wordless(rng, website or make_url(rng, pools, rng.choice(phrases.PUBLIC_HOSTS)))
        else:
            bio = write_editor_bio(rng, pools, entry.sentences or kind, language, host)
    own_name = rng.choice((host.split(".")[0], make_band_name(rng, pools, language))) if host else ""
    profile = Profile(
        make_user_name(rng, pools, language, own_name), email, website, bio, make_place(rng, pools, language)
    )
    lives = _OPEN_LIVES if kind == "silent" and host else entry.lives
    return SyntheticEditor(make_record(rng, identity, profile, weighted(rng, lives), born), 0, kind, host)


def generate_editors(count: int, seed: int, spam_share: float = 0.5) -> Iterator[SyntheticEditor]:
    """Yield `count` accounts in random order with unique ids, `round(count * spam_share)` of them spam.

    Raises ValueError when `count` is negative or `spam_share` is not between 0 and 1.
    """
    if count < 0:
        raise ValueError(f"count must not be negative, not {count}")
    if not 0 <= spam_share <= 1:
        raise ValueError(f"spam_share must be between 0 and 1, not {spam_share}")
    return _generate_editors(count, Random(f"editors {seed}"), round(count * spam_share))


def _generate_editors(count: int, rng: Random, spam_left: int) -> Iterator[SyntheticEditor]:
    pools = build_pools()
    operators: list[Operator] = []
    deck: list[str] = []
    recent_hosts: list[str] = []
    recent_employers: list[str] = []
    identity = 1000
    for left in range(count, 0, -1):
        identity += rng.randint(1, 9)
        # Selection sampling: exact shares without holding the accounts in memory.
        if rng.random() * left >= spam_left:
            yield _real_editor(rng, pools, identity, recent_hosts, recent_employers)
            continue
        spam_left -= 1
        operators = [operator for operator in operators if operator.left]
        while len(operators) < 30:
            # Dealt like cards: some operators have many accounts, and chance alone would give a language to one side.
            if not deck:
                deck = [code for code, language in languages().items() for _ in range(language.share)]
                rng.shuffle(deck)
            operators.append(new_operator(rng, pools, deck.pop()))
        yield rng.choice(operators).account(rng, pools, identity)


def generate_in_language(language: str, count: int, seed: int) -> Iterator[SyntheticEditor]:
    """Yield `count` accounts with a bio, all of one language, by turns spam and not, with ids from 1 on.

    Raises KeyError when there is no such language.
    """
    if language not in languages():
        raise KeyError(language)
    rng, pools = Random(f"language {language} {seed}"), build_pools()
    identities = itertools.count(1)
    hosts: list[str] = []
    employers: list[str] = []
    operators: list[Operator] = []
    made = 0
    while made < count:
        operators = [operator for operator in operators if operator.left] or [new_operator(rng, pools, language)]
        if made % 2:
            account = rng.choice(operators).account(rng, pools, next(identities))
        else:
            account = _real_editor(rng, pools, next(identities), hosts, employers, language)
        if account.record["bio"]:
            made += 1
            yield account


def generate_campaign(index: int, count: int, seed: int) -> Iterator[SyntheticEditor]:
    """Yield `count` spam accounts of campaign `index` (0 to len(CAMPAIGNS) - 1), a kind `generate_editors` never makes.

    Words, hosts, and all mail domains but the free ones are the campaign's own; so are the ids, by campaign.
    Raises ValueError when there is no such campaign or `count` is negative.
    """
    if not 0 <= index < len(CAMPAIGNS):
        raise ValueError(f"index must be between 0 and {len(CAMPAIGNS) - 1}, not {index}")
    if count < 0:
        raise ValueError(f"count must not be negative, not {count}")
    return _generate_campaign(index, count, Random(f"campaign {index} {seed}"))


def _generate_campaign(index: int, count: int, rng: Random) -> Iterator[SyntheticEditor]:
    pools = build_pools()
    operator = campaign_operator(rng, pools, index, count, _CAMPAIGN_HABITS)
    for place in range(count):
        yield operator.account(rng, pools, _CAMPAIGN_IDS + index * 1_000_000 + place)
