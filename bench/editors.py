"""Editors to be judged by the benches: made up, seeded, with bios of the mean length that a bench asks for."""

from __future__ import annotations

from itertools import cycle
from random import Random
from typing import Any

from sb_api.synthetic.editors import generate_editors


def make_editors(number: int, mean_bio: int, seed: int = 1) -> list[dict[str, Any]]:
    """So many editors as clients send them. All have a bio: its length is exponential with that mean, in characters,
    and its text is that of generated bios, one after the other, in ASCII or not as the first of them is."""
    random = Random(seed)
    records = [dict(editor.record) for editor in generate_editors(number, seed)]
    texts = [str(record["bio"]) for record in records if record["bio"]]
    first = cycle(texts)
    more = {plain: cycle([text for text in texts if text.isascii() is plain]) for plain in (True, False)}
    for record in records:
        length = 1 + int(random.expovariate(1 / mean_bio))
        bio = str(record["bio"] or next(first))
        others = more[bio.isascii()]
        while len(bio) < length:
            bio += "\n" + next(others)
        record["bio"] = bio[:length]
    return records
