"""BentoML, adaptive batching on. `bentoml serve bentoml_server:Service` runs it."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from bench.peers.judging import Lodbrok, decode


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]), traffic={"timeout": 60}, metrics={"enabled": False})
class Service:
    """Editors of all requests of a batch come as one list, whose answers go back as one."""

    def __init__(self) -> None:
        self.lodbrok = Lodbrok()

    @bentoml.api(batchable=True, max_batch_size=1024, max_latency_ms=1000)
    def predict(self, editors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Not by id: two requests of a batch may name the same editor.
        found = decode(editors)
        spam = self.lodbrok.score(found)[:, 1].tolist()
        return [{"id": editor.id, "score": score} for editor, score in zip(found, spam, strict=True)]
