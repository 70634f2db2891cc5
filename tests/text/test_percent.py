"""An address that was copied from a browser reads like the one that a browser shows."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.text.normalization import NOTHING, normalize_text
from sb_api.text.percent import decode_letters


@pytest.mark.parametrize(
    "page",
    [
        "Кино_(группа)",
        "坂本龍一",
        "Μίκης_Θεοδωράκης",
        "أم_كلثوم",
        "Édith_Piaf",
        "עופרה_חזה",
        "लता_मंगेशकर",
        "방탄소년단",
        "𐐀",
    ],
)
def test_letters_are_read_as_they_are_meant(page: str) -> None:
    shown, copied = (f"see https://xx.wikipedia.org/wiki/{name} now" for name in (page, quote(page, safe="()_")))
    assert decode_letters(copied) == decode_letters(copied.replace("%D", "%d")) == shown
    assert normalize_text(copied) == normalize_text(shown)
    assert normalize_text(copied).undone == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "100% of 50%25 and 5%41, My%20Music, %3Cb%3E %26amp; %0A%00 %",
        "%25D0%259A",  # encoded twice: once is not enough to show it
        "%C2%A0 %E2%80%8B %E3%85%A4 %EF%BC%9Cb%EF%BC%9E %EF%B7%BA",  # blanks, invisible, markup, several words
        "%D0 %9A%D0 %D0%4A %C0%BC %ED%A0%80 %F4%90%80%80",  # no UTF-8
    ],
)
def test_all_else_stays(text: str) -> None:
    assert decode_letters(text) == text


@given(st.text(max_size=20).map(lambda text: quote(text, errors="replace")))
def test_nothing_comes_in_that_is_no_letter(text: str) -> None:
    decoded = decode_letters(text)
    assert set(filter(str.isascii, decoded)) <= set(text)
    assert decode_letters(decoded) == decoded
    assert not any(c.isspace() for c in decoded)
