"""Markup inside words, which hides them from whoever does not see the page that it is meant for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice

# Elements of HTML that a page shows within a line: what stands on either side of them is one word.
_WITHIN_A_LINE = re.compile(
    "abbr|acronym|b|bdi|bdo|big|blink|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|nobr|q|rb|rp|rt|ruby|s|samp"
    "|small|span|strike|strong|sub|sup|time|tt|u|var|wbr"
)
# Elements that part words, or have something to be seen.
_BY_THEMSELVES = re.compile(
    "address|article|aside|audio|blockquote|body|br|button|center|dd|details|dialog|div|dl|dt|embed|fieldset"
    "|figcaption|figure|footer|form|frame|h[1-6]|head|header|hr|html|iframe|img|input|li|link|main|menu|nav|object|ol"
    "|option|p|param|picture|pre|script|section|select|source|style|summary|svg|table|tbody|td|textarea|tfoot|th|thead"
    "|title|tr|ul|video"
)
_OF_BBCODE = re.compile("b|big|colou?r|del|em|font|highlight|i|ins|s|size|small|strike|strong|sub|sup|tt|u")

_NAMED = r"[a-z][a-z0-9-]{0,20}"
_ATTRIBUTES = r"(?:\s{1,5}(?:[a-z][^<>]*+)?)?"
_HTML = rf"(?:/?{_NAMED}{_ATTRIBUTES}/?|[!?][^<>]*+)>"
_BBCODE = r"/?[a-z]{1,10}(?:=[^\[\]<>\s]{1,40})?\]"
# An element with nothing but a few blanks in it is as good as empty. No group is within what is repeated possessively:
# Python 3.11 to 3.13 fail on some texts then ("The span of capturing group is wrong").
_BLANK = rf"{_NAMED}{_ATTRIBUTES}>\s{{1,3}}</{_NAMED}>"
_TAGS = rf"(?:<(?:{_BLANK}|{_HTML})|\[{_BBCODE})"
# Two expressions, as one character that begins a match is found ten times as soon as one of two.
_HTML_INSIDE = re.compile(rf"<(?<=[^\W_]<)(?:{_BLANK}|{_HTML}){_TAGS}*+(?=[^\W_])", re.IGNORECASE)
_BBCODE_INSIDE = re.compile(rf"\[(?<=[^\W_]\[){_BBCODE}{_TAGS}*+(?=[^\W_])", re.IGNORECASE)
_ALL_TAGS = re.compile(rf"{_TAGS}++", re.IGNORECASE)
_PART = re.compile(rf"(?:(<)|\[)(/?)({_NAMED}|[!?])((?(1)[^<>]|[^\[\]])*)[>\]]|\s+", re.IGNORECASE)
_ENDS = re.compile(rf"[<\[]/{_NAMED}", re.IGNORECASE)
_LINK = re.compile(r"<a\s", re.IGNORECASE)
# "a<b>c" compares numbers.
_COMPARISON = re.compile(r"(?<!\w)\w<[a-z]>\w(?!\w)", re.IGNORECASE)
_HIDING = re.compile("style|hidden", re.IGNORECASE)  # what is in such an element may not be shown
_ROUNDS = 3  # tags inside tags inside tags

# What wikis and Markdown make letters bold, slanted and so on with, two marks at least.
_EMPHASIS = r"(?:''+|\*\*+|__+|~~+)++"
_EMPHASIS_INSIDE = re.compile(rf"(?<=[^\W\d_]){_EMPHASIS}(?=[^\W\d_])")
_ALL_EMPHASIS = re.compile(_EMPHASIS)
_LEAST_EMPHASIS = 3  # times inside a word; "f**k" and "my__name" mean what they say


def join_marked_up(text: str) -> str:
    """`text` without the tags (HTML, BBCode) that stand between two letters of a word, such as half of it in bold type,
    and without the signs of wikis and Markdown that do so in several words.

    Where there are such, those beside a word are left out too, as they belong together. What parts words ("<br>") or
    may have an address ("<a href=...>", "[url]") stays, but for elements without anything in them. Time: linear.
    """
    if "<" in text or "[" in text:
        text = _join_tagged(text)
    # Two characters take ten times as long to be looked for as one.
    if "*" in text or "_" in text or "~" in text or ("'" in text and "''" in text):
        found = islice(_EMPHASIS_INSIDE.finditer(text), _LEAST_EMPHASIS)
        return _ALL_EMPHASIS.sub(_leave_out, text) if len([*found]) == _LEAST_EMPHASIS else text
    return text


def _join_tagged(text: str) -> str:
    for _ in range(_ROUNDS):
        if not _HTML_INSIDE.search(text) and not _BBCODE_INSIDE.search(text):
            break
        ends = _ends_in(text)
        if all(_visible(tags, ends) for tags in _tags_inside(text)):
            break
        text = _ALL_TAGS.sub(partial(_leave_out, what_stays=partial(_visible, ends=ends)), text)
    return text


def _leave_out(match: re.Match[str], what_stays: Callable[[str], str] = lambda _: "") -> str:
    """What stays of signs or tags: all of them where no letter is beside them."""
    beside = match.string[max(match.start() - 1, 0) : match.start()] + match.string[match.end() : match.end() + 1]
    return what_stays(match[0]) if any(map(str.isalnum, beside)) else match[0]


def _tags_inside(text: str) -> Iterator[str]:
    """The runs of tags that stand between two letters of a word."""
    for match in chain(_HTML_INSIDE.finditer(text), _BBCODE_INSIDE.finditer(text)):
        if not _COMPARISON.search(text[max(match.start() - 2, 0) : match.end() + 2]):
            yield match[0]


def _ends_in(text: str) -> frozenset[str]:
    """The elements, with their brackets, that end in a text; a link is none of them, as it has its address."""
    ends = frozenset(end.lower().replace("/", "") for end in _ENDS.findall(text))
    return ends - {"<a"} if _LINK.search(text) else ends


def _visible(tags: str, ends: frozenset[str]) -> str:
    """What is left of tags in a row without empty elements and the tags that show nothing by themselves."""
    left: list[tuple[str, str]] = []  # the element that is begun, "" where one ends, and the tag
    for part in _PART.finditer(tags):
        _, slash, name, attributes = part.groups("")
        element = (part[0][0] + name).lower()
        if not name:  # blanks, which only elements have between their tags
            left[-1] = left[-1][0], left[-1][1] + part[0]
        elif slash and left and left[-1][0] == element:
            left.pop()
        elif not _shows_nothing(element, attributes, ends):
            left.append(("" if slash else element, part[0]))
        elif not slash:
            left.append((element, ""))
    return "".join(tag for _, tag in left)


def _shows_nothing(element: str, attributes: str, ends: frozenset[str]) -> bool:
    """Whether a tag of an element (with its bracket) shows nothing, where the elements of `ends` end in the text."""
    bracket, name = element[0], element[1:]
    if bracket == "[":
        return element in ends and _OF_BBCODE.fullmatch(name) is not None
    if _BY_THEMSELVES.fullmatch(name) or _HIDING.search(attributes):
        return False
    return name in "!?" or "-" in name or element in ends or _WITHIN_A_LINE.fullmatch(name) is not None
