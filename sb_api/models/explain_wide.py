"""The reasons behind a score of the wide-and-deep network: in the words of whoever moderates, never a feature's number.

As in `explain`, but what is replaced is all that both members know of one thing: a website with its host, the words of
its path and its shape; a word of the bio, or a run of characters of a script without blanks,
with its pairs and n-grams; what was learned of this one account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Matrix
from sb_api.judgements import Reason
from sb_api.models import editor_bins, explain, wide_features
from sb_api.models.editor_bins import COLUMNS
from sb_api.models.explain import AT_ONCE, WORDS, Judge, Occlusion, Vector
from sb_api.models.explanations.pieces import name_piece
from sb_api.models.explanations.runs import Bio
from sb_api.models.networks import LINE_SCALE
from sb_api.models.wide_features import ACCOUNT_TABLE, SLOT_FIELDS, SLOTS, find_words, weigh_features
from sb_api.preprocessing import VECTOR_LENGTH
from sb_api.records import Editor
from sb_api.text.hosts import email_domain, registered_domain, website_host
from sb_api.text.normalization import normalize_text
from sb_api.text.spelling import join_spelt_out, separate_words
from sb_api.text.tokenizers import Vocabularies, Vocabulary

TABLE = "line_embedding/embeddings"
_BINS = VECTOR_LENGTH + SLOTS - len(COLUMNS)  # the first column of bins in a vector
LEAST_SPELT_OUT = 2  # single letters, of which a word may be spelt out
_UNDONE = COLUMNS.index(editor_bins.ENTITIES)


def explain_editors(
    editors: Sequence[Editor], usual: Sequence[float], judge: Judge, vocabularies: Vocabularies, numbers: Arrays
) -> list[list[Reason]]:
    """The reasons of n editors, strongest first.

    `usual` is that of `usual_editor`, `judge` turns named arrays into calibrated probabilities, `numbers` are the
    network's: by what the wide member has learned of them, words are chosen.
    """
    table = numbers[TABLE][:, 0]
    reasons: list[list[Reason]] = []
    for start in range(0, len(editors), AT_ONCE):
        part = editors[start : start + AT_ONCE]
        vectors = wide_features.editor_vectors(part, vocabularies)
        features = vectors[:, VECTOR_LENGTH:].astype(np.int32)
        terms = LINE_SCALE * weigh_features(features) * table[features]
        occlusions = [
            [
                *_occlude_fields(editor, vector, usual, vocabularies),
                *_occlude_words(vector, of_one, _join_runs(editor, of_one, words), vocabularies["bio"].ranks),
            ]
            for editor, vector, of_one, words in zip(part, vectors, terms, find_words(part), strict=True)
        ]
        # The account's places are columns more: derived, they would be others, whatever is left out.
        accounts = wide_features.number_accounts(features)
        for of_one, places in zip(occlusions, accounts, strict=True):
            if numbers[ACCOUNT_TABLE][places, (0, 1)].all():
                of_one.append(Occlusion(vectors.shape[1], 0.0, "learned of this very account", None))
        numbered = np.concatenate([vectors, accounts], axis=1, dtype=np.float32)
        reasons += explain.judge_occlusions(numbered, occlusions, judge, _name_inputs)
    return reasons


def _name_inputs(vectors: Matrix) -> Arrays:
    """As in `wide_features`, of vectors with the places of the account as the last two columns."""
    return {**wide_features.name_inputs(vectors[:, :-2]), "account_input": vectors[:, -2:].astype(np.int32)}


def usual_editor(vectors: Matrix) -> list[float]:
    """What is usual among n innocent editors with these vectors: `explain.usual_editor`, and of each number its most
    common bin."""
    bins = (vectors[:, column] for column in range(_BINS, vectors.shape[1]))
    return [*explain.usual_editor(vectors), *map(explain.most_common, bins)]


def usual_inputs(usual: Sequence[float]) -> Arrays:
    """As in `explain`: one of which nothing was learned by itself either."""
    vector = np.zeros((1, wide_features.VECTOR_LENGTH + 2), np.float32)
    vector[0, 1:12], vector[0, _BINS:-2] = usual[:11], usual[11:]
    return _name_inputs(vector)


def _occlude_fields(
    editor: Editor, vector: Vector, usual: Sequence[float], vocabularies: Vocabularies
) -> Iterator[Occlusion]:
    """All that is not as usual, thing by thing."""
    wanted = np.zeros(len(vector), np.float32)
    wanted[1:12], wanted[_BINS:] = usual[:11], usual[11:]
    differs = vector != wanted
    for columns, describe in _THINGS:
        if differs[columns].any():
            yield Occlusion(columns, wanted[columns], *describe(editor, vector, vocabularies))


def _join_runs(editor: Editor, terms: Vector, words: dict[str, list[int]]) -> Mapping[str, Sequence[int]]:
    """The words of a bio; in the place of single characters, which nobody reads alone, the words that are spelt out in
    them, and runs of those that stand beside each other."""
    single = {word for word in words if len(word) == 1}
    if len(single) >= LEAST_SPELT_OUT:
        spelt_out = [word.lower() for word in join_spelt_out(normalize_text(editor.bio or "").text)]
        letters = {letter: words[letter] for letter in single.intersection("".join(spelt_out))}
        for word in words.keys() & spelt_out:
            words[word] = sorted({*words[word], *(slot for letter in word for slot in letters.get(letter, ()))})
        words = {word: slots for word, slots in words.items() if word not in letters}
    if all(word.isascii() for word in single):
        return words
    bio = Bio(editor, terms)
    joined = bio.joined_characters()
    return {word: slots for word, slots in words.items() if word not in joined} | bio.find_runs()


def _occlude_words(
    vector: Vector, terms: Vector, words: Mapping[str, Sequence[int]], ranks: Mapping[str, int]
) -> Iterator[Occlusion]:
    """The words that tell the wide member most, or Lodbrok, each left out with all that is made of it."""
    tell: dict[str, float] = {}
    columns: dict[str, list[int]] = {}
    for word, slots in words.items():
        of_lodbrok = [12 + ranks[part] for part in separate_words(word).split() if part in ranks]
        tell[word] = abs(float(terms[slots].sum())) + 0.01 * float(vector[of_lodbrok].sum())
        columns[word] = [*(VECTOR_LENGTH + slot for slot in slots), *of_lodbrok]
    for word in sorted(tell, key=lambda word: -tell[word])[:WORDS]:
        yield Occlusion(columns[word], 0.0, name_piece(word), word)


Describe = Callable[[Editor, Vector, Vocabularies], tuple[str, Any]]


def _columns(lodbrok: int | None = None, field: str | None = None, bins: str | None = None) -> npt.NDArray[np.int64]:
    """The columns of a vector that tell of one thing."""
    texts = [VECTOR_LENGTH + slot for slot in range(SLOTS - len(COLUMNS)) if SLOT_FIELDS[slot] == field]
    numbers = [_BINS + place for place, column in enumerate(COLUMNS) if column == bins]
    return np.array([*([] if lodbrok is None else [lodbrok]), *texts, *numbers])


def _plain(describe: Callable[[Editor], tuple[str, Any]]) -> Describe:
    return lambda editor, *_: describe(editor)


def _describe_website(editor: Editor, _: Vector, vocabularies: Vocabularies) -> tuple[str, Any]:
    host = website_host(editor.website or "")
    if not host:
        return ("website without a host" if editor.website else "no website"), editor.website or None
    return f"website {host}{_unless_known(host, vocabularies['website'])}", host


def _describe_email(editor: Editor, _: Vector, vocabularies: Vocabularies) -> tuple[str, Any]:
    domain = email_domain(editor.email or "")
    if not domain:
        return "no e-mail", None
    return f"e-mail domain {domain}{_unless_known(domain, vocabularies['email'])}", domain


def _unless_known(host: str, vocabulary: Vocabulary) -> str:
    known = host in vocabulary.ranks or registered_domain(host) in vocabulary.ranks
    return "" if known else ", not a known one"


def _describe_name(editor: Editor, *_: Any) -> tuple[str, Any]:
    return ("name" if editor.name else "no name"), editor.name or None


def _describe_link(editor: Editor, vector: Vector, _: Any) -> tuple[str, Any]:
    links = vector[6] or "http" in (editor.bio or "").lower()
    return ("link in the bio" if links else "no link in the bio"), None


def _describe_trust(editor: Editor, vector: Vector, _: Any) -> tuple[str, Any]:
    return ("has privileges" if vector[4] else "no privileges"), editor.privs or 0


def _alike(place: int, things: str, yes: str, no: str) -> Describe:
    """What a column of bins says that holds whether two `things` are alike: that it cannot be told, no, or yes."""
    first = editor_bins.first_bin(place) + 1
    said = (f"{things} cannot be compared", no, yes)
    return lambda _, vector, __: (said[int(vector[_BINS + place]) - first], None)


def _undone(place: int) -> Describe:
    clean = editor_bins.first_bin(place) + 1
    return lambda _, vector, __: (("" if vector[_BINS + place] > clean else "no ") + COLUMNS[place], None)


def _date(name: str, never: str, ever: str) -> Describe:
    return lambda editor, *_: ((ever if getattr(editor, name) else never), getattr(editor, name) or None)


# Of every column that holds whether two things are alike: which things, and what it says for yes and for no.
_ALIKE = COLUMNS.index(editor_bins.SAME_DOMAIN)
_COMPARED = (
    ("e-mail and website", "e-mail and website of one domain", "e-mail and website of different domains"),
    ("name and website", "the name stands in the website", "the name does not stand in the website"),
    ("name and e-mail", "the name stands in the e-mail", "the name does not stand in the e-mail"),
)
_THINGS: tuple[tuple[npt.NDArray[np.int64], Describe], ...] = (
    (_columns(1, "area"), _plain(lambda editor: explain.set_or_not("area", editor.area))),
    (_columns(2, "gender"), _plain(lambda editor: explain.set_or_not("gender", editor.gender))),
    (
        _columns(3, bins=editor_bins.BORN),
        _plain(lambda editor: explain.set_or_not("birth date", editor.birth_date)),
    ),
    (_columns(4, bins=editor_bins.PRIVILEGES), _describe_trust),
    (_columns(5, bins=editor_bins.LENGTH), _plain(explain.describe_bio)),
    (_columns(6, bins=editor_bins.LINK), _describe_link),
    (
        _columns(7, bins=editor_bins.CONFIRMED),
        _date("email_confirm_date", "never confirmed the e-mail", editor_bins.CONFIRMED),
    ),
    (_columns(8, bins=editor_bins.UPDATED), _date("last_updated", "never updated the profile", editor_bins.UPDATED)),
    (_columns(9, bins=editor_bins.LOGIN), _date("last_login_date", "never logged in again", editor_bins.LOGIN)),
    (
        _columns(bins=editor_bins.REGISTERED),
        _date("member_since", "not known when it registered", editor_bins.REGISTERED),
    ),
    (_columns(10, "e-mail", editor_bins.EMAIL), _describe_email),
    (_columns(11, "website", editor_bins.WEBSITE), _describe_website),
    (_columns(None, "name", editor_bins.NAME), _describe_name),
    (
        _columns(bins=editor_bins.CHARACTERS),
        lambda *_: ("digits, marks, capitals and scripts of the bio", None),
    ),
    (_columns(bins=editor_bins.MARKUP), lambda *_: (editor_bins.MARKUP, None)),
    (_columns(bins=editor_bins.SET), lambda *_: (editor_bins.SET, None)),
    *((np.array([_BINS + place]), _alike(place, *said)) for place, said in enumerate(_COMPARED, start=_ALIKE)),
    *((np.array([_BINS + place]), _undone(place)) for place in range(_UNDONE, _UNDONE + editor_bins.UNDONE_COUNT)),
)
