"""Website hosts and e-mail domains in one form each, and what to look up where one of them is not known."""

from __future__ import annotations

import re
import socket
import string
from functools import cache, lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sb_api.blanks import INVISIBLE, unescape
from sb_api.text.characters.composition import compose
from sb_api.text.percent import decode_letters

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

LONGEST_HOST = 253  # characters, as in the domain name system
_LONGEST_URL = 4096  # characters that are looked through for a host: whatever comes first in a URL is shorter
_LONGEST_WRITTEN = 4 * _LONGEST_URL  # the same, where some may be written as entities

# What comes as nearly all do: nothing of the path is written in another way than it is meant.
_PLAIN_WEBSITE = re.compile(
    r"(?:https?://)?([a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+)(?:/([\w!#$()*-;=?@^`{|}~]*))?\Z", re.ASCII
)
_PLAIN_EMAIL = re.compile(r"([\w.+-]+)@([a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+)\Z", re.ASCII)
# "http:/x.com", "http//x.com" and "hxxp://x.com" as people write them, and a scheme that some other software takes.
_SCHEME = re.compile(r"(?:h(?:tt|xx)ps?(?::/*+|/++)|(?:[a-z][a-z0-9+.-]{0,31}:)?//)++/*+", re.IGNORECASE)
# What people and software put before a URL: marks, tags, "URL:", or words without a dot before its scheme.
_BEFORE = re.compile(
    r"\A(?:[\s<>\"'(.\u2018-\u201f\xab\xbb]|\[(?:url|link|img)[]=]|url:)*+(?:[^/?#.@]*?(?=h(?:tt|xx)ps?://))?",
    re.IGNORECASE,
)
# What ends a URL that has such a thing before it.
_AFTER = re.compile(r"[\s<>\"'()\[\]\u2018-\u201f\xab\xbb]")
_END_OF_HOST = re.compile("[/?#]")
# "x[.]com", "x(dot)com", "x . com" and "x dot com".
_DOT = re.compile(r"(?<!\s)\s*+(?:[\[({]\s*+(?:dot|\.)\s*+[])}]|\.|(?<=\s)dot(?=\s))\s*+", re.IGNORECASE)
_UNRESERVED = re.compile("%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
# Where the domain of an e-mail address ends, and what may stand before the address.
_END_OF_DOMAIN = re.compile(r"[\s<>()\[\],;:\"'/]")
_BEFORE_EMAIL = re.compile(r"\A(?:[^<>]*+[<>])*+\s*+(?:mailto:)?\s*+", re.IGNORECASE)
_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_END = ".\x1c\x1d\x1e\x1f" + string.whitespace


def website_host(website: str) -> str:
    """The host of a URL: see `split_website`."""
    return split_website(website)[0]


def email_domain(email: str) -> str:
    """The domain of an e-mail address: see `split_email`."""
    return split_email(email)[0]


def split_website(website: str) -> tuple[str, str]:
    """The host of a URL, with or without a scheme, as `normalize_host` writes it and without a leading `www.`, and what
    stands behind the slash after it.

    "" where there is none. What a browser forgives is forgiven: white space and backslashes, user names and ports,
    percent signs. So is what is put around a URL (quotation marks, tags), what shows nothing, and "x[.]com".
    """
    plain = _PLAIN_WEBSITE.match(website)
    if plain:
        return _without_www(plain[1]), plain[2] or ""
    url = _read(website)[:_LONGEST_URL].replace("\\", "/")
    before = _BEFORE.match(url)
    if before and before[0].strip("."):
        url = _AFTER.split(url[before.end() :], maxsplit=1)[0]
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() if scheme else 0 :]
    end = _END_OF_HOST.search(rest)
    authority, rest = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        host = normalize_host(host)
    else:
        host = unquote(host) if "%" in host else host
        host = normalize_host(_DOT.sub(".", host).lstrip(".").partition(":")[0])
    path = _UNRESERVED.sub(lambda match: chr(int(match[0][1:], 16)), rest.partition("/")[2])
    return _without_www(host), compose(decode_letters(path))


def split_email(email: str) -> tuple[str, str]:
    """What stands behind the last `@` of an e-mail address, as `normalize_host` writes it, and what stands before it;
    "" where there is none. Names, `mailto:` and remarks around the address are no part of it."""
    plain = _PLAIN_EMAIL.match(email)
    if plain:
        return plain[2], plain[1]
    mailbox, at, domain = _read(email)[-_LONGEST_URL:].rpartition("@")
    if not at:
        return "", ""
    domain = _DOT.sub(".", domain).strip()
    if not domain.startswith("["):
        domain = _END_OF_DOMAIN.split(domain, maxsplit=1)[0]
    return normalize_host(domain), _BEFORE_EMAIL.sub("", mailbox).strip()


def _read(text: str) -> str:
    """What a URL or an address says: without what shows nothing, its entities undone, composed (NFKC)."""
    text = INVISIBLE.sub("", text).strip()
    if len(text) > _LONGEST_WRITTEN:
        text = text[: _LONGEST_WRITTEN // 2] + text[-_LONGEST_WRITTEN // 2 :]
    if "&" in text:
        text = INVISIBLE.sub("", unescape(text)[0])
    if not text.isascii():
        text = compose(text)
    return re.sub(r"[\t\r\n]", "", text).strip()


@lru_cache(maxsize=65_536)
def normalize_host(host: str) -> str:
    """A host in small letters, ASCII (IDNA, as browsers do it: UTS 46) and without a final dot; IP addresses in their
    usual form. Whatever is no host comes back in small letters. At most `LONGEST_HOST` characters.
    """
    host = host.strip().lower()
    if host.startswith("["):
        host = host.lstrip("[" + _END).partition("]")[0].strip()
    if ":" in host and (address := _ipv6(host)):
        return address
    if not host.isascii():
        host = _to_ascii(host)
    host = host.rstrip(_END)[:LONGEST_HOST].rstrip(_END)
    if _NUMERIC.fullmatch(host.rpartition(".")[2]):
        return _ipv4(host)
    return host


def host_candidates(host: str) -> tuple[str, ...]:
    """What to look a host or domain up by, the most telling first: itself, its registered domain, what that is
    registered under where it has a dot ("co.uk", "blogspot.com"), its top-level domain.

    Hosts as `website_host` and `email_domain` give them; () for "", and an IP address stands for itself alone.
    """
    return _candidates(host)


@lru_cache(maxsize=65_536)
def _candidates(host: str) -> tuple[str, ...]:
    if not host:
        return ()
    top = host.rpartition(".")[2]
    if "." not in host or ":" in host or top.isdigit():
        return (host,)
    return tuple(dict.fromkeys(filter(None, (host, *_suffixes(host), top))))


@lru_cache(maxsize=4096)
def _suffixes(host: str) -> tuple[str | None, str | None]:
    """The domain that somebody registered, and what that is registered under; None where there is none. Asked for twice
    of each host, and slow to find."""
    private = _public_suffixes().privatesuffix(host)
    # The registered domain has one label more.
    return private, private.partition(".")[2] if private else _public_suffixes().publicsuffix(host)


@lru_cache(maxsize=65_536)
def registered_domain(host: str) -> str:
    """The domain that somebody registered, of a host as `website_host` and `email_domain` give them; the host itself
    where there is none, as with IP addresses."""
    if "." not in host or ":" in host or host.rpartition(".")[2].isdigit():
        return host
    return _suffixes(host)[0] or host


@cache
def _public_suffixes() -> PublicSuffixList:
    # Imported where a host is not known by itself: the list, which comes with the package, takes 0.1 seconds to read.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def _without_www(host: str) -> str:
    rest = host.removeprefix("www.")
    return rest if "." in rest else host


def _to_ascii(host: str) -> str:
    import idna

    try:
        return idna.encode(host[:LONGEST_HOST], uts46=True).decode()
    except UnicodeError:
        # What IDNA has no room for (emoji, which some registries sell), label by label.
        labels = re.split("[.\u3002\uff0e\uff61]", compose(host[:LONGEST_HOST]).lower())
        return ".".join(label if label.isascii() else _punycode(label) for label in labels)


def _punycode(label: str) -> str:
    try:
        return "xn--" + label.encode("punycode").decode()
    except UnicodeError:  # half a surrogate pair
        return label


def _ipv4(host: str) -> str:
    """The four numbers of an address that a browser would take: "0x7f.1" is 127.0.0.1."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def _ipv6(host: str) -> str:
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return ""
    return str(address.ipv4_mapped or address)
