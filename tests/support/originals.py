"""An original of the first architecture, made from few synthetic editors once for all tests that want one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sb_api.bootstrap.editors import bootstrap_lodbrok
from sb_api.config import Settings
from sb_api.models.classifiers import LODBROK
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from tests.conftest import make_once

COUNT, SEED = 2000, 5


@dataclass(frozen=True)
class Made:
    """What a bootstrap returned, said and left behind."""

    settings: Settings
    figures: dict[str, Any]
    lines: list[str]

    @property
    def original(self) -> Weights:
        return WeightsStore.of(self.settings, "lodbrok").load("original")

    @property
    def card(self) -> str:
        return (self.settings.state / "docs" / "model-card-lodbrok.md").read_text("utf-8")


def bootstrap(state: Path) -> Made:
    settings, lines = Settings(state_dir=str(state)), list[str]()
    figures = bootstrap_lodbrok(settings, count=COUNT, seed=SEED, echo=lines.append, classifier=LODBROK)
    return Made(settings, figures, lines)


def bootstrap_once(factory: pytest.TempPathFactory) -> Made:
    """What `bootstrap` makes. Nobody changes it."""

    def make(folder: Path) -> None:
        made = bootstrap(folder / "state")
        (folder / "told.json").write_bytes(msgspec.json.encode((made.figures, made.lines)))

    folder = make_once(factory, "lodbrok", make)
    figures, lines = msgspec.json.decode((folder / "told.json").read_bytes())
    return Made(Settings(state_dir=str(folder / "state")), figures, lines)
