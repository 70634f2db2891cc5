"""In which language a bio is written, as far as that can be told; where py3langid is installed."""

from __future__ import annotations

from functools import cache
from typing import Any

LEAST_LETTERS, MOST_CHARACTERS = 12, 2_000  # of a text: fewer tell nothing, and more tell no more
LEAST_CONFIDENCE = 0.5
# Of 130: with rare ones among them, short texts are taken for these.
LANGUAGES = [
    *("ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr", "hu", "hy"),
    *("id", "it", "ja", "ka", "ko", "lt", "lv", "mk", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv"),
    *("ta", "th", "tl", "tr", "uk", "ur", "vi", "zh"),
]


@cache
def _identifier() -> Any:
    """What tells languages (multinomial naive Bayes on bytes, Lui and Baldwin 2012); None where it is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError:
        return None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=LEAST_CONFIDENCE)
    identifier.set_languages(LANGUAGES)
    return identifier


def tells_languages() -> bool:
    """Whether what tells languages is installed. The first call takes as long as that of `guess_language`."""
    return _identifier() is not None


def guess_language(text: str) -> str:
    """The ISO 639-1 code of the language of a text; "" where it is too short or too unsure, or nothing is installed
    that tells. The first call takes half a second and some 80 MB."""
    begin = text[:MOST_CHARACTERS]
    if sum(map(str.isalpha, begin)) < LEAST_LETTERS or _identifier() is None:
        return ""
    language, _ = _identifier().classify(begin)
    return "" if language == "und" else str(language)
