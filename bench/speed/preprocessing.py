"""`make bench-preprocessing`: what an editor costs on its way from JSON to the network's inputs and back.

One process, process time, the best of several rounds in which plain and fast take turns: other work on the machine
only ever adds to a time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.editors import make_editors
from sb_api.config import load_settings
from sb_api.json_bodies import decode_records
from sb_api.judgements import Judged, describe_answers
from sb_api.models.classifiers import CLASSIFIERS, WIDE_DEEP
from sb_api.preprocessing import editor_vectors, has_url
from sb_api.records import Editor, decode_payload, encode_payload
from sb_api.synthetic.editors import generate_editors
from tests.support.plain_preprocessing import plain_vectors, urlextract_finds

MEAN_BIOS = (300, 440)  # characters


def measure_cases(cases: dict[str, Callable[[], Any]], number: int, rounds: int) -> dict[str, float]:
    """The most editors a second of every case that has `number` of them, over rounds that take turns."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in cases.items():
            start = time.process_time()
            run()
            best[name] = max(best.get(name, 0.0), number / (time.process_time() - start))
    return best


def make_cases(records: Sequence[dict[str, Any]], plain: bool) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    lodbrok = CLASSIFIERS["lodbrok"]
    vocabularies = lodbrok.load_vocabularies(load_settings({}))
    body = msgspec.json.encode(records)
    editors = decode_records(body, Editor, len(records)).all_sound()
    payload = encode_payload(editors)
    spam = np.random.default_rng(1).random(len(editors), np.float32)
    predictions, scores = lodbrok.answer(np.column_stack([1 - spam, spam]), lodbrok.labels, 0.0)
    judged = Judged("1-abc", predictions, scores, {}, ["unsure"] * len(editors))
    answer = describe_answers(editors, judged)
    bios = [editor.bio or "" for editor in editors]
    cases: dict[str, Callable[[], Any]] = {
        "decode and check": lambda: decode_records(body, Editor, len(records)).all_sound(),
        "encode for the queue": lambda: encode_payload(editors),
        "decode from the queue": lambda: decode_payload(payload, list[lodbrok.record_type.queued]),
        "preprocess": lambda: editor_vectors(editors, vocabularies),
        "preprocess, wide-deep-3": lambda: WIDE_DEEP.preprocess(editors, vocabularies),
        "has_url": lambda: [has_url(bio) for bio in bios],
        "describe answers": lambda: describe_answers(editors, judged),
        "encode answers": lambda: msgspec.json.encode(answer),
        "make synthetic editors": lambda: list(generate_editors(len(editors), seed=1)),
    }
    if plain:
        cases |= {
            "preprocess, plain loop": lambda: plain_vectors(editors, vocabularies),
            "has_url, urlextract by token": lambda: [urlextract_finds(bio) for bio in bios],
        }
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--editors", type=int, default=2000, help="in one batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-plain", dest="plain", action="store_false", help="leave out the plain loop")
    options = parser.parse_args()
    found = {
        mean: measure_cases(
            make_cases(make_editors(options.editors, mean), options.plain), options.editors, options.rounds
        )
        for mean in MEAN_BIOS
    }
    table = Table(title="editors/s on one core")
    table.add_column("step")
    for mean in MEAN_BIOS:
        table.add_column(f"mean bio {mean}", justify="right")
    for name in found[MEAN_BIOS[0]]:
        table.add_row(name, *(f"{found[mean][name]:,.0f}" for mean in MEAN_BIOS))
    Console().print(table)


if __name__ == "__main__":
    main()
