"""The reasons behind a score: which fields and which words of the bio moved it, and by how much.

Each feature is replaced by what is usual among innocent editors (a word: by its absence) and the record judged again;
the effect is the score with the feature minus the score without it (occlusion; Zeiler and Fergus, 2014). A score near 0
or 1 hardly moves, however much a feature says; its odds do, so it is by these that reasons are chosen and ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Matrix
from sb_api.judgements import Reason
from sb_api.preprocessing import editor_vectors, email_domain, name_inputs, website_host
from sb_api.records import Editor
from sb_api.text.tokenizers import Vocabularies

WORDS = 8  # words of a bio that are tried, those of the greatest weight
LEAST_EFFECT = 0.001
LEAST_ODDS = 0.5  # of the logarithm of the odds: from 1 in 10,000 to 1 in 6,000
LEAST_PROBABILITY = 1e-12

Judge = Callable[[Arrays], npt.NDArray[np.float32]]


def explain_editors(
    editors: Sequence[Editor], usual: Sequence[float], judge: Judge, vocabularies: Vocabularies
) -> list[list[Reason]]:
    """The reasons of n editors, strongest first.

    `usual` are columns 1 to 11 of a usual innocent editor, `judge` turns named arrays into calibrated probabilities.
    """
    vectors = editor_vectors(editors, vocabularies)
    words = {rank: word for word, rank in vocabularies["bio"].ranks.items()}
    bios = vectors[:, 12:]
    # The words of the greatest tf-idf, per editor, greatest first.
    chosen = np.argpartition(bios, -WORDS, axis=1)[:, -WORDS:]
    chosen = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(bios, chosen, 1), axis=1), 1)
    values = [np.array([usual[column - 1] for column in columns], np.float32) for columns, _ in _FIELDS]
    # Where a feature is as usual, or there is no further word, there is nothing to judge.
    fields = [(vectors[:, columns] != value).any(axis=1) for (columns, _), value in zip(_FIELDS, values, strict=True)]
    differing = np.array([*fields, *(np.take_along_axis(bios, chosen, 1) != 0).T])
    rows = np.nonzero(differing)[1]
    changed = vectors[np.concatenate([np.arange(len(vectors)), rows])]
    variants = np.split(changed[len(vectors) :], np.cumsum(differing.sum(axis=1))[:-1])
    for variant, (columns, _), value in zip(variants, _FIELDS, values, strict=False):
        variant[:, columns] = value
    for variant, words_at, differs in zip(variants[len(_FIELDS) :], chosen.T, differing[len(_FIELDS) :], strict=True):
        variant[np.arange(len(variant)), 12 + words_at[differs]] = 0.0
    scores = judge(name_inputs(changed))
    logarithms = np.log(np.maximum(scores, LEAST_PROBABILITY))
    odds = logarithms[:, 1] - logarithms[:, 0]
    effects, log_odds = np.zeros((2, *differing.shape), np.float32)
    effects[differing] = scores[rows, 1] - scores[len(vectors) :, 1]
    log_odds[differing] = odds[rows] - odds[len(vectors) :]
    tells = (np.abs(effects) >= LEAST_EFFECT) | (np.abs(log_odds) >= LEAST_ODDS)
    reasons = []
    for row, editor in enumerate(editors):
        found = []
        for place in np.flatnonzero(tells[:, row]).tolist():
            word = words[int(chosen[row, place - len(_FIELDS)])] if place >= len(_FIELDS) else None
            feature, content = (f"word {word!r}", word) if word else _FIELDS[place][1](editor)
            effect, evidence = float(effects[place, row]), float(log_odds[place, row])
            found.append(Reason(feature, content, round(effect, 6), round(evidence, 3)))
        reasons.append(sorted(found, key=lambda reason: -abs(reason.log_odds)))
    return reasons


def usual_editor(vectors: Matrix) -> list[float]:
    """Columns 1 to 11 of what is usual among n innocent editors (n, 524): the most common value of each flag and
    token, the median of each number."""
    numbers = (5, 7, 8, 9)
    return [
        float(np.median(vectors[:, column])) if column in numbers else _most_common(vectors[:, column])
        for column in range(1, 12)
    ]


def _most_common(values: Matrix) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])


def _set_or_not(name: str, value: Any) -> tuple[str, Any]:
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


def _describe_bio(editor: Editor) -> tuple[str, Any]:
    length = len(editor.bio or "")
    return (f"bio of {length} characters" if length else "no bio"), length


# Columns of the vector that go together, and how they are called for one editor.
_FIELDS: tuple[tuple[list[int], Callable[[Editor], tuple[str, Any]]], ...] = (
    ([1], lambda editor: _set_or_not("area", editor.area)),
    ([2], lambda editor: _set_or_not("gender", editor.gender)),
    ([3], lambda editor: _set_or_not("birth date", editor.birth_date)),
    ([4], lambda editor: ("has privileges" if editor.privs else "no privileges", editor.privs or 0)),
    ([5], _describe_bio),
    ([6], lambda _: ("link in the bio", None)),
    (
        [7],
        lambda editor: _date(
            editor, "email_confirm_date", "never confirmed the e-mail", "when the e-mail was confirmed"
        ),
    ),
    ([8], lambda editor: _date(editor, "last_updated", "never updated the profile", "when the profile was updated")),
    ([9], lambda editor: _date(editor, "last_login_date", "never logged in again", "when it last logged in")),
    ([10], _describe_email),
    ([11], _describe_website),
)
