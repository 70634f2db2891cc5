"""The wide member's features in plain loops, one editor after the other: what the fast way must equal."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from sb_api.models import editor_bins, wide_features
from sb_api.records import EditorFields
from sb_api.text.characters.scripts import KINDS
from sb_api.text.disguises import hidden_words
from sb_api.text.hosts import registered_domain, split_email, split_website
from sb_api.text.lengths import condense, cut
from sb_api.text.normalization import NormalText, normalize_text
from tests.text.test_hashing import plain_hash, plain_mix, plain_ngrams, plain_pair, plain_words

DATES = ("member_since", "email_confirm_date", "last_updated", "last_login_date", "birth_date")
TEXTS, WORDS, NGRAMS, WHOLE = (wide_features.TEXTS, wide_features.WORDS, wide_features.NGRAMS, wide_features.WHOLE)

TEXT_WEIGHTS = (1.0, 0.15, 0.3, 0.3, 1.0)  # of bio, website, e-mail, name and area
AS_BIO = (0, 0, 2, 3, 4)  # a website's words are known as a bio's


def plain_features(editors: Sequence[EditorFields], has_url: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers and the weights of the features of n editors, (n, slots)."""
    buckets = np.zeros((len(editors), wide_features.SLOTS), np.int32)
    weights = np.zeros((len(editors), wide_features.SLOTS), np.float32)
    for row, editor in enumerate(editors):
        texts = Texts(editor)
        filled = plain_spans(texts) + plain_whole(texts) + plain_bins(editor, texts, has_url[row])
        for slot, (bucket, weight) in enumerate(filled):
            buckets[row, slot], weights[row, slot] = bucket, weight
    return buckets, weights


class Texts:
    """What an editor's fields say."""

    def __init__(self, editor: EditorFields) -> None:
        bio, name = normalize_text(condense(editor.bio or "", 2000)), normal(editor.name, 100)
        whole = condense(bio.text, 2000)
        self.bio, self.name = cut(whole.strip(), 2000), name.text
        self.spelt_out = hidden_words(whole)
        self.hashed = scattered(" ".join([whole.strip(), *self.spelt_out]))
        (self.host, path), (self.domain, mailbox) = split_website(editor.website or ""), split_email(editor.email or "")
        self.path, self.mailbox = path[:100], mailbox[:100]
        self.area = normal(editor.area, 100).text if isinstance(editor.area, str) else editor.area
        if isinstance(self.area, str) and self.area.isdecimal():
            self.area = int(self.area)
        self.gender = "" if editor.gender is None else str(editor.gender).strip().lower()
        self.undone = [a + b for a, b in zip(bio.undone, name.undone, strict=True)] + [len(self.spelt_out)]
        self.website = f"{self.host}/{self.path}" if self.host else self.path


def scattered(bio: str) -> str:
    """Of a long bio the first piece, the last, the one in the middle, those between these, and so on."""
    if len(bio) <= 250:
        return bio
    pieces = re.findall(r"\S.{,25}\S{,20}", bio, re.DOTALL)
    order = [0, len(pieces) - 1]
    order += [place for place in halves(len(pieces)) if place not in order]
    return " ".join(pieces[place] for place in order)


def halves(count: int) -> list[int]:
    """All places below `count`, each round of those that lie halfway between the ones before, in the order of these."""
    step, places = 1, [0]
    while step < count:
        step *= 2
    while step > 1:
        step //= 2
        places = [place + shift for shift in (0, step) for place in places]
    return [place for place in places if place < count]


def normal(text: str | None, longest: int) -> NormalText:
    text = text or ""
    if len(text) > 2 * longest:
        text = cut(condense(text, longest), 2 * longest)
    found = normalize_text(" ".join(text.split()), longest)
    return NormalText(found.text.strip(), found.undone)


def bucket_of(value: int, block: int, place: int) -> int:
    salt = plain_mix(block * max(len(TEXTS), len(WHOLE)) + place + 1)
    return (plain_mix(value ^ salt) >> (32 - wide_features.TABLE_BITS)) + wide_features.RESERVED


def plain_spans(texts: Texts) -> list[tuple[int, float]]:
    area = texts.area if isinstance(texts.area, str) else ""
    laid = (texts.hashed, f"{texts.host} {texts.path}", texts.mailbox, texts.name, area)
    blocks: list[list[list[int]]] = [[], [], [], []]
    for text, most_words, most_ngrams in zip(laid, WORDS, NGRAMS, strict=True):
        words = [plain_hash(word) for word in plain_words(text)][:most_words]
        blocks[0].append(words)
        blocks[1].append([plain_pair(a, b) for a, b in pairwise(words)])
        for block, length in zip(blocks[2:], wide_features.LENGTHS, strict=True):
            block.append([plain_hash(ngram) for ngram in plain_ngrams(text, length)][:most_ngrams])
    filled = []
    for number, (block, sizes) in enumerate(zip(blocks, (WORDS, WORDS, NGRAMS, NGRAMS), strict=True)):
        for place, (hashes, size) in enumerate(zip(block, sizes, strict=True)):
            weight = TEXT_WEIGHTS[place] / np.sqrt(max(len(hashes), 1))
            found = [(bucket_of(value, number, AS_BIO[place]), weight) for value in hashes]
            filled += found + [(0, 0.0)] * (size - len(found))
    return filled


def plain_whole(texts: Texts) -> list[tuple[int, float]]:
    area = "" if texts.area is None else str(texts.area).lower()
    parts = [
        part for host in (texts.host, texts.domain) for part in (host, registered_domain(host), host.rpartition(".")[2])
    ]
    hashes = [plain_hash(text) for text in (*parts, area, texts.gender)]
    weights = (0.15, 0.15, 0.15, 0.3, 0.3, 0.3, 1.0, 1.0)  # of website and e-mail three each, of area and gender
    return [(bucket_of(value, 4, place), weights[place]) if value else (0, 0.0) for place, value in enumerate(hashes)]


def plain_bins(editor: EditorFields, texts: Texts, has_url: bool) -> list[tuple[int, float]]:
    moments = {name: moment(getattr(editor, name)) for name in DATES}
    since, confirmed, updated, login, born = (moments[name] for name in DATES)
    bins: list[list[int]] = [
        [
            into_bin(minus(after, before), editor_bins._DURATIONS)
            for after, before in (
                (confirmed, since), (updated, since), (login, since), (updated, confirmed), (login, updated),
            )
        ],
        [into_bin(share, editor_bins._SHARES) for share in plain_shares(texts)],
        [into_bin(count, editor_bins._COUNTS) for count in plain_counts(texts)],
        [0 if m is None else int(m // 3600 % 24) + 1 for m in (since, updated, login)],
        [0 if since is None else int(np.clip(since / 31_556_952 + 1970 - 1999, 1, 63))],
        [0 if since is None else int(np.clip((since / 31_556_952 + 1970 - 2000) * 4 + 1, 1, 255))],
        [
            0 if minus(after, before) is None else int(np.sign(minus(after, before))) + 2
            for after, before in ((updated, since), (updated, confirmed), (login, updated), (born, since))
        ],
        [0 if minus(since, born) is None else int(np.clip(minus(since, born) / 31_556_952 // 5 + 2, 1, 31))],
    ]  # fmt: skip
    fields = (texts.bio, editor.website, editor.email, texts.area, editor.gender, editor.birth_date)
    is_set = [value is not None and str(value).strip() != "" for value in fields]
    trusted = bool((editor.privs or 0) & ~(1024 | 2048 | 4096 | 8192 | 16384 | 32768))
    bins.append([*(1 + known for known in is_set), 1 + trusted, (1 + has_url) if is_set[0] else 0])
    short = "".join(filter(str.isalnum, texts.name.lower()))
    within = [
        (1 + (registered_domain(texts.host) == registered_domain(texts.domain))) if texts.host and texts.domain else 0,
        (1 + (short in texts.host.replace("-", ""))) if texts.host and len(short) > 3 else 0,
        (1 + (short in texts.mailbox.lower())) if texts.mailbox and len(short) > 3 else 0,
    ]
    known_dates = [value is not None for value in (since, confirmed, updated, login)]
    bins += [
        within,
        [min(count, 2) for count in texts.undone],
        [sum(known << place for place, known in enumerate(is_set))],
        [sum(known << place for place, known in enumerate(known_dates))],
    ]
    filled, offset = [], 1
    for values, family in zip(bins, editor_bins.FAMILIES, strict=True):
        assert len(values) == len(family.columns)
        for value in values:
            assert 0 <= value < family.size
            filled.append((offset + value, 1.0))
            offset += family.size
    return filled


def plain_shares(texts: Texts) -> list[float | None]:
    counts = [dict.fromkeys(KINDS, 0) for _ in range(4)]
    for count, text in zip(counts, (texts.bio, texts.website, texts.mailbox, texts.name), strict=True):
        for char in text:
            count[plain_kind(char)] += 1
    shown = [sum(count.values()) - count["blank"] - count["line break"] for count in counts]
    none = ("digit", "mark", "blank", "line break", "invisible", "symbol")
    letters = [sum(value for kind, value in count.items() if kind not in none) for count in counts]
    scripts = KINDS[KINDS.index("Greek") :]
    return [
        *(divide(counts[0][kind], shown[0]) for kind in ("digit", "mark", "symbol")),
        *(divide(counts[0][kind], letters[0]) for kind in ("capital", *scripts)),
        *(divide(count["digit"], total) for count, total in zip(counts[1:], shown[1:], strict=True)),
        divide(counts[3]["capital"], letters[3]),
    ]


def plain_kind(char: str) -> str:
    from sb_api.text.characters.scripts import count_kinds

    return KINDS[int(count_kinds([char]).argmax())]


def plain_counts(texts: Texts) -> list[float]:
    bio, website = texts.bio.lower(), texts.website
    lines = sum(plain_kind(char) == "line break" for char in texts.bio) + 1 if texts.bio else 0
    links, markup = bio.count("http") + bio.count("www."), bio.count("[") + bio.count("<")
    lengths = [len(text) for text in (texts.bio, website, texts.mailbox, texts.name)]
    return [*lengths, lines, links, markup, *(website.count(mark) for mark in "-./")]


def divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def into_bin(value: Any, edges: Sequence[float]) -> int:
    return 0 if value is None else bisect.bisect_right(edges, value) + 1


def minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def moment(date: str | None) -> float | None:
    if not date:
        return None
    parsed = datetime.fromisoformat(date)
    return parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()
