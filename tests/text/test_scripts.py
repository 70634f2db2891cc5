"""Characters are counted by what they are."""

from __future__ import annotations

import pytest

from sb_api.text.characters.scripts import KINDS, count_kinds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("aé", {"small letter": 2}),
        ("AÉ", {"capital": 2}),
        ("7٣", {"digit": 2}),
        ("-!¿،", {"mark": 4}),
        (" \t\u3000", {"blank": 3}),
        ("\n\r", {"line break": 2}),
        ("\u200b\x00", {"invisible": 2}),
        ("+€\U0001f600", {"symbol": 3}),
        ("αΑ", {"Greek": 2}),
        ("мМ", {"Cyrillic": 2}),
        ("שלום", {"Hebrew": 4}),
        ("سلام", {"Arabic": 4}),
        ("नमस्ते", {"Indic": 6}),
        ("ไทย", {"Thai and like it": 3}),
        ("漢字\U00020001", {"Han": 3}),
        ("ひカ", {"kana": 2}),
        ("한국", {"Hangul": 2}),
        ("აბ\U0010ffff", {"other letter": 2, "symbol": 1}),
        ("", {}),
    ],
)
def test_characters_are_counted_by_kind(text: str, kinds: dict[str, int]) -> None:
    counts = count_kinds(["x", text, "Y "])
    assert {kind: count for kind, count in zip(KINDS, counts[1].tolist(), strict=True) if count} == kinds
    assert counts[[0, 2]].sum(axis=1).tolist() == [1, 2]
