"""Whether a text has a URL: the verdicts are those of urlextract, token by token."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urlextract import URLExtract

from sb_api.synthetic.editors import generate_campaign, generate_editors
from sb_api.text.urls import URL_TOKENS, has_url
from tests.support.plain_preprocessing import plain_has_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see http://example.com", True),
        ("see www.example.com now", True),
        ("example.com", True),
        ("(example.com)", True),
        ("[url=http://example.com]x[/url]", True),
        ('<a href="https://example.com/a?b=c">x</a>', True),
        ("EXAMPLE.COM", True),
        ("http://192.168.1.1/x", True),
        ("", False),
        ("I like music. And you", False),
        ("the end...", False),
        ("e.g. this, i.e. that", False),
        ("version 1.2.3", False),
        ("someone@example.com", False),
    ],
)
def test_a_url_in_a_bio_is_found(text: str, expected: bool) -> None:
    assert plain_has_url(text) == expected  # what it is measured by
    assert has_url(text) == expected


def test_made_up_bios_have_the_verdicts_of_urlextract() -> None:
    made = [
        *generate_editors(1200, seed=21),
        *(one for index in range(5) for one in generate_campaign(index, 20, seed=21)),
    ]
    bios = [str(editor.record["bio"]) for editor in made if editor.record["bio"]]
    expected = [plain_has_url(bio) for bio in bios]
    assert len(bios) > 500
    assert 100 < sum(expected) < len(bios) - 100
    assert [bio for bio, found in zip(bios, expected, strict=True) if has_url(bio) != found] == []


def test_urlextract_is_not_imported_for_made_up_bios() -> None:
    """It is large and slow to start: a process that judges editors is to do without it."""
    script = """
import sys
from sb_api.synthetic import generate_editors
from sb_api.urls import has_url
assert any([has_url(editor.record["bio"] or "") for editor in generate_editors(300, seed=3)])
assert "urlextract" not in sys.modules
assert has_url("http://1.2.3.4/") and "urlextract" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_few_of_many_doubtful_tokens_are_asked_about() -> None:
    """Only urlextract can tell that these are no URLs: thousands of them would hold up a classify process."""
    doubtful = " ".join(f"user{number}:@example.com!" for number in range(URL_TOKENS + 1))
    assert not has_url(doubtful)
    assert not has_url(f"{doubtful} HTTP://example.com")
    assert has_url(f"{doubtful} http://example.com")
    assert has_url(f"HTTP://example.com {doubtful}")


def test_a_user_name_that_cannot_be_decoded_is_no_url() -> None:
    """urlextract raises there."""
    with pytest.raises(UnicodeDecodeError):
        URLExtract().has_urls("http://%ff@example.com")
    assert not has_url("http://%ff@example.com")


MARKS = [*"@./=:%#?!,-_~&+|;<>[](){}'`…。’", "//", "://", "](", '"', "\\"]
SCHEMES = ["http", "https", "http://", "https://", "HTTP://", "www.", "user@", "[url=", "[/url]", "href="]
NAMES = [
    "a",
    "b1",
    "com",
    "org",
    "COM",
    "co",
    "uk",
    "co.uk",
    "museum",
    "example",
    "gmail.com",
    ".com",
    ".ru",
    "a.b",
    "e.g.",
]
NUMBERS = ["1", "25", "255", "1.2.3.4", "192.168.0.1", ":80", "%41", "%ff"]
ODD = [
    "localhost",
    "LOCALHOST",
    "Localhost",
    "\u2100",
    "é",
    "中",
    "рф",
    ".рф",
    "भारत",
    "ı",
    "İ",
    "ſ",
    "\u212a",
    "xn--p1ai",
]
PIECES = [*MARKS, *SCHEMES, *NAMES, *NUMBERS, *ODD, "xn--", "-a", "a-", "/path", "index.html", "ß", "ς", "ευ", "ως"]
tokens = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), min_size=1, max_size=8).map("".join)
links = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "(", "[", "](", '"', "'", "=", ">", "x", "//", ".", "-", "é", "a](", "[url="]),
    st.sampled_from(["", "http://", "https://", "HTTP://", "ftp://", "//", "user@", "http://user@", "www."]),
    st.sampled_from(["a", "a-b", "-a", "a-", "a_b", "www.a", "é", "a.", "1", "x" * 70, "localhost"]),
    st.sampled_from([".com", ".co.uk", ".COM", ".рф", ".commerce", ".nothing", ".1", "", ".com.", ".com.nothing"]),
    st.sampled_from(
        ["", "/", "/a.com", ")", "]x[/url]", '">x</a>', ".", ",", "!", ";", ":80", "?a=b", "#a", "/é)", "|x", "'"]
    ),
)


@given(st.lists(tokens | links, min_size=1, max_size=3).map(" ".join))
@settings(max_examples=1500)
def test_whatever_the_text_the_verdict_is_that_of_urlextract(text: str) -> None:
    """As it judges every token by itself."""
    assert has_url(text) == plain_has_url(text)
