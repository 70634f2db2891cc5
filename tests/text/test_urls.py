"""Whether a text has a URL: what urlextract finds, but for sentences without a blank, and what it cannot read."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sb_api.synthetic.editors import generate_campaign, generate_editors
from sb_api.text.urls import has_url, top_level_domains
from tests.support.plain_preprocessing import urlextract_finds


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
    assert urlextract_finds(text) == expected  # what it is measured by
    assert has_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://музыка.рф",
        "музыка.рф и ещё",
        "サイトはhttp://records7.comです",
        "サイトはrecords7.comです",
        "官网https://records7.com，注册",
        "官网records7.com。",
        "ดูที่http://records7.comนะ",
        "http://records7.com./shop",
        "see records7.com. Then call",
        "“records7.com”",
        "records7.com!",
        "Website:records7.com",
        "https://user:secret@records7.com",
        "http://Hi.My",
        "look..records7.com",
        "Visit records7.com.Then call",
        "Hi.My/name",
        "www.Hi.My",
        "Example.Com",
    ],
)
def test_a_url_is_found_that_urlextract_does_not_read(text: str) -> None:
    assert has_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hi.My name is Al",
        "I like jazz.It is great",
        "the end.So what",
        "привет.Москва красивая",
        "B.Sc. in music",
        "joe.me@example.com",
        "x@a.com/b",
        "wait..it is, wait...so it is",
        "and/or.it",
        "1.2.3.4.5",
        "300.1.1.1",
        "no host: http:// or :// or http://a",
        "localhost",
        "です。ロック",
    ],
)
def test_what_is_no_url(text: str) -> None:
    assert not has_url(text)


def test_made_up_bios_have_the_verdicts_of_urlextract() -> None:
    """But for degrees and sentences, whose capital after a full stop it takes for a top-level domain, and for addresses
    with a letter of another script or two full stops right behind them, which it does not find."""
    made = [
        *generate_editors(1200, seed=21),
        *(one for index in range(5) for one in generate_campaign(index, 20, seed=21)),
    ]
    bios = [str(editor.record["bio"]) for editor in made if editor.record["bio"]]
    bios = [bio for bio in bios if not re.search(r"\.[A-Z][a-z]|https?://[!-~]*(?:[^\x00-\x7f]|\.\.)", bio)]
    expected = [urlextract_finds(bio) for bio in bios]
    assert len(bios) > 500
    assert 100 < sum(expected) < len(bios) - 100
    assert [bio for bio, found in zip(bios, expected, strict=True) if has_url(bio) != found] == []


def test_top_level_domains_are_read_from_a_file_and_no_more() -> None:
    script = """
import sys
from sb_api.text.urls import has_url
assert has_url("http://records.example.com/") and not has_url("records.nothing")
assert not {"urlextract", "publicsuffixlist"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert {"com", "uk", "museum", "рф", "xn--p1ai", "ck"} <= top_level_domains()
    assert not {"", "*", "co.uk", "nothing", "example"} & top_level_domains()


NAMES = st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,8}", fullmatch=True)
DOMAINS = st.sampled_from(["com", "de", "co.uk", "museum", "xn--p1ai", "рф", "中国"])
BESIDE = st.sampled_from(
    ["", " ", "(", ")", '"', "“", "”", "，", "。", "!", ";", "|", "*", "です", "官网", "[url=", "]"]
)


@given(BESIDE, st.sampled_from(["http://", "https://", "HTTP://", "hxxp://", "://"]), NAMES, DOMAINS, BESIDE)
def test_a_host_after_a_scheme_is_a_url_whatever_stands_beside_it(
    before: str, scheme: str, name: str, domain: str, after: str
) -> None:
    after = "" if not domain.isascii() and after.isalpha() else after  # one script: no border to be seen
    assert has_url(f"x {before}{scheme}{name}.{domain}{after}")
    assert has_url(f"x {before}{scheme}{name}.{domain}.{after}/")


@given(NAMES, st.sampled_from(["com", "org", "de"]), st.sampled_from([*"!?,;:)(\"'/#|<> …”"]))
def test_a_host_by_itself_is_a_url_and_behind_an_at_sign_it_is_none(name: str, domain: str, after: str) -> None:
    assert has_url(f"see {name}.{domain}{after}")
    assert not has_url(f"ask me@{name}.{domain}{after}")
    assert not has_url(f"ask {name}.{domain}@nowhere{after}")


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
@settings(max_examples=250, deadline=None)
@example("1.1.1.1x" * 100)
@example("http://%ff@example.com")
def test_whatever_the_text_there_is_a_verdict_and_blanks_around_it_change_nothing(text: str) -> None:
    found = has_url(text)
    assert has_url(f" {text}\n") == found


@given(links)
@settings(max_examples=250, deadline=None)
@example("a-b.com")
def test_what_urlextract_finds_is_found(link: str) -> None:
    """But for a sentence's first word, what follows an e-mail address, a path alone, and a bracket before localhost."""
    if urlextract_finds(link) and not re.search(r"\.[A-Z][a-z]|@|/a\.com|localhost", link):
        assert has_url(link)
