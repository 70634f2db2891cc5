"""Whether a text has a URL: the verdicts of urlextract, mostly without its price."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlextract import URLExtract

URL_TOKENS, URL_TOKEN_CHARACTERS = 64, 256

_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*\.)?[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.([A-Za-z]{2,63})"
_STOP = r'\s"<>;|=\])}'  # urlextract ends a URL there, on the left; brackets may follow
_AFTER_HOST = r'(?=[/?"<>|\])]|[.,]?(?:\s|\Z))'
# The scheme comes first, and what must stand before it is looked up from behind: so it is found at a glance.
_HTTP, _HTTPS = (rf"(?:(?<![^{_STOP}]{scheme})|(?<=[{_STOP}][(\[]{scheme}))" for scheme in ("http://", "https://"))
_WITH_SCHEME = re.compile(rf"http(?:://{_HTTP}|s://{_HTTPS}){_HOST}{_AFTER_HOST}")
_IN_BRACKETS = re.compile(rf"[(\[]https?://{_HOST}{_AFTER_HOST}")
# Whole tokens: a host with a path, and an e-mail address.
_WITHOUT_SCHEME = re.compile(rf"{_HOST}(?:[/?][\w/.~%?=&#+-]*|[.,]?)\Z", re.ASCII)
_ADDRESS = re.compile(r"[\w.+-]+@[\w.,:!?-]*\Z", re.ASCII)
_LABEL = re.compile(r"\.([^\W_][\w-]*)")
_FOUR_NUMBERS = re.compile(r"\d\.\d+\.\d+\.\d")


@cache
def top_level_domains() -> frozenset[str]:
    """In small letters, as in the list that comes with urlextract, whose code is left alone."""
    package = find_spec("urlextract")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("urlextract is not installed")
    listed = (Path(package.origin).parent / "data" / "tlds-alpha-by-domain.txt").read_text("utf-8")
    return frozenset(line.lower() for line in listed.splitlines() if not line.startswith("#"))


def has_url(text: str) -> bool:
    """Whether urlextract finds a URL in one of the tokens of `text`, which white space separates.

    What is clear is decided here. urlextract is asked about the rest, by the first characters of so many tokens at
    most: it costs up to a millisecond a token, and seconds where one is long.
    """
    domains = top_level_domains()
    if any(match[1].lower() in domains for match in _WITH_SCHEME.finditer(text)):
        return True
    if not _may_have_url(text):
        return False
    doubtful: dict[str, None] = {}
    for token in filter(_may_have_url, text.split()):
        found = _WITHOUT_SCHEME.match(token) or _IN_BRACKETS.match(token)
        if found and found[1].lower() in domains:
            return True
        if not _ADDRESS.match(token):
            doubtful[token[:URL_TOKEN_CHARACTERS]] = None
    return any(map(_ask_urlextract, islice(doubtful, URL_TOKENS)))


def _may_have_url(text: str) -> bool:
    """Whether there is a dot before a top-level domain, four numbers with dots between them, or localhost."""
    if "ocalhost" in text or "OCALHOST" in text:
        return True
    if "." not in text:
        return False
    labels, known = _LABEL.findall(text), _first_labels()
    return any(label.casefold() in known or "ı" in label or "İ" in label for label in labels) or (
        any(map(str.isdigit, labels)) and _FOUR_NUMBERS.search(text) is not None
    )


@cache
def _first_labels() -> frozenset[str]:
    """The top-level domains, case-folded, in letters of their own script up to the first that is none to `_LABEL`."""
    names = [name[4:].encode().decode("punycode") if name.startswith("xn--") else name for name in top_level_domains()]
    runs = [re.match(r"[\w-]*", name) for name in names]
    return frozenset(run[0].casefold() for run in runs if run) | top_level_domains()


@cache
def _url_extractor() -> URLExtract:
    # Imported when there is something to ask: it takes 0.3 seconds and 12 megabytes.
    from urlextract import URLExtract

    return URLExtract()


def _ask_urlextract(token: str) -> bool:
    try:
        return bool(_url_extractor().has_urls(token))
    except ValueError:
        return False  # it does not decode every user name of a URL
