"""A seeded generator of MusicBrainz-like editor accounts, spam and not, on which the shipped classifier is trained.

The real accounts are private. What is public of them (the MetaBrainz counts of 2018: how often e-mail, gender, area and
privileges are set on either side) sets the shares here; the rest is made up. Spam and editors overlap in every field
and differ in combinations: spam comes from operators that reuse hosts, mail domains, templates and habits.

With the same versions of Faker and disposable-email-domains, the same seed gives the same accounts in every process:
nothing depends on the clock, the order of a set or global random state. It makes thousands of accounts a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from sb_api.synthetic import phrases as phrases
from sb_api.synthetic.parts import (
    REFERENCE_TIME,
    Habits,
    Pools,
    Slots,
    build_pools,
    choose_language,
    free_mail_domain,
    free_mail_domains,
    make_address,
    make_campaign_host,
    make_host,
    make_link,
    make_mail_domain,
    make_record,
    make_url,
    weighted,
    write,
    write_editor_bio,
)
from sb_api.synthetic.phrases import CAMPAIGNS

__all__ = ["CAMPAIGNS", "REFERENCE_TIME", "SyntheticEditor", "generate_campaign", "generate_editors", "split_by_host"]

_DAY = 24 * 60.0
_LINK = re.compile(r"(?:https?://|www\.)[^\s\]|<>\"')]+", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z]+://)?(?:www\.)?([^/?#:\s]+)", re.IGNORECASE)
_CAMPAIGN_IDS = 50_000_000
_SPAM_MAIL_ENDINGS = ("mails.com", "mail.com", "mailbox.net", "box.info", ".com", ".online")
_EMPLOYER_ENDINGS = (".com", ".com", ".net", ".edu", ".ac.uk", ".de", ".org")


@dataclass(frozen=True, slots=True)
class SyntheticEditor:
    """One account: `record` as clients send it, `verdict` 1 if spam, `kind` of account, website `host` or ""."""

    record: dict[str, object]
    verdict: int
    kind: str
    host: str


_SPAM_GENDERS = (12, 44, 44)
# Share of the operators, and their habits: a script, one that never confirms, a person at work, one that waits.
# The numbers in order: confirm share, confirm, update share, update, login, spread, gender share.
_SPAM_HABITS = (
    (38, Habits(0.92, 2, 0.7, 4, 3, 0.9, 0.9, _SPAM_GENDERS, 0.5, 0.003)),
    (18, Habits(0.06, 30, 0.5, 7, 5, 1.1, 0.8, _SPAM_GENDERS, 0.3, 0.003)),
    (26, Habits(0.85, 8, 0.6, 16, 60, 1.6, 0.5, (40, 35, 25), 0.3, 0.03)),
    (18, Habits(0.8, 12, 0.9, 9 * _DAY, 12 * _DAY, 1.5, 0.5, (40, 35, 25), 0.25, 0.02)),
)
_LEFT = Habits(0.72, 7, 0.35, 12, 12, 1.9, 0.24, odd_share=0.03, area_share=0.02)
_RETURNED = Habits(0.85, 10, 0.5, 3 * _DAY, 70 * _DAY, 1.9, 0.3, area_share=0.06, odd_share=0.03)
_REGULAR = Habits(0.93, 15, 0.8, 250 * _DAY, 1100 * _DAY, 1.3, 0.35, birth_share=0.2, area_share=0.2, privs_share=0.03)
_VETERAN = replace(_REGULAR, odd_share=0.6, privs_share=0.06)
_SLEEPER = Habits(0.9, 15, 0.9, 500 * _DAY, 520 * _DAY, 0.3, 0.3)
# Days before the reference time that a campaign registered, and its habits: not all behave like known spam.
_CAMPAIGN_HABITS = ((40, _LEFT), (60, _SPAM_HABITS[3][1]), (900, _SLEEPER), (300, _RETURNED), (40, _SPAM_HABITS[0][1]))


@dataclass(frozen=True, slots=True)
class _EditorKind:
    weight: int
    bio_share: float
    site_share: float
    lives: tuple[tuple[int, Habits], ...]
    sentences: str = ""


_QUIET_LIVES = ((66, _LEFT), (23, _RETURNED), (11, _REGULAR))
_PROMOTER_LIVES = ((8, _LEFT), (42, _RETURNED), (50, _REGULAR))
_EDITOR_LIVES = ((6, _LEFT), (30, _RETURNED), (64, _REGULAR))
_EDITOR_KINDS = {
    "silent": _EditorKind(500, 0.0, 0.02, _QUIET_LIVES),
    "listener": _EditorKind(165, 0.75, 0.1, ((20, _LEFT), (40, _RETURNED), (40, _REGULAR))),
    "collector": _EditorKind(85, 0.92, 0.25, _EDITOR_LIVES),
    "musician": _EditorKind(85, 0.8, 0.65, _PROMOTER_LIVES),
    "label": _EditorKind(30, 0.85, 0.8, _PROMOTER_LIVES),
    "archivist": _EditorKind(22, 0.9, 0.5, _EDITOR_LIVES),
    "worker": _EditorKind(42, 0.9, 0.45, _EDITOR_LIVES),
    "developer": _EditorKind(22, 0.8, 0.6, _EDITOR_LIVES),
    "bot": _EditorKind(4, 0.9, 0.5, ((1, replace(_REGULAR, privs_share=0.5)),), "developer"),
    "merchant": _EditorKind(30, 0.85, 0.8, _PROMOTER_LIVES),
    "veteran": _EditorKind(15, 0.4, 0.2, ((1, _VETERAN),), "collector"),
}


@dataclass(slots=True)
class _Operator:
    """Who plants spam: some accounts share its template and habits, and its hosts and mail domains.

    Without `hosts` or `mail_domains` every account gets new ones: the many clients of a marketing firm.
    """

    kind: str
    language: str
    habits: Habits
    keywords: tuple[str, ...]
    hosts: tuple[str, ...]
    mail: str
    mail_domains: tuple[str, ...]
    templates: tuple[str, ...]
    bio_share: float
    site_share: float
    link_style: str
    stuffing: float
    since: datetime
    burst_days: float
    left: int

    def account(self, rng: Random, pools: Pools, identity: int) -> SyntheticEditor:
        self.left -= 1
        host = rng.choice(self.hosts or (self._new_host(rng, pools),))
        shown = rng.choice(phrases.SPAM_PUBLIC_HOSTS) if rng.random() < 0.1 else host
        has_site = rng.random() < self.site_share
        bio = self._bio(rng, pools, host) if rng.random() < self.bio_share else None
        # One in ten of the accounts that would advertise nothing stays empty: it waits for its first edit.
        has_site = has_site or (bio is None and rng.random() < 0.9)
        website = make_url(rng, pools, shown) if has_site else None
        if bio and not has_site and not _LINK.search(bio) and rng.random() < 0.8:
            bio += f" {make_url(rng, pools, host)}"
        email = None
        if rng.random() > 0.015:
            email = make_address(rng, pools, self.language, self._mail_domain(rng, pools, host))
        born = self.since + timedelta(days=rng.uniform(0, self.burst_days))
        record = make_record(rng, identity, email, website, bio, self.habits, min(born, REFERENCE_TIME))
        return SyntheticEditor(record, 1, self.kind, shown if has_site else "")

    def _new_host(self, rng: Random, pools: Pools) -> str:
        return make_host(rng, pools, phrases.SPAM_HOST_WORDS[self.kind], self.language)

    def _mail_domain(self, rng: Random, pools: Pools, host: str) -> str:
        if self.mail == "free":
            return free_mail_domain(rng, pools, self.language)
        if self.mail == "site":
            return host
        if self.mail_domains:
            return rng.choice(self.mail_domains)
        if self.mail == "servers":
            return make_mail_domain(rng, pools, _SPAM_MAIL_ENDINGS)
        return rng.choice(pools.disposable)

    def _bio(self, rng: Random, pools: Pools, host: str) -> str:
        if not self.templates:
            return rng.choice(phrases.SHORT_BIOS)
        brand = host.split(".")[0].replace("-", " ").title()
        link = make_link(self.link_style, make_url(rng, pools, host), rng.choice((*self.keywords, brand)))
        slots = Slots(rng, pools, self.language, self.keywords, brand=brand, link=link)
        chosen = [template for template in self.templates if rng.random() < 0.85] or self.templates[:1]
        bio = write(rng, chosen, slots, rng.choice((" ", " ", "\n")))
        if rng.random() < self.stuffing:
            stuffed = rng.choices(self.keywords, k=int(rng.lognormvariate(2.9, 0.9)) + 3)
            bio += "\n" + rng.choice((", ", " ", " | ", "\n")).join(stuffed)
        return bio


def _new_operator(rng: Random, pools: Pools) -> _Operator:
    kind = rng.choice(tuple(phrases.SPAM_SENTENCES))
    language = choose_language(rng, tuple(phrases.SPAM_SENTENCES[kind]))
    fresh = rng.random() < 0.45
    hosts = [make_host(rng, pools, phrases.SPAM_HOST_WORDS[kind], language) for _ in range(rng.choice((1, 1, 2, 3, 5)))]
    mail = weighted(rng, ((46, "free"), (26, "disposable"), (16, "servers"), (12, "site")))
    domains = {
        "disposable": rng.sample(pools.disposable, rng.choice((1, 1, 2))),
        "servers": [make_mail_domain(rng, pools, _SPAM_MAIL_ENDINGS) for _ in range(2)],
    }.get(mail, [])
    presence = weighted(rng, ((12, "no bio"), (14, "short"), (54, "pitch"), (20, "pose")))
    # Who keeps an editor's hours puts a pitch on show; without one it is scripts that open the accounts.
    habits = weighted(rng, _SPAM_HABITS if presence == "pitch" else _SPAM_HABITS[:2])
    sentences = phrases.SPAM_SENTENCES[kind][language]
    if presence == "pose":
        # Some tell the moderators what these want to read, and let the website do the advertising.
        source = phrases.EDITOR_SENTENCES[rng.choice(("listener", "listener", "musician"))]
        sentences = source.get(language, phrases.EDITOR_SENTENCES["listener"][language])
    templates = rng.sample(sentences, rng.randint(1 + len(sentences) // 3, len(sentences)))
    templates += rng.sample(phrases.CALLS[language], rng.choice((0, 1, 1, 2)))
    silent = presence != "pose" and mail != "free" and rng.random() < 0.1
    return _Operator(
        kind=kind,
        language=language,
        habits=habits,
        keywords=phrases.KEYWORDS[kind],
        hosts=() if fresh else tuple(hosts),
        mail=mail,
        mail_domains=() if fresh else tuple(domains),
        templates=() if presence == "short" else tuple(templates),
        bio_share={"no bio": 0.0, "short": 0.15, "pitch": 0.93, "pose": 0.9}[presence],
        site_share=rng.choice((0.1, 0.75, 0.9, 0.97)) if presence == "pitch" else 0.1 if silent else 0.97,
        link_style=rng.choice(("plain", "plain", "html", "bbcode", "markdown", "none", "none")),
        stuffing=rng.choice((0.0, 0.0, 0.0, 0.1, 0.8)),
        since=datetime(2006, 1, 1) + timedelta(days=17.8 * 365 * rng.random() ** 0.6),
        burst_days=rng.choice((1, 5, 30, 200)),
        left=min(int(3 * rng.paretovariate(1.1)), 60),
    )


def _again(rng: Random, recent: list[str], share: float, new: str) -> str:
    """`new`, or with the given probability one of the recent ones: labels and universities have several editors."""
    if recent and rng.random() < share:
        return rng.choice(recent)
    recent[:] = [*recent[-20:], new]
    return new


def _real_editor(
    rng: Random, pools: Pools, identity: int, recent_hosts: list[str], recent_employers: list[str]
) -> SyntheticEditor:
    kind = rng.choices(tuple(_EDITOR_KINDS), [entry.weight for entry in _EDITOR_KINDS.values()])[0]
    profile = _EDITOR_KINDS[kind]
    texts = phrases.EDITOR_SENTENCES.get(profile.sentences or kind, phrases.EDITOR_SENTENCES["listener"])
    language = choose_language(rng, tuple(texts))
    name = rng.choice(pools.users[language])
    host = ""
    if rng.random() < profile.site_share:
        where = weighted(rng, ((38, "public"), (16, "platform"), (46, "own")))
        if where == "public":
            host = rng.choice(phrases.PUBLIC_HOSTS)
        elif where == "platform":
            host = f"{name}{rng.randint(1, 999)}.{rng.choice(phrases.PLATFORMS)}"
        else:
            words = rng.choice((phrases.MUSIC_HOST_WORDS, phrases.MUSIC_HOST_WORDS, phrases.TRADE_HOST_WORDS, (name,)))
            if rng.random() < 0.15:
                words = phrases.SPAM_HOST_WORDS[rng.choice(tuple(phrases.SPAM_HOST_WORDS))]
            host = _again(rng, recent_hosts, 0.3, make_host(rng, pools, words, language))
    born = datetime(2001, 1, 1) + timedelta(minutes=rng.random() ** 0.85 * 23.3 * 365 * _DAY)
    email = None
    # Until 2011 an account needed no address.
    if rng.random() > (0.4 if born.year < 2011 else 0.05):
        own = host and host not in phrases.PUBLIC_HOSTS and rng.random() < 0.45
        source = weighted(rng, ((85, "free"), (11, "employer"), (4, "disposable")))
        if own:
            domain = host
        elif source == "employer":
            domain = _again(rng, recent_employers, 0.65, make_mail_domain(rng, pools, _EMPLOYER_ENDINGS))
        else:
            domain = rng.choice(pools.disposable) if source == "disposable" else free_mail_domain(rng, pools, language)
        email = make_address(rng, pools, language, domain)
    # Who has a site to show says who they are, and comes back.
    has_bio = rng.random() < (max(profile.bio_share, 0.97) if host else profile.bio_share)
    bio = write_editor_bio(rng, pools, language, texts[language], host) if has_bio else None
    website = make_url(rng, pools, host) if host else None
    lives = profile.lives[1:] or profile.lives if host and rng.random() < 0.9 else profile.lives
    record = make_record(rng, identity, email, website, bio, weighted(rng, lives), born)
    return SyntheticEditor(record, 0, kind, host)


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
    operators: list[_Operator] = []
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
            operators.append(_new_operator(rng, pools))
        yield rng.choice(operators).account(rng, pools, identity)


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
    campaign = CAMPAIGNS[index]
    pools = build_pools()
    hosts = tuple(make_campaign_host(rng, campaign.host_words) for _ in range(4))
    days_ago, habits = _CAMPAIGN_HABITS[index % len(_CAMPAIGN_HABITS)]
    mail = ("free", "disposable", "servers", "site")[index % 4]
    domains = {
        "disposable": tuple(rng.sample(pools.campaign_disposable, 2)),
        "servers": (f"{rng.choice(campaign.host_words)}{rng.randint(1, 99)}mail.com",),
    }.get(mail, ())
    operator = _Operator(
        kind=campaign.name,
        language=campaign.language,
        habits=habits,
        keywords=campaign.marks,
        hosts=hosts,
        mail=mail,
        mail_domains=domains,
        templates=campaign.sentences + phrases.CALLS[campaign.language][: index % 3],
        bio_share=0.97,
        site_share=(0.9, 0.5, 0.05)[index % 3],
        link_style=("none", "plain", "bbcode", "html")[index // 2 % 4],
        stuffing=(0.0, 0.3)[index % 2],
        since=REFERENCE_TIME - timedelta(days=days_ago),
        burst_days=30,
        left=count,
    )
    for place in range(count):
        yield operator.account(rng, pools, _CAMPAIGN_IDS + index * 1_000_000 + place)


def split_by_host(
    editors: Sequence[SyntheticEditor], test_share: float, seed: int
) -> tuple[list[SyntheticEditor], list[SyntheticEditor]]:
    """Split into (train, test) so that no host and no mail domain of an account's own is on both sides.

    A host counts whether it is the website or linked in the bio; accounts that share one go together. Public hosts
    and free mail providers count as nobody's own. Each side keeps the order of `editors`; the test side gets
    `test_share` of the accounts, as near as the groups allow. Raises ValueError when it is not between 0 and 1.
    """
    if not 0 <= test_share <= 1:
        raise ValueError(f"test_share must be between 0 and 1, not {test_share}")
    rng = Random(f"split {seed}")
    groups, loners = _group_by_host(editors)
    rng.shuffle(groups)
    rng.shuffle(loners)
    test = set(loners[: round(len(loners) * test_share)])
    room = round((len(editors) - len(loners)) * test_share)
    for group in groups:
        if len(group) <= room:
            room -= len(group)
            test.update(group)
    sides: tuple[list[SyntheticEditor], list[SyntheticEditor]] = ([], [])
    for place, editor in enumerate(editors):
        sides[place in test].append(editor)
    return sides


def _group_by_host(editors: Sequence[SyntheticEditor]) -> tuple[list[list[int]], list[int]]:
    """The places of the editors joined by shared hosts and domains, and of those that have neither."""
    shared = {*phrases.PUBLIC_HOSTS, *free_mail_domains(build_pools())}
    parents = list(range(len(editors)))

    def find(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[str, int] = {}
    loners = []
    for place, editor in enumerate(editors):
        own = [host for host in _hosts(editor) if host not in shared]
        for host in own:
            parents[find(place)] = find(first.setdefault(host, place))
        if not own:
            loners.append(place)
    groups: dict[int, list[int]] = {}
    for place in range(len(editors)):
        groups.setdefault(find(place), []).append(place)
    alone = set(loners)
    return [group for root, group in groups.items() if root not in alone], loners


def _hosts(editor: SyntheticEditor) -> Iterator[str]:
    record = editor.record
    for url in (editor.host, str(record.get("website") or ""), *_LINK.findall(str(record.get("bio") or ""))):
        if match := _HOST.match(url):
            yield match[1].rstrip(".,").lower()
    if email := record.get("email"):
        yield str(email).rpartition("@")[2].lower()
