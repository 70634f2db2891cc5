"""Where accounts link to, and what is known of the others that link there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from sb_api.records import EditorFields
from sb_api.review import scripts
from sb_api.review.sealing import Sealer
from sb_api.text.hosts import registered_domain, website_host

MOST_LINKS = 2  # of one account that are looked at: its website and the first other one of its bio
MOST_ACCOUNTS = 200  # that are remembered of one domain
AT_ONCE = 100  # domains that are read at once: all that is remembered of them takes some megabytes
SPAM, FINE, UNKNOWN, FORGET = "1", "0", "?", "-"  # what is known of an account
_LINK = re.compile(r"https?://[^\s<>\"']{1,200}", re.IGNORECASE)


class Linked(msgspec.Struct, frozen=True):
    """Of the other accounts that were seen to link to a `domain` lately: how many there are, and how many of them
    moderators called spam, or not spam."""

    domain: str
    accounts: int
    spam: int
    fine: int


class Links(NamedTuple):
    """The host of an account's website, else of the first link of its bio, "" for none; and the registered domains of
    both."""

    host: str
    domains: list[str]


def find_links(editor: EditorFields) -> Links:
    """Where an account links to."""
    urls = [
        editor.website or "",
        *(match[0] for match, _ in zip(_LINK.finditer(editor.bio or ""), range(8), strict=False)),
    ]
    hosts = [host for url in urls if "." in (host := website_host(url))]
    domains = list(dict.fromkeys(map(registered_domain, hosts)))
    return Links(hosts[0] if hosts else "", domains[:MOST_LINKS])


class LinkHistory:
    """Which accounts link where: hashes in Redis, of names that say nothing without the key."""

    def __init__(self, redis: Any, prefix: str, keep: int, most: int) -> None:
        self.redis = redis
        self.prefix = prefix
        self.limits = (keep, most)
        self._note = redis.register_script(scripts.NOTE_LINKS)

    def note(self, sealer: Sealer, accounts: Iterable[tuple[str, Sequence[str], str]]) -> None:
        """Of each account, by its handle, where it links to and what is known of it."""
        triples = [
            part
            for handle, domains, known in accounts
            for domain in domains
            for part in (sealer.name("domain", domain), handle, known)
        ]
        if triples:
            self._note(
                [f"{self.prefix}domains"], [self.prefix, self.limits[0], MOST_ACCOUNTS, self.limits[1], *triples]
            )

    def read(self, sealer: Sealer, accounts: Sequence[tuple[str, Sequence[str]]]) -> list[list[Linked]]:
        """Of each of n accounts, by its handle: what is known of the others that link where it does."""
        linking: dict[str, list[str]] = {}
        for handle, domains in accounts:
            for domain in domains:
                linking.setdefault(domain, []).append(handle)
        counts: dict[str, Counter[bytes]] = {}
        own: dict[tuple[str, str], bytes | None] = {}
        rest = iter(linking)
        while some := list(islice(rest, AT_ONCE)):
            pipeline = self.redis.pipeline(transaction=False)
            for domain in some:
                pipeline.hgetall(f"{self.prefix}domain:{sealer.name('domain', domain)}")
            for domain, known in zip(some, pipeline.execute(), strict=True):
                counts[domain] = Counter(known.values())
                own |= {(domain, handle): known.get(handle.encode()) for handle in linking[domain]}
        return [
            [_linked(domain, counts[domain], own[domain, handle]) for domain in domains] for handle, domains in accounts
        ]


def _linked(domain: str, counted: Counter[bytes], own: bytes | None) -> Linked:
    """What is known of the accounts that link to a domain, but for the one of which `own` is known."""

    def count(known: str) -> int:
        return counted[known.encode()] - (own == known.encode())

    return Linked(domain, counted.total() - (own is not None), count(SPAM), count(FINE))
