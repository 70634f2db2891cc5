"""Who is told of events: the receivers that SB_API_WEBHOOKS names, and of which topics each."""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from sb_api.config import PREFIX, Settings
from sb_api.errors import InvalidSettings, did_you_mean

TOPICS = ("account", "drift", "service", "training")
MOST_ENDPOINTS = 20


class Endpoint(msgspec.Struct, frozen=True):
    """A receiver at `url`, which is told of `topics`. Its `name` is for everybody: a URL may hold a secret."""

    name: str
    url: str
    topics: frozenset[str]


def parse_endpoints(settings: Settings) -> list[Endpoint]:
    """The receivers of the settings, in their order. Raises InvalidSettings, which says nothing of what may be secret
    in a URL."""
    endpoints = [
        _parse(text, f"{PREFIX}WEBHOOKS, URL {number},", settings.webhook_http == "on")
        for number, text in enumerate(settings.webhooks.split(), start=1)
    ]
    if len(endpoints) > MOST_ENDPOINTS:
        raise InvalidSettings(f"{PREFIX}WEBHOOKS names {len(endpoints)} URLs; at most {MOST_ENDPOINTS} are told.")
    if len({endpoint.url for endpoint in endpoints}) < len(endpoints):
        raise InvalidSettings(f"{PREFIX}WEBHOOKS names a URL twice; give one all of its topics: URL#account,drift.")
    return endpoints


def _parse(text: str, where: str, plain_http: bool) -> Endpoint:
    # The fragment of a URL is never sent: it is ours.
    url, _, named = text.partition("#")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not (usable and url.isascii() and url.isprintable()):
        raise InvalidSettings(f"{where} is no https:// URL in ASCII.")
    if "@" in parts.netloc:
        raise InvalidSettings(f"{where} names a user; leave that out: the signature says who sends.")
    host = parts.hostname or ""
    if parts.scheme == "http" and not (plain_http or _is_loopback(host)):
        raise InvalidSettings(
            f"{where} is sent in the clear to another machine: https://, or {PREFIX}WEBHOOK_HTTP=on if that is meant."
        )
    topics = [topic for topic in named.split(",") if topic] or TOPICS
    if unknown := [topic for topic in topics if topic not in TOPICS]:
        asks = did_you_mean(unknown[0], TOPICS)
        raise InvalidSettings(f"{where} has the topic {unknown[0][:40]!r}; there are {', '.join(TOPICS)}{asks or '.'}")
    digest = blake2b(url.encode(), digest_size=3).hexdigest()
    return Endpoint(f"{parts.netloc.lower()}-{digest}", url, frozenset(topics))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
