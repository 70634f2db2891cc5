"""What shows nothing wherever it stands, and HTML's references to characters, which may mean such."""

from __future__ import annotations

import html
import re

# Format characters (category Cf), variation selectors, fillers that show nothing, and control characters.
INVISIBLE_CLASS = (
    "\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
INVISIBLE = re.compile(f"[{INVISIBLE_CLASS}]+")
# References to letters need no semicolon where a number ends them; names do, as "?a=1&copy=2" is no copyright sign, but
# for the one of the soft hyphen inside a word, whose accents may be marks of their own.
ENTITY = re.compile(
    r"&(?:#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});?|[A-Za-z][A-Za-z0-9]{1,31};"
    r"|shy(?<=[^\W\d_]&shy|[\u0300-\u036f]&shy)(?=[^\W\d_]))"
)
_BLANK = re.compile(f"[\\s\u2800{INVISIBLE_CLASS}]*+")
_LONGEST_WRITTEN = 100  # characters of a text that is looked through for entities: more of them mean something else


def unescape(text: str) -> tuple[str, int]:
    """`text` with the characters that its entities stand for, and how many of these it had."""
    return ENTITY.subn(lambda match: html.unescape(match[0]), text)


def is_blank(text: str) -> bool:
    """Whether `text` shows nothing: it is white space, invisible characters, or entities of such."""
    end = _BLANK.match(text).end()  # type: ignore[union-attr]  # the empty text matches
    if end == len(text) or text[end] != "&" or len(text) > _LONGEST_WRITTEN:
        return end == len(text)
    return _BLANK.fullmatch(unescape(text)[0]) is not None
