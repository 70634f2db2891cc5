"""The reasons behind a score: which fields and which words of the bio moved it, and by how much; of a message, which
words speak for its likeliest class.

Each feature is replaced by what is usual among innocent editors (a word: by its absence) and the record judged again;
the effect is the score with the feature minus the score without it (occlusion; Zeiler and Fergus, 2014). A score near 0
or 1 hardly moves, however much a feature says; its odds do, so it is by these that reasons are chosen and ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Matrix
from sb_api.judgements import Reason
from sb_api.models import encoder
from sb_api.models.explanations.pieces import cut_message, join_without, name_piece
from sb_api.preprocessing import VECTOR_LENGTH, editor_vectors, name_inputs, preprocess_messages
from sb_api.records import Editor, Message
from sb_api.text.hosts import email_domain, website_host
from sb_api.text.tokenizers import Vocabularies

WORDS = 8  # words of a bio that are tried, those of the greatest weight
# Words of a message that are tried, each of which is a message more to judge, and that are read for it; with an encoder
# a message costs ten times as much.
MOST_TRIED, MOST_ENCODED, MOST_READ = 24, 12, 200
LEAST_EFFECT = 0.001
LEAST_ODDS = 0.5  # of the logarithm of the odds: from 1 in 10,000 to 1 in 6,000
LEAST_PROBABILITY = 1e-12

AT_ONCE = 512  # editors

Judge = Callable[[Arrays], npt.NDArray[np.float32]]
Vector = npt.NDArray[np.float32]


class Occlusion(NamedTuple):
    """Values that columns of one editor's vector are replaced by, and what the editor has there, in words."""

    columns: int | Sequence[int] | npt.NDArray[np.integer[Any]]
    values: float | Vector
    feature: str
    value: str | int | float | None


def explain_editors(
    editors: Sequence[Editor], usual: Sequence[float], judge: Judge, vocabularies: Vocabularies, _: Arrays
) -> list[list[Reason]]:
    """The reasons of n editors, strongest first.

    `usual` are columns 1 to 11 of a usual innocent editor, `judge` turns named arrays into calibrated probabilities.
    """
    words = {rank: word for word, rank in vocabularies["bio"].ranks.items()}
    reasons: list[list[Reason]] = []
    for start in range(0, len(editors), AT_ONCE):
        part = editors[start : start + AT_ONCE]
        vectors = editor_vectors(part, vocabularies)
        occlusions = [
            [
                *(Occlusion(column, usual[column - 1], *_FIELDS[column](editor)) for column in columns),
                *(Occlusion(12 + rank, 0.0, name_piece(words[rank]), words[rank]) for rank in ranks),
            ]
            for editor, columns, ranks in zip(part, _unusual(vectors, usual), _heaviest_words(vectors), strict=True)
        ]
        reasons += judge_occlusions(vectors, occlusions, judge, name_inputs)
    return reasons


def _unusual(vectors: Matrix, usual: Sequence[float]) -> Iterator[list[int]]:
    """Of each of n vectors the columns from 1 to 11 that are not as usual."""
    for differs in vectors[:, 1:12] != np.array(usual[:11], np.float32):
        yield [column for column, is_so in enumerate(differs.tolist(), start=1) if is_so]


def _heaviest_words(vectors: Matrix) -> Iterator[list[int]]:
    """Of each of n vectors the ranks of the words of the greatest tf-idf, greatest first."""
    bios = vectors[:, 12:]
    chosen = np.argpartition(bios, -WORDS, axis=1)[:, -WORDS:]
    weights = np.take_along_axis(bios, chosen, 1)
    for order, ranks, heavy in zip(np.argsort(-weights, axis=1).tolist(), chosen.tolist(), weights, strict=True):
        yield [ranks[place] for place in order if heavy[place]]


def judge_occlusions(
    vectors: Matrix,
    occlusions: Sequence[Sequence[Occlusion]],
    judge: Judge,
    name_inputs: Callable[[Matrix], Arrays],
) -> list[list[Reason]]:
    """The reasons of n editors with these vectors: the occlusions of each that change its score, strongest first."""
    rows = np.repeat(np.arange(len(vectors)), [len(of_one) for of_one in occlusions])
    changed = vectors[np.concatenate([np.arange(len(vectors)), rows])]
    every = [occlusion for of_one in occlusions for occlusion in of_one]
    for vector, occlusion in zip(changed[len(vectors) :], every, strict=True):
        vector[occlusion.columns] = occlusion.values
    scores = judge(name_inputs(changed))
    logarithms = np.log(np.maximum(scores, LEAST_PROBABILITY))
    odds = logarithms[:, 1] - logarithms[:, 0]
    effects, evidence = scores[rows, 1] - scores[len(vectors) :, 1], odds[rows] - odds[len(vectors) :]
    tells = np.flatnonzero((np.abs(effects) >= LEAST_EFFECT) | (np.abs(evidence) >= LEAST_ODDS)).tolist()
    reasons: list[list[Reason]] = [[] for _ in vectors]
    for place in tells:
        effect, log_odds = round(float(effects[place]), 6), round(float(evidence[place]), 3)
        reasons[rows[place]].append(Reason(every[place].feature, every[place].value, effect, log_odds))
    return [sorted(found, key=lambda reason: -abs(reason.log_odds)) for found in reasons]


def explain_messages(
    messages: Sequence[Message], _: Sequence[float], judge: Judge, vocabularies: Vocabularies, __: Arrays
) -> list[list[Reason]]:
    """The reasons of n messages, strongest first: what each of the first words of a message, or runs of characters of
    scripts without blanks, adds to the probability of its likeliest class. Each is left out wherever it stands, and the
    rest, of the first `MOST_READ` of them, judged as it would be read."""
    reasons: list[list[Reason]] = []
    most = MOST_TRIED if vocabularies.encoder is None else MOST_ENCODED
    for message in messages:
        read = cut_message(message.text)[:MOST_READ]
        tried = list(dict.fromkeys(piece.text for piece in read))[:most]
        texts = [join_without(read), *(join_without(read, text) for text in tried)]
        rest = [Message(id=place, text=text) for place, text in enumerate(texts)]
        scores = judge(_preprocess_messages([message, *rest], vocabularies)).astype(np.float64)
        shares = np.clip(scores[:, scores[0].argmax()], LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)[1:]
        odds = np.log(shares) - np.log1p(-shares)
        effects, evidence = (shares[0] - shares[1:]).tolist(), (odds[0] - odds[1:]).tolist()
        found = [
            Reason(name_piece(text), text, round(effect, 6), round(log_odds, 3))
            for text, effect, log_odds in zip(tried, effects, evidence, strict=True)
            if abs(effect) >= LEAST_EFFECT or abs(log_odds) >= LEAST_ODDS
        ]
        reasons.append(sorted(found, key=lambda reason: -abs(reason.log_odds))[:WORDS])
    return reasons


def _preprocess_messages(messages: Sequence[Message], vocabularies: Vocabularies) -> Arrays:
    preprocess = preprocess_messages if vocabularies.encoder is None else encoder.preprocess_messages
    return preprocess(messages, vocabularies)


def usual_editor(vectors: Matrix) -> list[float]:
    """Columns 1 to 11 of what is usual among n innocent editors (n, 524 or more): the most common value of each flag
    and token, the median of each number."""
    numbers = (5, 7, 8, 9)
    return [
        float(np.median(vectors[:, column])) if column in numbers else most_common(vectors[:, column])
        for column in range(1, 12)
    ]


def usual_inputs(usual: Sequence[float]) -> Arrays:
    """The arrays of one editor that has what is usual, and no words: what reasons are told from."""
    vector = np.zeros((1, VECTOR_LENGTH), np.float32)
    vector[0, 1:12] = usual[:11]
    return name_inputs(vector)


def most_common(values: Matrix) -> float:
    """The most common of n values; the least of several."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])


def set_or_not(name: str, value: Any) -> tuple[str, Any]:
    """Whether a field is set, in words, and its value."""
    return f"{name} {'not set' if value in (None, '') else 'set'}", value


def _date(editor: Editor, name: str, never: str, ever: str) -> tuple[str, Any]:
    value = getattr(editor, name)
    return (ever if value else never), value or None


def _describe_email(editor: Editor) -> tuple[str, Any]:
    domain = email_domain(editor.email or "")
    return (f"e-mail domain {domain}" if domain else "no e-mail"), domain or None


def _describe_website(editor: Editor) -> tuple[str, Any]:
    host = website_host(editor.website or "")
    return (f"website {host}" if host else "no website"), host or editor.website or None


def describe_bio(editor: Editor) -> tuple[str, Any]:
    """How long a bio is, in words and as a number."""
    length = len(editor.bio or "")
    return (f"bio of {length} characters" if length else "no bio"), length


# How each column of the vector is called for one editor.
_FIELDS: dict[int, Callable[[Editor], tuple[str, Any]]] = {
    1: lambda editor: set_or_not("area", editor.area),
    2: lambda editor: set_or_not("gender", editor.gender),
    3: lambda editor: set_or_not("birth date", editor.birth_date),
    4: lambda editor: ("has privileges" if editor.privs else "no privileges", editor.privs or 0),
    5: describe_bio,
    6: lambda _: ("link in the bio", None),
    7: lambda editor: _date(
        editor, "email_confirm_date", "never confirmed the e-mail", "when the e-mail was confirmed"
    ),
    8: lambda editor: _date(editor, "last_updated", "never updated the profile", "when the profile was updated"),
    9: lambda editor: _date(editor, "last_login_date", "never logged in again", "when it last logged in"),
    10: _describe_email,
    11: _describe_website,
}
