"""Unicode's forms, of whatever text: as Unicode has them where people write, and bounded where they do not."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from sb_api.text.characters.composition import MOST_IN_A_ROW, compose, drop_surplus_marks

ACUTE, DOT_BELOW, VOICED, TIBETAN = "\u0301", "\u0323", "\uff9e", "\u0f73"
MARKS = st.text(st.sampled_from([ACUTE, DOT_BELOW, VOICED, TIBETAN]), max_size=3 * MOST_IN_A_ROW)


def longest_row(text: str) -> int:
    rows = "".join("x" if unicodedata.combining(c) else " " for c in text).split()
    return max(map(len, rows), default=0)


@given(st.text(max_size=40))
def test_what_has_few_marks_is_as_unicode_has_it(text: str) -> None:
    if longest_row(unicodedata.normalize("NFKD", text)) <= MOST_IN_A_ROW:
        assert compose(text) == unicodedata.normalize("NFKC", text)
        assert compose(text, "NFC") == unicodedata.normalize("NFC", text)


@given(st.lists(MARKS, max_size=4))
@example([ACUTE * MOST_IN_A_ROW])
@example([DOT_BELOW + ACUTE * MOST_IN_A_ROW])
def test_of_a_row_of_marks_the_first_stay(rows: list[str]) -> None:
    text = "a".join(["", *rows, ""])
    kept = "a".join(["", *(row[:MOST_IN_A_ROW] for row in rows), ""])
    assert drop_surplus_marks(text) == (kept, len(text) - len(kept))
    assert compose(text) == unicodedata.normalize("NFKC", kept)
