"""Texts are read in the encoding that they were written in, or it is said that nobody knows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sb_api.errors import InvalidParameter
from sb_api.readers.batches import Asked, open_blocks
from sb_api.readers.encodings import find_encoding
from sb_api.readers.rows import RECORD_FIELDS

TEXTS = {
    "French": "La page de recherche ne répond plus, où trouver l'édition déjà créée ? L'œuvre a été supprimée",
    "German": "Schöne Grüße aus Köln, die Bestellung für Björk ist leider nicht angekommen",
    "Spanish": "¿Cómo añado una portada a una edición ya publicada? Mañana lo intentaré",
    "Polish": "Strona wyszukiwania nie działa. Jak dodać okładkę do już opublikowanego wydania? Gdzie znaleźć listę",
    "Czech": "Jak přidám obrázek k vydání, které už bylo zveřejněno? Děkuji za odpověď",
    "Turkish": "Arama sayfası dünden beri çalışmıyor. Yayınlanmış bir sürüme kapak nasıl eklenir?",
    "Russian": "Как добавить обложку к уже опубликованному изданию?",
    "Greek": "Πώς μπορώ να προσθέσω ένα εξώφυλλο σε μια έκδοση;",
    "Lithuanian": "Kaip pridėti viršelį prie jau paskelbto leidinio? Ačiū už pagalbą, labai gražiai prašau",
    "Arabic": "كيف يمكنني إضافة صورة إلى ألبوم منشور بالفعل؟",
    "Japanese": "すでに公開されたアルバムにジャケット画像を追加するにはどうすればいいですか",
    "Chinese": "如何为已经发布的专辑添加封面图片？我昨天开始就不能搜索了",
    "Korean": "이미 발매된 앨범에 커버 이미지를 추가하려면 어떻게 해야 하나요",
    "English": "It’s “fine” – really",
}


def read(content: bytes, encoding: str | None = None) -> tuple[list[Any], list[tuple[int, str]], list[str]]:
    file = open_blocks([content], "editors.csv", Asked(encoding=encoding), RECORD_FIELDS)
    batches = list(file.batches(100))
    wrong = [(row.line, row.detail) for batch in batches for row in batch.wrong]
    return [json.loads(row)["bio"] for batch in batches for row in batch.rows], wrong, file.notes


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        *(("French", name) for name in ("cp1252", "mac_roman", "utf-8", "utf-16", "utf-32", "utf-16-le")),
        *(("German", name) for name in ("cp1252", "cp850", "iso8859-15")),
        *(("Polish", name) for name in ("cp1250", "iso8859-2", "cp852")),
        *(("Turkish", name) for name in ("cp1254", "iso8859-9")),
        *(("Russian", name) for name in ("cp1251", "koi8-r", "cp866", "iso8859-5")),
        *(("Japanese", name) for name in ("cp932", "euc_jp")),
        *(("Spanish", "cp1252"), ("Czech", "cp1250"), ("Greek", "cp1253"), ("Lithuanian", "cp1257")),
        *(("Arabic", "cp1256"), ("Chinese", "gb18030"), ("Korean", "cp949"), ("English", "cp1252")),
    ],
)
def test_a_text_is_read_as_it_was_written(language: str, encoding: str) -> None:
    text = TEXTS[language]
    content = f"id;bio\r\n1;plain\r\n2;{text.replace(';', ',')}\r\n".encode(encoding)
    found, wrong, notes = read(content)
    assert found == ["plain", text.replace(";", ",")]
    assert not wrong
    # That it was a guess is said, with a line by which one sees whether it was right.
    assert bool(notes) == (encoding not in ("utf-8", "utf-16", "utf-32"))
    assert all("--encoding" in note and "Line " in note for note in notes)


def test_one_damaged_byte_costs_its_line() -> None:
    content = "id,bio\n1,déjà vu\n2,çà\n3,été\n".encode() + b"4,caf\xe9\n" + "5,où\n".encode()
    found, wrong, notes = read(content)
    assert found == ["déjà vu", "çà", "été", "où"]
    assert wrong == [(5, "is not text in the encoding of the file")]
    assert notes == []


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "utf-16-le", "utf-32-le"])
def test_what_an_encoding_has_no_letter_for_costs_its_line(encoding: str) -> None:
    damage = {"cp1252": b"\x81", "cp932": b"\x81", "utf-16-le": b"\x00\xd8", "utf-32-le": b"\x00\x00\x11\x7f"}[encoding]
    content = "id,bio\n1,x".encode(encoding) + damage + "\n2,fine\n".encode(encoding)
    found, wrong, _ = read(content, encoding)
    assert found == ["fine"]
    assert [line for line, _ in wrong] == [2]


def test_what_nothing_speaks_for_is_not_guessed() -> None:
    """Nor are bytes of a picture, or a single letter that may be any."""
    found, wrong, notes = read(b"id,bio\n1,x\n2,\xff\n3,y\n")
    assert (found, [line for line, _ in wrong]) == (["x", "y"], [3])
    assert "nothing speaks for another encoding" in notes[0]
    assert find_encoding(bytes(range(256)) * 20) is None


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_bytes_that_are_zero_make_no_utf_16_where_line_feeds_are_one_byte(separator: str) -> None:
    """Some databases write NULL so: a small file of tabs and zeros was read as Chinese."""
    text = "id,bio\n1,\0\n2,fine\n3,\0\0\0\n".replace(",", separator)
    found, wrong, notes = read(text.encode())
    assert (found, wrong, notes) == (["\0", "fine", "\0\0\0"], [], [])
    for encoding in ("utf-16-le", "utf-16-be"):
        assert read(text.replace("\0", "no").encode(encoding))[0] == ["no", "fine", "nonono"]


def test_plain_text_in_utf_16_without_a_mark_is_shown_by_its_first_line() -> None:
    notes = read("id,bio\n1,x\n".encode("utf-16-le"))[2]
    assert "Line 1 is then 'id,bio'" in notes[0]


def test_encodings_that_are_none_are_refused() -> None:
    for name in ("latin-17", "rot13", "base64", "x" * 300, "\0"):
        with pytest.raises(InvalidParameter, match="no encoding"):
            read(b"id,bio\n1,x\n", name)
