"""The 524 numbers as the design defines them, in a plain loop: what the fast way must equal bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from math import log

import numpy as np
from urlextract import URLExtract

from sb_api.records import Editor
from sb_api.text.disguises import hidden_words
from sb_api.text.hosts import email_domain, host_candidates, website_host
from sb_api.text.lengths import condense
from sb_api.text.normalization import normalize_text
from sb_api.text.spelling import separate_words
from sb_api.text.tokenizers import Vocabularies, Vocabulary
from sb_api.text.urls import has_url
from sb_api.text.words import split_words


@cache
def url_extractor() -> URLExtract:
    return URLExtract()


def urlextract_finds(text: str) -> bool:
    """What urlextract says of each token by itself, as far as it can read it."""
    return any(map(ask_urlextract, text.split()))


def ask_urlextract(token: str) -> bool:
    try:
        return url_extractor().has_urls(token)
    except UnicodeDecodeError:
        return False


def plain_vectors(editors: Sequence[Editor], vocabularies: Vocabularies) -> np.ndarray:
    """The vectors of n editors, (n, 524)."""
    matrix = np.zeros((len(editors), 524), np.float32)
    for row, editor in zip(matrix, editors, strict=True):
        bio = condense(normalize_text(condense(editor.bio or "", 2000)).text, 2000)
        row[:12] = (
            getattr(editor, "verdict", 0),
            editor.area not in (None, ""),
            editor.gender not in (None, ""),
            editor.birth_date not in (None, ""),
            editor.privs not in (None, "", 0),
            len(bio),
            has_url(bio),
            *hours_since_member(editor),
            rank_of_host(email_domain(editor.email), vocabularies["email"], 1024) if editor.email else 1023,
            rank_of_host(website_host(editor.website), vocabularies["website"], 1023) if editor.website else 1024,
        )
        words = " ".join([separate_words(bio), *hidden_words(bio)])
        write_tf_idf(row[12:], words, vocabularies["bio"])
    return matrix


def rank_of_host(host: str, vocabulary: Vocabulary, unknown: int) -> int:
    """The rank of the most telling name of the host that any known one has in the same form."""
    for candidate in host_candidates(host):
        for word, rank in vocabulary.ranks.items():
            if (website_host(word) or word) == candidate:
                return rank
    return unknown


def hours_since_member(editor: Editor) -> list[float]:
    dates = (editor.email_confirm_date, editor.last_updated, editor.last_login_date)
    if not editor.member_since:
        return [-2.0] * 3
    since = moment(editor.member_since)
    return [(moment(date) - since).total_seconds() / 3600 if date else -1.0 for date in dates]


def moment(date: str) -> datetime:
    parsed = datetime.fromisoformat(date)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def write_tf_idf(columns: np.ndarray, bio: str, vocabulary: Vocabulary) -> None:
    for word, count in Counter(split_words(bio)).items():
        if word in vocabulary.ranks:
            columns[vocabulary.ranks[word]] = (1 + log(count)) * vocabulary.inverse_document_frequencies[word]
