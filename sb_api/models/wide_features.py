"""The features of the wide member: an editor as a fixed number of slots, each the number of a feature and its weight.

Words, pairs of neighbouring words and character n-grams of the texts are hashed, and so are host, domain, area and
gender as a whole; numbers fall into bins (`editor_bins`). Every slot belongs to a field. Where a text has more words or
n-grams than there are slots, the first are kept, of a long bio some of each part. Feature 0 is none.

What stays of an account from one visit to the next makes a number of its own, under which the network can be taught
of this one account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import add
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb_api import preprocessing
from sb_api.arrays import Arrays, Matrix
from sb_api.models import editor_bins
from sb_api.models.editor_bins import COLUMNS, EditorTexts, bin_editors, is_trusted
from sb_api.preprocessing import LONGEST_BIO, Read, in_parts, read_editors
from sb_api.records import Editor
from sb_api.text.hashing import (
    Hashes,
    Places,
    Spans,
    hash_ngrams,
    hash_pairs,
    hash_texts,
    hash_words,
    lay_texts,
    mix,
    number_in_turn,
)
from sb_api.text.hosts import registered_domain
from sb_api.text.lengths import condense, cut
from sb_api.text.normalization import NOTHING, Undone, normalize_texts
from sb_api.text.tokenizers import Vocabularies

Buckets = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]

ARCHITECTURE = "wide-deep-3"
TABLE_BITS = 20
RESERVED = 2048  # features that are bins, and none
FEATURES = RESERVED + (1 << TABLE_BITS)
ACCOUNTS = 1 << 18  # places of accounts; place 0 is of none
ACCOUNT_LAYER = "account_embedding"  # the network's layer that has the numbers and marks of accounts
ACCOUNT_TABLE = f"{ACCOUNT_LAYER}/embeddings"
LONGEST_FIELD = 100  # characters that are looked at
# A bio of more characters than all slots take is read piece by piece: some words, or so many characters of a script
# without blanks.
LONGEST_IN_ORDER = 250
_PIECE = re.compile(r"\S.{,25}\S{,20}", re.DOTALL)
LEAST_NAME = 4  # characters of a name that is looked for elsewhere

TEXTS = ("bio", "website", "e-mail", "name", "area")
# Of each text, the one whose words and n-grams count as its own: what bios have taught of a word is true of hosts too.
KNOWN_AS = np.array([0, 0, 2, 3, 4])
# How much what is hashed of each text weighs, hosts and domains too: of websites less, because what is added up of a
# new host goes by chance.
FULL_WEIGHTS = (1.0, 0.5, 1.0, 1.0, 1.0)
# What is added up of a new website, address and name moves an account by as much as a sentence of its bio does, and
# made-up ones say more of who made them up than people's do of people. So these are learned in full, and count less.
DISCOUNT = 0.3
LENGTHS = (3, 5)  # of character n-grams
WORDS = np.array([96, 8, 4, 4, 6])
NGRAMS = np.array([128, 24, 16, 16, 12])
# What is hashed as a whole, and the field that it belongs to.
WHOLE = (
    ("website", "website"),
    ("registered domain", "website"),
    ("top-level domain", "website"),
    ("e-mail domain", "e-mail"),
    ("registered domain", "e-mail"),
    ("top-level domain", "e-mail"),
    ("area", "area"),
    ("gender", "gender"),
)
_BLOCKS = (WORDS, WORDS, *[NGRAMS] * len(LENGTHS))  # words, pairs, n-grams
_FIELDS_OF_BINS = {
    editor_bins.WEBSITE: "website",
    editor_bins.EMAIL: "e-mail",
    editor_bins.NAME: "name",
    editor_bins.SET: "set",
    editor_bins.PRIVILEGES: "set",
    **dict.fromkeys((editor_bins.LENGTH, editor_bins.CHARACTERS, editor_bins.LINK, editor_bins.MARKUP), "shape"),
    **dict.fromkeys((editor_bins.CONFIRMED, editor_bins.UPDATED, editor_bins.LOGIN), "dates"),
    **dict.fromkeys((editor_bins.REGISTERED, editor_bins.BORN), "registration"),
}
# The field of each slot.
SLOT_FIELDS = (
    *(text for block in _BLOCKS for text, size in zip(TEXTS, block, strict=True) for _ in range(size)),
    *(field for _, field in WHOLE),
    *(_FIELDS_OF_BINS.get(column, "spelling") for column in COLUMNS),
)
FIELDS = tuple(dict.fromkeys(SLOT_FIELDS))
SLOTS = len(SLOT_FIELDS)
VECTOR_LENGTH = preprocessing.VECTOR_LENGTH + SLOTS
# An odd factor for each slot of what stays of an account from one visit to the next, 0 for the others.
_LASTING = np.array([field not in ("dates", "set") for field in SLOT_FIELDS])
_FACTORS = np.where(_LASTING, mix(np.arange(1, SLOTS + 1, dtype=np.uint32)) | np.uint32(1), np.uint32(0))
_PRIVILEGES, HAS_URL = 4, 6  # columns of Lodbrok's vectors
# The slots of each text in each block.
_SIZES = np.concatenate(_BLOCKS)
_STARTS, _TEXT_SLOTS = np.cumsum(_SIZES) - _SIZES, int(_SIZES.sum())


class Scales(NamedTuple):
    """How much what is hashed weighs: of each text in each block (blocks * texts,), and as a whole (wholes,)."""

    blocks: Weights
    whole: Weights


def _scale(texts: Sequence[float]) -> Scales:
    whole = [texts[TEXTS.index(field)] if field in TEXTS else 1.0 for _, field in WHOLE]
    return Scales(np.tile(np.array(texts, np.float32), len(_BLOCKS)), np.array(whole, np.float32))


FULL = _scale(FULL_WEIGHTS)
DISCOUNTED = _scale(
    [one if text in ("bio", "area") else DISCOUNT * one for text, one in zip(TEXTS, FULL_WEIGHTS, strict=True)]
)


def editor_vectors(editors: Sequence[Editor], vocabularies: Vocabularies) -> Matrix:
    """The vectors of n editors, (n, VECTOR_LENGTH): Lodbrok's, then the numbers of the features."""
    return np.concatenate(_lodbrok_and_wide(editors, vocabularies), axis=1, dtype=np.float32)


def name_inputs(vectors: Matrix) -> dict[str, npt.NDArray[Any]]:
    """The network's inputs by name, views and copies of (n, VECTOR_LENGTH) vectors."""
    return _name_inputs(vectors, vectors[:, preprocessing.VECTOR_LENGTH :].astype(np.int32))


def preprocess_editors(editors: Sequence[Editor], vocabularies: Vocabularies) -> Arrays:
    """Named arrays of n rows for n editors."""
    return _name_inputs(*_lodbrok_and_wide(editors, vocabularies))


def _name_inputs(vectors: Matrix, buckets: Buckets) -> dict[str, npt.NDArray[Any]]:
    return {
        **preprocessing.name_inputs(vectors),
        "feature_input": buckets,
        "weight_input": weigh_features(buckets),
        "account_input": number_accounts(buckets),
    }


def number_accounts(buckets: Buckets) -> Buckets:
    """The places (n, 2) of the numbers of n accounts with these features (n, SLOTS), and of the marks that these were
    set: of two that say the same and registered at about the same time the same ones, whenever they were seen last."""
    hashes = mix(buckets.astype(np.uint32) @ _FACTORS)
    both = np.stack([hashes, mix(~hashes)], axis=1)  # that two share the one says nothing of the other
    return (1 + both % np.uint32(ACCOUNTS - 1)).astype(np.int32)


def _lodbrok_and_wide(editors: Sequence[Editor], vocabularies: Vocabularies) -> tuple[Matrix, Buckets]:
    vectors: Matrix = np.zeros((len(editors), preprocessing.VECTOR_LENGTH), np.float32)
    buckets: Buckets = np.empty((len(editors), SLOTS), np.int32)
    for part in in_parts(len(editors)):
        some, read = editors[part], read_editors(editors[part])
        preprocessing.write_vectors(vectors[part], some, vocabularies, read)
        vectors[part, _PRIVILEGES] = [*map(is_trusted, some)]
        buckets[part] = wide_features(some, vectors[part, HAS_URL] > 0, read)
    return vectors, buckets


def to_buckets(hashes: Hashes) -> Hashes:
    """The numbers of hashed features in the wide member's table."""
    return (mix(hashes) >> np.uint32(32 - TABLE_BITS)) + np.uint32(RESERVED)


def wide_features(
    editors: Sequence[Editor],
    has_url: npt.NDArray[np.bool_],
    read: Read | None = None,
    number: Callable[[Hashes], Hashes] = to_buckets,
) -> Buckets:
    """The features of n editors, (n, SLOTS), 0 in slots that are not filled. `has_url` (n,) is whether their bios have
    a link; they may have been read already. `number` makes the numbers of features from what is hashed."""
    read = read or read_editors(editors)
    texts, laid, whole = _read_texts(editors, has_url, read)
    blocks = _find_spans(laid)
    # All blocks at once: for a few editors numpy's calls cost more than what they do.
    counts = np.concatenate([spans.counts for spans in blocks])
    plan = _plan(len(editors))
    hashes = np.concatenate([spans.hashes for spans in blocks]) ^ np.repeat(plan.salts, counts)
    of_whole = hash_texts(whole).reshape(-1, len(WHOLE))
    found = number(np.concatenate([hashes, (of_whole ^ _salts()[-1, : len(WHOLE)]).ravel()]))
    buckets = np.zeros((len(editors), SLOTS), np.int32)
    buckets.ravel()[number_in_turn(plan.firsts, counts)] = found[: len(hashes)]
    end = _TEXT_SLOTS + len(WHOLE)
    buckets[:, _TEXT_SLOTS:end] = found[len(hashes) :].reshape(of_whole.shape) * (of_whole != 0)
    buckets[:, end:] = bin_editors(editors, texts, read.dates) + 1
    return buckets


def find_common(editors: Sequence[Editor], has_url: npt.NDArray[np.bool_], least: int) -> npt.NDArray[np.bool_]:
    """Which slots of n editors (n, SLOTS) hold a feature that at least so many of them have; all bins count as common.
    Features are told apart by all 32 bits of their hashes: many rare ones share a number in the table."""
    hashes = np.concatenate(
        [wide_features(editors[part], has_url[part], number=mix) for part in in_parts(len(editors))]
    )
    common = np.ones(hashes.shape, np.bool_)
    hashed = hashes[:, : _TEXT_SLOTS + len(WHOLE)]
    once = np.sort(hashed, axis=1)
    distinct = once[:, 1:][once[:, 1:] != once[:, :-1]]
    values, counts = np.unique(np.concatenate([once[:, 0], distinct]), return_counts=True)
    common[:, : hashed.shape[1]] = np.isin(hashed, values[counts >= least])
    return common


def weigh_features(buckets: Buckets, scales: Scales = DISCOUNTED) -> Weights:
    """The weights (n, SLOTS) of features: the squares of those of the words of one text sum up to 1, and so do those of
    its pairs of words and of its n-grams, by the square of its scale; what is hashed as a whole has its scale, all
    others are 1."""
    weights: Weights = (buckets != 0).astype(np.float32)
    counts = np.add.reduceat(weights[:, :_TEXT_SLOTS], _STARTS, axis=1)
    weights[:, :_TEXT_SLOTS] *= np.repeat(scales.blocks / np.sqrt(np.maximum(counts, 1)), _SIZES, axis=1)
    weights[:, _TEXT_SLOTS : _TEXT_SLOTS + len(WHOLE)] *= scales.whole
    return weights


def find_words(editors: Sequence[Editor]) -> list[dict[str, list[int]]]:
    """The distinct words of the bios of n editors, each with the slots that it has a part in."""
    _, laid, _ = _read_texts(editors, np.zeros(len(editors), np.bool_), read_editors(editors))
    found: list[dict[str, list[int]]] = []
    for bio in laid[:: len(TEXTS)]:
        points = lay_texts([bio]).points
        blocks = _find_spans([bio, *[""] * (len(TEXTS) - 1)])
        firsts = np.cumsum([0, *(int(sizes.sum()) for sizes in _BLOCKS)])[:-1]
        words: dict[str, list[int]] = {}
        for start, stop in zip(blocks[0].starts.tolist(), blocks[0].stops.tolist(), strict=True):
            word = points[start:stop].tobytes().decode("utf-32-le", "replace")
            slots = words.setdefault(word, [])
            for first, spans in zip(firsts.tolist(), blocks, strict=True):
                slots += (first + np.flatnonzero((spans.starts < stop) & (spans.stops > start))).tolist()
        found.append(words)
    return found


def _find_spans(laid: Sequence[str]) -> list[Spans]:
    texts, plan = lay_texts(laid), _plan(len(laid) // len(TEXTS))
    words = hash_words(texts, plan.most_words)
    return [words, hash_pairs(words), *(hash_ngrams(texts, length, plan.most_ngrams) for length in LENGTHS)]


class _Plan(NamedTuple):
    """Of the texts of n editors: how many words and n-grams of each (5n,) count at most; where in (n * SLOTS) slots
    those of each block begin (blocks * 5n,), and what they are salted with."""

    most_words: Places
    most_ngrams: Places
    firsts: Places
    salts: Hashes


@lru_cache(maxsize=256)
def _plan(count: int) -> _Plan:
    shape = (len(_BLOCKS), count, len(TEXTS))
    firsts = np.arange(count)[None, :, None] * SLOTS + _STARTS.reshape(len(_BLOCKS), 1, -1)
    salts = np.broadcast_to(_salts()[: len(_BLOCKS), None, KNOWN_AS], shape)
    return _Plan(np.tile(WORDS, count), np.tile(NGRAMS, count), firsts.ravel(), salts.ravel())


@cache
def _salts() -> npt.NDArray[np.uint32]:
    """What sets apart the same text as a word, a pair or an n-gram, and of one field from that of another, unless they
    are known as one."""
    count = (len(_BLOCKS) + 1) * max(len(TEXTS), len(WHOLE))
    return mix(np.arange(1, count + 1, dtype=np.uint32)).reshape(len(_BLOCKS) + 1, -1)


def _read_texts(
    editors: Sequence[Editor], has_url: npt.NDArray[np.bool_], read: Read
) -> tuple[EditorTexts, list[str], list[str]]:
    """The texts of n editors; those of `TEXTS`, editor by editor; those of `WHOLE` likewise."""
    given = [bio.text.strip() for bio in read.bios.normal]
    bios, hidden = [cut(text, LONGEST_BIO) for text in given], read.bios.hidden
    # Areas that are numbers stay such, however these are written; names and areas are read together.
    areas = ["" if editor.area is None else str(editor.area).strip() for editor in editors]
    numbers = [type(editor.area) is int or area.isdecimal() for area, editor in zip(areas, editors, strict=True)]
    fields = [editor.name or "" for editor in editors]
    fields += ["" if is_number else area for area, is_number in zip(areas, numbers, strict=True)]
    normal = _normalize_fields(fields)
    names = normal[: len(editors)]
    websites: list[str] = []
    mailboxes: list[str] = []
    laid: list[str] = []
    whole: list[str] = []
    filled: list[bool] = []
    alike: list[int] = []
    for editor, text, bio, joined, (name, _), (area, _), written, is_number, host, path, domain, mailbox in zip(
        *(editors, given, bios, hidden, names, normal[len(editors) :], areas, numbers, *read.hosts), strict=True
    ):
        path, mailbox = path[:LONGEST_FIELD], mailbox[:LONGEST_FIELD]
        area_or_number = written if is_number else area
        gender = "" if editor.gender is None else str(editor.gender).strip().lower()
        registered, of_domain = registered_domain(host), registered_domain(domain)
        websites.append(f"{host}/{path}" if host else path)
        mailboxes.append(mailbox)
        laid += lay_bio(text, joined), f"{host} {path}", mailbox, name, area
        whole += host, registered, host.rpartition(".")[2], domain, of_domain, domain.rpartition(".")[2]
        whole += area_or_number.lower(), gender
        filled += bio != "", bool(editor.website), bool(editor.email), area_or_number != "", gender != ""
        filled.append(bool(editor.birth_date))
        alike.append(1 + (registered == of_domain) if host and domain else 0)
        alike += _find_name(name, host, mailbox) if name else (0, 0)
    undone = np.zeros((len(editors), len(NOTHING) + 1), np.int64)
    for row, (one, (_, of_name), joined) in enumerate(zip(read.bios.normal, names, hidden, strict=True)):
        if joined or one.undone is not NOTHING or of_name is not NOTHING:
            undone[row] = *map(add, one.undone, of_name), len(joined)
    texts = EditorTexts(
        bios,
        websites,
        mailboxes,
        [name for name, _ in names],
        np.array(filled, np.bool_).reshape(-1, 6),
        has_url,
        undone,
        np.array(alike, np.int64).reshape(-1, 3),
    )
    return texts, laid, whole


def lay_bio(text: str, hidden: Sequence[str]) -> str:
    """What is hashed of a bio and, behind it, of the words that it hides: of a long one pieces from everywhere come
    first, because the slots are soon taken, and innocent text before or around an advert would take all of them."""
    whole = " ".join((text, *hidden)) if hidden else text
    if len(whole) <= LONGEST_IN_ORDER:
        return whole
    pieces = _PIECE.findall(whole)
    return " ".join([pieces[place] for place in _scatter(len(pieces))])


@lru_cache(maxsize=1024)
def _scatter(count: int) -> tuple[int, ...]:
    """The places from 0 to `count` - 1, the first, the last and then such as halve what lies between: by the numbers
    of their order with the bits reversed (van der Corput, 1935)."""
    bits = max(count - 1, 1).bit_length()
    halving = sorted(range(count), key=lambda place: f"{place:0{bits}b}"[::-1])
    return tuple(dict.fromkeys((0, count - 1, *halving)))


def _find_name(name: str, host: str, mailbox: str) -> tuple[int, int]:
    """Whether a name stands in a host, and in what stands before the @: 2 if so, 1 if not, 0 where there is none."""
    small = name.lower()
    short = small if small.isalnum() else "".join(filter(str.isalnum, small))
    if len(short) < LEAST_NAME:
        return 0, 0
    return 1 + (short in host.replace("-", "")) if host else 0, 1 + (short in mailbox.lower()) if mailbox else 0


def _normalize_fields(texts: Sequence[str]) -> list[tuple[str, Undone]]:
    """The normal form of the beginnings and ends of n texts, with single blanks, and what had to be undone; of those
    that are the same, once."""
    distinct = dict.fromkeys(texts)
    normal = normalize_texts([shorten_field(text) for text in distinct], LONGEST_FIELD)
    read = dict(zip(distinct, ((one.text.strip(), one.undone) for one in normal), strict=True))
    return [read[text] for text in texts]


def shorten_field(text: str) -> str:
    """A name or an area with single blanks, and no longer than it takes."""
    if len(text) > 2 * LONGEST_FIELD:
        text = cut(condense(text, LONGEST_FIELD), 2 * LONGEST_FIELD)
    return " ".join(text.split())
