"""Markup inside words hides nothing, and where it means something it stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sb_api.text.markup import join_marked_up
from sb_api.text.normalization import normalize_text

PLAIN = "Quick payday loans online, casino"
HALVES = [
    *("<i>{}</i>", "<B>{}</B>", "<font color=red>{}</font>", '<span class="x">{}</span>', "<a>{}</a>", "<x>{}</x>"),
    *("[b]{}[/b]", "[color=red]{}[/color]", "''{}''", "'''{}'''", "**{}**", "__{}__", "~~{}~~"),
]
INSIDE = [
    "<!-- " + "words " * 50 + "-->",
    '<b title="' + "words " * 50 + '"></b>',
    *(
        "<b>",
        "</b>",
        "<b/>",
        "<wbr>",
        "<i></i>",
        "<i> </i>",
        "<i\n></i>",
        "<x-y></x-y>",
        "<h1></h1>",
        "<!-->",
        "<!-- x -->",
    ),
    *(
        "<i><b></b></i>",
        "<h1><h2></h2></h1>",
        '<b class="x"></b>',
        "[url][/url]",
        "[color=red][/color]",
        "[b][i][/i][/b]",
    ),
    *("<!-- x -->", "</i><b>", "''", "'''", "**", "__", "~~", "&lt;wbr&gt;", "＜b＞", "<sp<i>an>", "[b][i][/i][/b]"),
]


@pytest.mark.parametrize("way", HALVES)
def test_half_a_word_in_another_type_is_part_of_it(way: str) -> None:
    second = re.sub(r"(\w\w)(\w+)", lambda word: word[1] + way.format(word[2]), PLAIN)
    assert normalize_text(second).text == PLAIN
    if way[0] in "<[":
        first = re.sub(r"(\w\w)(\w+)", lambda word: way.format(word[1]) + word[2], PLAIN)
        assert normalize_text(first).text == PLAIN


@pytest.mark.parametrize("sign", INSIDE)
def test_what_stands_inside_words_is_left_out(sign: str) -> None:
    assert normalize_text(re.sub(r"(\w\w)(\w+)", rf"\1{sign}\2", PLAIN)).text == PLAIN


def test_letters_in_bold_type_one_by_one_are_a_word() -> None:
    assert normalize_text(re.sub(r"\w", r"<b>\g<0></b>", PLAIN)).text == PLAIN
    assert normalize_text("<b>M</b>usic is <b>life</b>").text == "Music is life"


@pytest.mark.parametrize(
    "text",
    [
        "word<br>word",
        "<p>one</p><p>two</p>",
        "<li>one</li><li>two</li>",
        'foo<a href="http://records.example">bar</a>baz',
        "foo[url=http://records.example]bar[/url]baz",
        "x[http://records.example my records]y",
        "<b>jazz</b> and <i>rock</i>, <b>one</b> <i>two</i>",
        "<b>jazz</b> [b]rock[/b] **soul** __funk__ ~~pop~~ \"''folk''\"",
        "I<3you, arr[1]x, so[sic]so, [Verse]la, th[i]s, wom[e]n",
        "if a<b>c then, vector<int>foo",
        "pat<at>mail<dot>example, user<name@mail.example>",
        "f**k that s**t, 2**3**4**5",
    ],
)
def test_what_means_something_stays(text: str) -> None:
    assert join_marked_up(text) == text
    assert normalize_text(text).text == text


def test_what_may_not_be_shown_is_said_to_be_so() -> None:
    assert 'style="display:none"' in normalize_text('ca<span style="display:none">xyz</span>sino').text


BITS = [*"<>[]/bix!?='*", " ", "\n", "ca", "é", "<b>", "</b>", "<i ", "<b [x]>", "[i=>]", "[b]", "[/b]", "<br>"]


@given(st.lists(st.sampled_from(BITS), max_size=14).map("".join))
@example("ca</i><b [x]>sino")
def test_whatever_is_between_brackets_is_joined_once(text: str) -> None:
    joined = join_marked_up(text)
    assert join_marked_up(joined) == joined
    assert len(joined) <= len(text)
