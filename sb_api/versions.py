"""The versions of a classifier's weights, as every process knows them: what is told of each, and the chain of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

from sb_api.errors import UnknownVersion

EventKind = Literal["training", "rollback", "replay", "promotion", "renaming"]

Slot = Literal["original", "previous", "current"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
# What a score of an editor is called, from the highest: the borders of a version lie between them.
BANDS = ("certain spam", "likely spam", "unsure", "likely fine")
MOST_LABELS = 1000  # that weights may have
VERSION_NAME = re.compile(r"[0-9]{6,9}-[0-9a-f]{8}")


def find_merged(labels: Sequence[str]) -> list[int] | None:
    """For each label the number of the last one of its name: several of one name are one class, as a merge leaves them,
    and the last of them stands for it. None where each has a name of its own."""
    last = {label: number for number, label in enumerate(labels)}
    return None if len(last) == len(labels) else [last[label] for label in labels]


def number_of(version: str) -> int:
    """The number that a version's name begins with."""
    return int(version.partition("-")[0])


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one version; the attributes of its file. `created` is ISO 8601 in UTC, `temperature` and
    `borders` (certain spam, likely spam, unsure) its calibration, `usual` what is usual among innocent records.

    `architecture` says of which network its numbers are; files without it are of the one that has the classifier's
    name. `caution` is how many times as much a false positive weighs as a miss while it learns, if its architecture's
    own is not taken; `encoder` the SHA-256 of the sentence encoder that it works with."""

    classifier: str
    version: str
    parent: str | None
    created: str
    tokenizers: str
    labels: list[str]
    task: str | None = None
    learned: int = 0
    figures: dict[str, Any] = {}
    temperature: float = 1.0
    borders: list[float] = []
    usual: list[float] = []
    architecture: str | None = None
    caution: float | None = None
    encoder: str | None = None

    @property
    def number(self) -> int:
        return number_of(self.version)

    @property
    def features(self) -> str:
        """Which numbers records are to it: stored ones are of use to the versions that have the same. At most 32
        characters."""
        other = self.architecture not in (None, self.classifier)
        return f"{self.tokenizers}+{self.architecture}"[:32] if other else self.tokenizers

    def takes_the_same(self, other: Version) -> bool:
        """Whether both turn records into the same numbers and have the same labels, so that one can take the place of
        the other, and learn what it has learned."""
        return (self.features, self.labels) == (other.features, other.labels)

    @property
    def told(self) -> dict[str, Any]:
        """The figures that whoever had it made is told: all but those of its bands, which are many, and what the
        guard notes for itself."""
        return {name: value for name, value in self.figures.items() if name not in ("bands", "fallen")}

    @property
    def fallen(self) -> dict[str, float]:
        """The guarded figures that trainings found too low when they began, as they were then."""
        return dict(self.figures.get("fallen", {}))

    @property
    def threshold(self) -> float:
        """The least probability of the best label with which a record is of that class, and not of none."""
        return float(self.figures.get("threshold", 0.0))


class Chain(msgspec.Struct, frozen=True):
    """The slots, each the name of a version, the kept versions, newest first, and the slots whose file is damaged:
    previous stands in for current, the original for both."""

    slots: dict[str, str | None]
    versions: list[Version]
    damaged: list[str] = []

    def find(self, slot: Slot) -> Version:
        """The version in a slot that is not empty."""
        return next(about for about in self.versions if about.version == self.slots[slot])

    def resolve(self, wanted: str) -> str:
        """The version that a slot's name or a version's name stands for. Raises UnknownVersion."""
        version = self.slots.get(wanted, wanted)
        if version is None or version not in {about.version for about in self.versions}:
            raise UnknownVersion(
                f"There are no weights {wanted[:40]!r}; there are {', '.join(s for s in SLOTS if self.slots[s])}"
                f" and the versions {', '.join(about.version for about in self.versions)}."
            )
        return version


class Drift(msgspec.Struct, frozen=True):
    """Whether errors have risen: `sound` names the weights in use before they did, when there were any."""

    detected: bool
    error_rate: float | None = None
    error_rate_before: float | None = None
    sound: str | None = None
