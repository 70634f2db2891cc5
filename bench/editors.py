"""Editors to be judged by the benches: made up, seeded, with bios of the mean length that a bench asks for."""

from __future__ import annotations

from itertools import cycle
from random import Random
from typing import Any

from sb_api.synthetic import generate_editors


def make_editors(number: int, mean_bio: int, seed: int = 1) -> list[dict[str, Any]]:
    """So many editors as clients send them. All have a bio: its length is exponential with that mean, in characters,
    and its text is that of generated bios, one after the other."""
    random = Random(seed)
    records = [dict(editor.record) for editor in generate_editors(number, seed)]
    texts = cycle([str(record["bio"]) for record in records if record["bio"]])
    for record in records:
        length = 1 + int(random.expovariate(1 / mean_bio))
        bio = str(record["bio"] or next(texts))
        while len(bio) < length:
            bio += "\n" + next(texts)
        record["bio"] = bio[:length]
    return records
