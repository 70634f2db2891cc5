"""Whether a text has a URL, in time that grows with its length and no faster."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sb_api.text.spelling import UNSPACED

_LABEL = re.compile(r"\.([^\W_][\w-]*)")
_FOUR_NUMBERS = re.compile(r"\d\.\d+\.\d+\.\d")
# Possessive, and only where such a run begins: each character is looked at once.
_DOTTED = re.compile(r"(?<![\w-])(?<![\w-]\.)[\w-]++(?:\.[\w-]++)++")
_AUTHORITY = re.compile(r"(?:[\w.~!$&'()*+,;=:%-]{1,255}@)?([\w.-]++)")
_BEFORE_UNSPACED = re.compile(f"([A-Za-z0-9-]*)[{UNSPACED}]")
# After a full stop without a blank, these are words less often than "My" or "It".
_NO_WORDS = frozenset({"com", "net", "org", "info", "biz", "edu", "gov"})


@cache
def top_level_domains() -> frozenset[str]:
    """In small letters, in ASCII and in their own script, by the public suffix list inside publicsuffixlist."""
    package = find_spec("publicsuffixlist")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("publicsuffixlist is not installed")
    listed = (Path(package.origin).parent / "public_suffix_list.dat").read_text("utf-8")
    rules = (line.split()[0] for line in listed.splitlines() if line.strip() and not line.startswith("//"))
    own = {rule.rpartition(".")[2].lower() for rule in rules}
    return frozenset(own | {name.encode("idna").decode() for name in own})


def has_url(text: str) -> bool:
    """Whether `text` has a URL: a host (a name under a known top-level domain, or an IPv4 address) after `://`, or by
    itself where it is no part of an e-mail address and no sentence that begins without a blank ("Hi.My name").

    A final dot is no matter, nor a name in another script, nor letters without blanks around it (Chinese, Japanese,
    Thai). Time: linear in `text`.
    """
    place = text.find("://")
    while place >= 0:
        authority = _AUTHORITY.match(text, place + 3)
        if authority and _is_host(authority[1], is_sure=True):
            return True
        place = text.find("://", place + 3)
    if not _may_have_host(text):
        return False
    return any(_is_host_by_itself(text, match) for match in _DOTTED.finditer(text))


def _may_have_host(text: str) -> bool:
    """At a glance: whether a top-level domain follows a dot, or there are four numbers with dots between them."""
    if "." not in text:
        return False
    labels = _LABEL.findall(text)
    return any(map(top_level_domain, labels)) or (
        any(map(str.isdigit, labels)) and _FOUR_NUMBERS.search(text) is not None
    )


def top_level_domain(label: str) -> str:
    """The label in small letters, up to letters of a script without blanks; "" when it is no top-level domain."""
    domains = top_level_domains()
    name = label.lower()
    if name in domains or label.isascii():
        return name if name in domains else ""
    latin = _BEFORE_UNSPACED.match(name)
    return latin[1] if latin and latin[1] in domains else ""


def _is_host_by_itself(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    before, after = text[max(start - 2, 0) : start], text[end : end + 1]
    if before[-1:] == "@" or after == "@" or (before[-1:] == "/" and before != "//"):
        return False
    is_sure = after in ("/", ":", "?", "#") or match[0].startswith("www.")
    return _is_host(match[0], is_sure=is_sure)


def _is_host(name: str, is_sure: bool) -> bool:
    """Whether the name is a host; where that is not sure, none whose last part may be a sentence's first word."""
    labels = name.rstrip(".").split(".")
    while len(labels) > 2 and _begins_sentence(labels[-1]) and not top_level_domain(labels[-1]):
        labels.pop()
    last = labels[-1]
    if len(labels) == 1:
        return is_sure and last.lower() == "localhost"
    if last.isdigit():
        return len(labels) == 4 and all(map(_is_byte, labels))
    domain = top_level_domain(last)
    joined = last.istitle() and domain not in _NO_WORDS and not is_sure
    return bool(labels[-2] and domain and not joined)


def _begins_sentence(label: str) -> bool:
    return label.istitle() or (not label.isascii() and _BEFORE_UNSPACED.match(label) is not None)


def _is_byte(label: str) -> bool:
    return label.isdecimal() and len(label) <= 3 and int(label) <= 255
