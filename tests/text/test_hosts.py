"""One host, one form, however a URL or an address is written; and what to look up where it is not known."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.text.hosts import (
    LONGEST_HOST,
    email_domain,
    host_candidates,
    normalize_host,
    split_email,
    split_website,
    website_host,
)


@pytest.mark.parametrize(
    "website",
    [
        "https://records.example/artist/7",
        "http://records.example",
        "records.example",
        "//records.example/",
        "HTTPS://Records.EXAMPLE?x=1",
        "https://www.records.example/",
        "www.records.example.",
        "https://records.example./artist",
        "https://records.example:8443/",
        "https://user:p@ss@records.example:80/#a",
        "  https://records.example\n",
        "https:\\\\records.example\\x",
        "http:/records.example",
        "http//records.example",
        "hxxps://records.example",
        "http://http://records.example",
        "ｈｔｔｐ：／／ｒｅｃｏｒｄｓ．ｅｘａｍｐｌｅ",
        "https://records。example/",
        "ftp://records.example/",
        "http://.records.example/",
        "http://rec%6frds.example/",
        "http://rec&#111;rds.example/",
        "http&#58;//records.example/",
        "records[.]example",
        "hxxp://records(dot)example",
        "records . example",
    ],
)
def test_one_host_has_one_form(website: str) -> None:
    assert website_host(website) == "records.example"


@pytest.mark.parametrize(
    ("website", "host"),
    [
        ("http://пример.рф/", "xn--e1afmkfd.xn--p1ai"),
        ("http://ПРИМЕР.рф./", "xn--e1afmkfd.xn--p1ai"),
        ("http://XN--E1AFMKFD.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("https://straße.example", "xn--strae-oqa.example"),
        ("http://i❤.ws/", "xn--i-7iq.ws"),
        ("http://192.0.2.7:80/", "192.0.2.7"),
        ("http://0xC0.0.2.7/", "192.0.2.7"),
        ("http://3221225991/", "192.0.2.7"),
        ("http://[2001:DB8:0:0::1]:80/", "2001:db8::1"),
        ("http://[::ffff:192.0.2.7]/", "192.0.2.7"),
        ("www.com", "www.com"),
        ("localhost:80", "localhost"),
        ("", ""),
        ("   ", ""),
        ("http:", ""),
        ("http://[", ""),
        ("my own page", "my own page"),
    ],
)
def test_what_is_no_plain_name(website: str, host: str) -> None:
    assert website_host(website) == host


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("pat@Mail.Example", "mail.example"),
        ("pat@mail.example.", "mail.example"),
        ("Pat <pat@mail.example>", "mail.example"),
        ("a@b@mail.example ", "mail.example"),
        ("pat@почта.рф", "xn--80a1acny.xn--p1ai"),
        ("pat@[192.0.2.7]", "192.0.2.7"),
        ("pat", ""),
        ("pat@", ""),
        ("", ""),
    ],
)
def test_mail_domains(email: str, domain: str) -> None:
    assert email_domain(email) == domain


@pytest.mark.parametrize(
    ("host", "candidates"),
    [
        ("records.example", ("records.example", "example")),
        ("shop.eu.records.example", ("shop.eu.records.example", "records.example", "example")),
        ("mx1.mail.co.uk", ("mx1.mail.co.uk", "mail.co.uk", "co.uk", "uk")),
        ("pat.blogspot.com", ("pat.blogspot.com", "blogspot.com", "com")),
        ("a.pat.blogspot.com", ("a.pat.blogspot.com", "pat.blogspot.com", "blogspot.com", "com")),
        ("a.xn--e1afmkfd.xn--p1ai", ("a.xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai", "xn--p1ai")),
        ("localhost", ("localhost",)),
        ("192.0.2.7", ("192.0.2.7",)),
        ("2001:db8::1", ("2001:db8::1",)),
        ("", ()),
    ],
)
def test_an_unknown_host_is_looked_up_by_less_and_less(host: str, candidates: tuple[str, ...]) -> None:
    assert host_candidates(host) == candidates


AROUND = [
    *("{}", "\ufeff{}", "\x01{}", "\u202a{}\u202c", "\u200b{}\u200b", "<{}>", '"{}"', "({})", "[url={}]x[/url]"),
    *("[url]{}[/url]", "URL: {}", "&zwnj;{}", "\u201c{}\u201d"),
]


@pytest.mark.parametrize("around", [*AROUND, '<a href="{}">x</a>', "[x]({})", "My site: {}", "\u200b" * 30_000 + "{}"])
def test_what_stands_around_a_url_is_no_part_of_it(around: str) -> None:
    assert split_website(around.format("http://records.example/play")) == ("records.example", "play")


@pytest.mark.parametrize(
    "website",
    [
        "records.example/play",
        "https:records.example/play",
        "http:/records.example/play",
        "http:///records.example/play",
        "http:\\\\records.example\\play",
        "http://records.example/%70lay",
        *(around.format("records.example/play") for around in AROUND),
    ],
)
def test_the_path_is_that_of_the_host(website: str) -> None:
    assert split_website(website) == ("records.example", "play")


def test_letters_of_the_path_are_decoded() -> None:
    encoded = "https://ru.wikipedia.org/wiki/%D0%9A%D0%B8%D0%BD%D0%BE"
    assert (
        split_website(encoded)
        == split_website("https://ru.wikipedia.org/wiki/Кино")
        == ("ru.wikipedia.org", "wiki/Кино")
    )
    assert split_website("http://records.example/E%CC%81dith%20Piaf") == ("records.example", "Édith%20Piaf")


@pytest.mark.parametrize(
    "email",
    [
        *(
            "pat@mail.example;",
            "pat@mail.example,",
            "pat@mail.example (x)",
            "mailto:pat@mail.example",
            "pat @ mail.example",
        ),
        *("pat\uff20mail.example", "pat&#64;mail.example", "Pat X <pat@mail.example>", "\ufeffpat@mail.example\u200b"),
    ],
)
def test_what_stands_around_an_address_is_no_part_of_it(email: str) -> None:
    assert split_email(email) == ("mail.example", "pat")


NAMES = st.text(st.sampled_from("aZ9-._~[]:@/\\%?#éя中。\u00ad\u200b\ud800 🎰"), max_size=30) | st.text(max_size=30)


@given(NAMES)
def test_a_host_in_its_form_stays(name: str) -> None:
    host = normalize_host(name)
    assert len(host) <= LONGEST_HOST
    assert normalize_host(host) == host
    assert host_candidates(host)[:1] == ((host,) if host else ())


@given(NAMES)
def test_whatever_stands_in_the_fields_has_a_host_or_none(text: str) -> None:
    assert len(website_host(text)) <= LONGEST_HOST
    assert len(email_domain(text)) <= LONGEST_HOST


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,6}){1,3}", fullmatch=True))
def test_www_case_final_dot_and_port_change_nothing(host: str) -> None:
    plain = website_host(host)
    for written in (f"http://{host}/", f"HTTP://{host.upper()}.", f"www.{host}", f"https://u:p@www.{host}:81/x?y#z"):
        assert website_host(written) == plain


def test_the_list_is_read_where_it_is_needed_and_never_fetched() -> None:
    script = """
import socket, sys
def refuse(*_): raise AssertionError("the network was used")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from sb_api.text.hosts import host_candidates, website_host
assert website_host("https://shop.records.example/") and "publicsuffixlist" not in sys.modules
assert host_candidates("a.b.co.uk")[1] == "b.co.uk" and "publicsuffixlist" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
