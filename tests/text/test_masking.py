"""Personal data never gets past `mask_personal_data`, and ordinary words do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.text.masking import mask_personal_data


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to joe.doe+x@mail.example.co.uk soon", "write to <email> soon"),
        ("see http://a.example/c?d=1 now", "see <url> now"),
        ("at www.shop.example", "at <url>"),
        ("visit casino-bonus.com/now please", "visit <url> please"),
        ("iban GB29 NWBK 6016 1331 9268 19 please", "iban <iban> please"),
        ("to DE89370400440532013000", "to <iban>"),
        ("card 4111 1111 1111 1111 ok", "card <card> ok"),
        ("from 192.168.0.1 yesterday", "from <ip> yesterday"),
        ("from 2001:db8::1 yesterday", "from <ip> yesterday"),
        ("call +44 20 7946 0958", "call <phone>"),
        ("call (212) 555-2368 today", "call <phone> today"),
        ("order number 12345-AB is late", "order number <order> is late"),
        ("my order #99812", "my order #<order>"),
        ("Invoice: INV-2024-0815", "Invoice: <order>"),
        ("it is 123456789012345", "it is <order>"),
    ],
)
def test_personal_data_becomes_a_token(text: str, masked: str) -> None:
    assert mask_personal_data(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "I have 30 items of 1999 and 2020",
        "e.g. this one, i.e. that",
        "at 12:30:45 on 2020-01-01",
        "order by date",
        "card 4111 1111 is half a number",
        "the ratio is 3.14 to 2.71",
        "",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert mask_personal_data(text) == text


@given(st.text(max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = mask_personal_data(text)
    assert mask_personal_data(once) == once


@given(st.from_regex(r"[a-z]{1,12}\.[a-z]{1,12}@[a-z]{1,12}\.(com|org|net)", fullmatch=True))
def test_no_address_survives_between_words(address: str) -> None:
    assert mask_personal_data(f"ask {address} about it") == "ask <email> about it"


def test_a_long_text_without_spaces_costs_no_time() -> None:
    """Twenty thousand characters of every kind that the patterns look for: the time is not their square."""
    import time

    for text in ("1" * 20_000, "a." * 10_000, "a@" * 10_000, "1:" * 10_000, "GB29" + "A" * 20_000, "1-" * 10_000):
        start = time.process_time()
        mask_personal_data(text)
        assert time.process_time() - start < 4.0, text[:8]
