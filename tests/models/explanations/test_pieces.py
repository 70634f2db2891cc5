"""Messages are tried by what is read of them: words, marks, and runs of characters where no blanks part words."""

from __future__ import annotations

import pytest

from sb_api.models.explanations.pieces import LONGEST_RUN, cut_message, join_without, name_piece, split_run

LONG = "このページの検索がまったく動かないので直してください"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("It crashes!! sooooo bad", ["it", "crashes", "!", "!", "soo", "bad"]),
        ("搜索坏了,帮忙", ["搜索坏了", ",", "帮忙"]),
        ("ค้นหา ไม่ได้", ["ค้นหา", "ไม่ได้"]),
        ("Casino賭場 free", ["casino", "賭場", "free"]),
        ("", []),
    ],
)
def test_pieces_are_words_marks_and_runs(text: str, pieces: list[str]) -> None:
    assert [piece.text for piece in cut_message(text)] == pieces


def test_a_long_run_is_cut_into_parts_that_go_on_without_blanks() -> None:
    pieces = cut_message(LONG)
    assert [piece.continues for piece in pieces] == [False, True, True]
    assert all(len(piece.text) <= LONGEST_RUN for piece in pieces)
    assert join_without(pieces).split() == [LONG]
    assert join_without(pieces, pieces[1].text).split() == [pieces[0].text, pieces[2].text]


def test_a_piece_is_left_out_wherever_it_stands() -> None:
    assert join_without(cut_message("no, no thanks"), "no").split() == [",", "thanks"]
    assert join_without(cut_message("no"), "no").strip() == "-", "there is always something to read"


@pytest.mark.parametrize(
    ("run", "characters"),
    [("ไม่ได้", ["ไม่", "ได้"]), ("น้ำตา", ["น้ำ", "ตา"]), ("バー々", ["バー々"]), ("賭場", ["賭", "場"])],
)
def test_vowels_tones_and_marks_stay_with_their_character(run: str, characters: list[str]) -> None:
    assert split_run(run) == characters


@pytest.mark.parametrize(
    ("text", "name"),
    [("casino", "word 'casino'"), ("!", "mark '!'"), ("賭場", "characters '賭場'"), ("猫", "word '猫'")],
)
def test_a_piece_is_called_what_it_is(text: str, name: str) -> None:
    assert name_piece(text) == name
