"""What records have in common that may be judged worse than others: the script, the language and the kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sb_api.records import EDITORS, Editor, RecordType
from sb_api.review.languages import guess_language, tells_languages
from sb_api.text.characters.scripts import KINDS, count_kinds
from sb_api.text.urls import has_url

MOST_GUESSED = 100_000  # records whose language is told; a bio takes some 70 µs
AT_ONCE = 1_000  # texts whose characters are counted together
UNKNOWN_LANGUAGE, NO_LETTERS = "too short to tell", "no letters"
LANGUAGE_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian",
    "mk": "Macedonian", "ms": "Malay", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovene", "sr": "Serbian", "sv": "Swedish", "ta": "Tamil",
    "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


def group_records(records: Sequence[Any], record_type: RecordType) -> dict[str, list[str]]:
    """By what n records are grouped, and the group of each: their script; their language, if the package that tells it
    is installed and they are not too many for it; of editors the kind of profile."""
    written = [_written(record) for record in records]
    groups: dict[str, list[str]] = {}
    if record_type is EDITORS:
        groups["kind of profile"] = [profile_of(editor) for editor in records]
    names = (getattr(record, "name", None) or "" for record in records)
    groups["script"] = find_scripts([f"{name} {text}" for name, text in zip(names, written, strict=True)])
    if tells_languages() and len(records) <= MOST_GUESSED:
        codes = [guess_language(text) for text in written]
        groups["language"] = [LANGUAGE_NAMES.get(code, code) or UNKNOWN_LANGUAGE for code in codes]
    return groups


def _written(record: Any) -> str:
    """What the person wrote in their own words."""
    return (record.bio if isinstance(record, Editor) else record.text) or ""


def find_scripts(texts: Sequence[str]) -> list[str]:
    """The script that most letters of each of n texts are of."""
    first = KINDS.index("Greek")
    names = np.array(["Latin", *KINDS[first:]])
    found: list[str] = []
    for start in range(0, len(texts), AT_ONCE):
        counts = count_kinds(texts[start : start + AT_ONCE])
        latin = counts[:, KINDS.index("small letter")] + counts[:, KINDS.index("capital")]
        letters = np.column_stack([latin, counts[:, first:]])
        named = names[letters.argmax(axis=1)]
        found += np.where(letters.any(axis=1), named, NO_LETTERS).tolist()
    return found


def profile_of(editor: Editor) -> str:
    """What an account shows: its bio and website are what spam is put into."""
    if editor.bio:
        return "bio with a link" if has_url(editor.bio) else "bio without a link"
    return "website, no bio" if editor.website else "neither bio nor website"
