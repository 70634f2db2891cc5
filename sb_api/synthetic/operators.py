"""Who plants spam: operators whose accounts share a template, habits, hosts and mail domains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from sb_api.synthetic import phrases
from sb_api.synthetic.accounts import REFERENCE_TIME, Habits, Profile, SyntheticEditor, make_record
from sb_api.synthetic.bios import (
    UNKNOWN_SHARES,
    Slots,
    make_link,
    put_in_unknown_words,
    searched_for,
    small_talk,
    talk,
    write,
    write_wordless,
)
from sb_api.synthetic.evasions import WAYS, disguise
from sb_api.synthetic.parts import (
    Pools,
    free_mail_domain,
    make_address,
    make_brand,
    make_brand_host,
    make_campaign_host,
    make_host,
    make_mail_domain,
    make_place,
    make_url,
    make_user_name,
    public_host,
    weighted,
)
from sb_api.synthetic.phrases import languages

_DAY = 24 * 60.0
_FIRST_SPAM = datetime(2006, 1, 1)
_LINK = re.compile(r"(?:https?://|www\.)", re.IGNORECASE)
_MAIL_ENDINGS = ("mails.com", "mail.com", "mailbox.net", "box.info", ".com", ".online")
# Share of the operators, and their habits: a script, one that never confirms, a person at work, one that waits, one
# that comes back for months and years, so that no account is innocent by its age alone.
# The numbers in order: confirm share, confirm, update share, update, login, spread, gender share, birth share.
HABITS = (
    (38, Habits(0.92, 2, 0.7, 4, 3, 0.9, 0.9, 0.5, area_share=0.03, login_share=0.8)),
    (18, Habits(0.06, 30, 0.5, 7, 5, 1.1, 0.8, 0.3, area_share=0.03, login_share=0.8)),
    (26, Habits(0.85, 8, 0.6, 16, 60, 1.6, 0.5, 0.3, area_share=0.08)),
    (18, Habits(0.8, 12, 0.9, 9 * _DAY, 12 * _DAY, 1.5, 0.5, 0.25, area_share=0.06)),
    (9, Habits(0.85, 10, 0.7, 30 * _DAY, 120 * _DAY, 1.9, 0.4, 0.25, area_share=0.08)),
)
# What an operator's accounts show: nothing, a word, a pitch; what moderators want to read, polite phrases of a machine
# with ordinary talk, names that mean nothing, people who do not exist. The last four are rare, because innocent
# accounts look much like them.
_PRESENCES = ((9, "no bio"), (7, "short"), (61, "pitch"), (3, "pose"), (8, "polite"), (3, "wordless"), (9, "persona"))
_OPEN = ("pitch", "persona")  # who sells something, and says so

# Of the operators with a pitch, how many have a single sentence of it, and how many nothing but what is searched for.
ONE_LINE_SHARES = (0.3, 0.25)
# How many of an operator's pitches end with some of what is searched for. Without these most keywords of the smaller
# languages would occur in fewer accounts than it takes to learn a word.
LISTED_SHARE = 0.5
# How many go on with a numbered list: as people's lists, of which numbers and marks are no sign of either.
PRICED_SHARE = 0.02
_LIST_MARKS, _LISTS = (". ", " - ", "\n", " | ", " "), (", ", ", ", " | ", " / ")


@dataclass(slots=True)
class Operator:
    """Some accounts share its template and habits, and its hosts and mail domains.

    Without `hosts` or `mail_domains` every account gets new ones: the many clients of a marketing firm. `chatty` is
    the share of its bios with ordinary talk in them, `way` the number of a way of writing that hides words or None.
    """

    kind: str
    language: str
    habits: Habits
    keywords: tuple[str, ...]
    hosts: tuple[str, ...]
    mail: str
    mail_domains: tuple[str, ...]
    templates: tuple[str, ...]
    presence: str
    bio_share: float
    site_share: float
    link_style: str
    stuffing: float
    chatty: float
    way: int | None
    since: datetime
    burst_days: float
    left: int

    def account(self, rng: Random, pools: Pools, identity: int) -> SyntheticEditor:
        """The next account of this operator, one of `left`."""
        self.left -= 1
        host = rng.choice(self.hosts or (_new_host(rng, pools, self.kind, self.language),))
        shown = public_host(rng, 0.75) if rng.random() < 0.12 else host
        has_site = rng.random() < self.site_share
        bio = self._bio(rng, pools, host) if rng.random() < self.bio_share else None
        # One in ten of the accounts that would advertise nothing stays empty: it waits for its first edit.
        has_site = has_site or (bio is None and rng.random() < 0.9)
        if bio and not has_site and not _LINK.search(bio) and rng.random() < 0.8:
            bio += f" {make_url(rng, pools, host)}"
        email = None
        if rng.random() > 0.015:
            email = make_address(rng, pools, self.language, self._mail_domain(rng, pools, host))
        profile = Profile(
            name=self._user_name(rng, pools, host),
            email=email,
            website=make_url(rng, pools, shown) if has_site else None,
            bio=bio,
            place=make_place(rng, pools, self.language),
        )
        born = self.since + min(timedelta(days=self.burst_days), REFERENCE_TIME - self.since) * rng.random()
        record = make_record(rng, identity, profile, self.habits, born)
        return SyntheticEditor(record, 1, self.kind, shown if has_site else "")

    def _user_name(self, rng: Random, pools: Pools, host: str) -> str:
        if rng.random() < 0.4:
            return make_user_name(rng, pools, self.language, "")
        own = rng.choice((host.split(".")[0], rng.choice(self.keywords).title().replace(" ", "")))
        return own + rng.choice(("", "", str(rng.randint(1, 99))))

    def _mail_domain(self, rng: Random, pools: Pools, host: str) -> str:
        if self.mail == "free":
            return free_mail_domain(rng, pools, self.language)
        if self.mail == "site":
            return host
        if self.mail_domains:
            return rng.choice(self.mail_domains)
        if self.mail == "servers":
            return make_mail_domain(rng, pools, _MAIL_ENDINGS)
        return rng.choice(pools.disposable)

    def _bio(self, rng: Random, pools: Pools, host: str) -> str:
        if self.presence == "short":
            return rng.choice(phrases.SHORT_BIOS)
        brand = make_brand(rng) if rng.random() < 0.1 else host.split(".")[0].replace("-", " ").title()
        url = make_url(rng, pools, host)
        link = make_link(self.link_style, url, rng.choice((*self.keywords, brand)))
        if self.presence == "wordless":
            return write_wordless(rng, link)
        slots = Slots(rng, pools, self.language, self.keywords, brand=brand, link=link)
        chosen = [template for template in self.templates if rng.random() < 0.85] or self.templates[:1]
        bio = write(rng, chosen, slots, rng.choice((" ", " ", "\n")))
        if rng.random() < self.chatty:
            # Before the pitch, behind it, or around it: whoever reads the first words alone is to miss it.
            count = rng.choice((1, 1, 2, 3, 5, 8))
            before = rng.choice((0, 0, 0, count // 2, count, count))
            say = small_talk if rng.random() < 0.45 else talk
            opening, closing = (say(rng, self.language, slots, part) for part in (before, count - before))
            bio = " ".join(filter(None, (opening, bio, closing)))
        if self.way is not None:
            bio = disguise(rng, bio, self.way, 0.5)
        if self.presence == "pitch" and rng.random() < LISTED_SHARE:
            listed = rng.sample(self.keywords, min(rng.choice((2, 3, 3, 4, 5, 6)), len(self.keywords)))
            bio += rng.choice(_LIST_MARKS) + rng.choice(_LISTS).join(listed)
        if self.presence == "pitch" and rng.random() < PRICED_SHARE:
            bio += "\n" + _price_list(rng, self.keywords)
        if rng.random() < self.stuffing:
            stuffed = rng.choices(self.keywords, k=int(rng.lognormvariate(2.9, 0.9)) + 3)
            bio += "\n" + rng.choice((", ", " ", " | ", "\n")).join(stuffed)
        return put_in_unknown_words(rng, bio, self.language) if rng.random() < UNKNOWN_SHARES[1] else bio


def _price_list(rng: Random, keywords: Sequence[str]) -> str:
    """What is searched for, numbered or with a price, or both."""
    line = rng.choice(
        ("{number}. {keyword}", "{number}. {keyword} ${price}", "- {keyword}: {price}.00", "* {keyword} 5/5")
    )
    chosen = rng.choices(keywords, k=rng.randint(3, 12))
    return "\n".join(
        line.format(number=number, keyword=keyword, price=rng.randint(5, 999))
        for number, keyword in enumerate(chosen, 1)
    )


def _new_host(rng: Random, pools: Pools, kind: str, language: str) -> str:
    # As often as editors: an invented name must be no sign of either.
    if rng.random() < 0.35:
        return make_brand_host(rng, language)
    return make_host(rng, pools, phrases.SPAM_HOST_WORDS[kind], language)


def new_operator(rng: Random, pools: Pools, language: str) -> Operator:
    """An operator of a kind of spam that the language has sentences of."""
    known = languages()[language]
    kind = rng.choice(tuple(known.spam))
    fresh = rng.random() < 0.45
    hosts = [_new_host(rng, pools, kind, language) for _ in range(rng.choice((1, 1, 2, 3, 5)))]
    if rng.random() < 0.08:
        hosts = rng.sample(phrases.known_domains().spam_sites, 2)
    mail = weighted(rng, ((46, "free"), (26, "disposable"), (16, "servers"), (12, "site")))
    domains = {
        "disposable": rng.sample(pools.disposable, rng.choice((1, 1, 2))),
        "servers": [make_mail_domain(rng, pools, _MAIL_ENDINGS) for _ in range(2)],
    }.get(mail, [])
    if domains and rng.random() < 0.15:
        domains = rng.sample(phrases.known_domains().spam_mail, 2)
    presence = weighted(rng, _PRESENCES)
    # Who keeps an editor's hours puts a pitch on show; without one it is scripts that open the accounts.
    habits = weighted(rng, HABITS if presence in _OPEN else HABITS[:2])
    silent = presence != "pose" and mail != "free" and rng.random() < 0.1
    return Operator(
        kind=kind,
        language=language,
        habits=habits,
        keywords=searched_for(rng, kind, language),
        hosts=() if fresh else tuple(hosts),
        mail=mail,
        mail_domains=() if fresh else tuple(domains),
        templates=_templates(rng, presence, kind, language),
        presence=presence,
        bio_share={"no bio": 0.0, "short": 0.15, "pitch": 0.93}.get(presence, 0.93),
        site_share=rng.choice((0.1, 0.4, 0.75, 0.95)) if presence in _OPEN else 0.1 if silent else 0.97,
        link_style=rng.choice(("plain", "plain", "html", "bbcode", "markdown", "none", "none")),
        stuffing=rng.choice((0.0, 0.0, 0.0, 0.1, 0.8)) if presence == "pitch" else 0.0,
        chatty=0.8 if presence == "polite" else rng.choice((0.0, 0.2, 0.5, 0.9)),
        way=rng.randrange(WAYS) if presence == "pitch" and rng.random() < 0.1 else None,
        since=_FIRST_SPAM + (REFERENCE_TIME - _FIRST_SPAM) * rng.random() ** 0.65,
        burst_days=rng.choice((1, 5, 30, 200)),
        left=min(int(3 * rng.paretovariate(1.1)), 20),
    )


def _templates(rng: Random, presence: str, kind: str, language: str) -> tuple[str, ...]:
    known = languages()[language]
    if presence == "persona":
        chosen = rng.sample(known.personas, min(rng.choice((1, 1, 2)), len(known.personas)))
        # Somebody with a family or a love of music is believed sooner.
        believed = (0.25, known.introductions), (0.25, known.editors["listener"])
        for share, sentences in (*believed, (0.4, known.spam[kind])):
            if rng.random() < share:
                chosen.append(rng.choice(sentences))
        return (*chosen, *rng.sample(known.calls, min(rng.choice((0, 0, 1)), len(known.calls))))
    if presence == "pose":
        # Some tell the moderators what these want to read, and let the website do the advertising.
        source = rng.choice(("listener", "listener", "musician"))
        sentences = known.editors.get(source, known.editors["listener"])
    else:
        sentences = known.polite if presence == "polite" else known.spam[kind]
    if presence == "pitch" and (chance := rng.random()) < sum(ONE_LINE_SHARES):
        sentence = rng.choice(sentences if chance < ONE_LINE_SHARES[0] else phrases.KEYWORD_LINES)
        return (sentence, *rng.sample(known.calls, min(rng.choice((0, 0, 0, 1)), len(known.calls))))
    templates = rng.sample(sentences, rng.randint(1 + len(sentences) // 3, len(sentences)))
    if presence == "pitch" and rng.random() < 0.12:
        # A pitch among the phrases that every firm uses.
        templates += rng.sample(known.polite, min(2, len(known.polite)))
    return (*templates, *rng.sample(known.calls, min(rng.choice((0, 1, 1, 2)), len(known.calls))))


def campaign_operator(
    rng: Random, pools: Pools, index: int, count: int, days_and_habits: tuple[tuple[int, Habits], ...]
) -> Operator:
    """The operator of campaign `index`, with `count` accounts to open."""
    campaign = phrases.CAMPAIGNS[index]
    hosts = tuple(make_campaign_host(rng, campaign.host_words) for _ in range(4))
    days_ago, habits = days_and_habits[index % len(days_and_habits)]
    mail = ("free", "disposable", "servers", "site")[index % 4]
    domains = {
        "disposable": tuple(rng.sample(pools.campaign_disposable, 2)),
        "servers": (f"{rng.choice(campaign.host_words)}{rng.randint(1, 99)}mail.com",),
    }.get(mail, ())
    return Operator(
        kind=campaign.name,
        language=campaign.language,
        habits=habits,
        keywords=campaign.marks,
        hosts=hosts,
        mail=mail,
        mail_domains=domains,
        templates=campaign.sentences + languages()[campaign.language].calls[: index % 3],
        presence="pitch",
        bio_share=0.97,
        site_share=(0.9, 0.5, 0.05)[index % 3],
        link_style=("none", "plain", "bbcode", "html")[index // 2 % 4],
        stuffing=(0.0, 0.3)[index % 2],
        chatty=0.0,
        way=None,
        since=REFERENCE_TIME - timedelta(days=days_ago),
        burst_days=30,
        left=count,
    )
