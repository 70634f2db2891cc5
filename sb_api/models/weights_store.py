"""Weights files: one `.h5` each, the slots original / previous / current, and the versions behind them.

A file holds numbers only: the network's arrays, the optimizer's, and attributes that say which version it is. It is
read without Keras, and refused when its checksum differs or when it holds anything but plain arrays. Its first 512
bytes, which HDF5 readers skip, are the SHA-256 of all others.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from sb_api.config import Settings
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.files import sync_folder, write_private
from sb_api.models.weights_file import Weights, dump_weights, open_weights, parse_about, parse_weights
from sb_api.versions import VERSION_NAME, Chain, Slot, Version

logger = logging.getLogger(__name__)


class WeightsStore:
    """The weights files of one classifier in a directory of their own; the shipped original lies in another.

    `<directory>/{original,previous,current}_<classifier>.h5` are the slots, `<directory>/versions/<classifier>/` the
    kept versions. A slot is a hard link to its version's file, put in place by rename: whoever is killed in between
    leaves a slot that is whole. While there is no current file, the original is current.
    `<directory>/staged_<classifier>.h5` is staged beside them, with what goes with it in `staged/<classifier>/`.
    """

    def __init__(self, classifier: str, shipped: Path, directory: Path, kept: int = 10) -> None:
        self.classifier = classifier
        self.directory = directory
        self.kept = kept
        self._shipped = shipped
        self._versions = directory / "versions" / classifier
        # What was read of a file, by what the system says of it: reading ten files for each look at the chain is slow.
        self._known: dict[tuple[int, int], Version] = {}
        self._unusable: dict[Path, tuple[int, int]] = {}
        # What was last read or written, by the same: a training begins with what the one before it has made current.
        self._last: tuple[tuple[int, int], Weights] | None = None

    @classmethod
    def of(cls, settings: Settings, classifier: str) -> WeightsStore:
        """The store of a classifier on this host."""
        shipped = settings.static / "weights" / f"original_{classifier}.h5"
        return cls(classifier, shipped, settings.state / "weights", settings.versions_kept)

    def load(self, slot: Slot) -> Weights:
        """The weights in a slot. Raises UnknownVersion when it is empty, InvalidWeights when its file is damaged."""
        path = self._path(slot)
        try:
            return self._parse(path)
        except FileNotFoundError:
            raise UnknownVersion(f"There is no {path}; `sb-api bootstrap` makes the original.") from None

    def load_current(self) -> Weights:
        """The current weights, or the first of previous and original that can be used, with a loud log line."""
        for slot in ("current", "previous"):
            if self._path(slot).exists():
                try:
                    return self.load(slot)
                except InvalidWeights as error:
                    logger.error("falling back from the %s weights: %s", slot, error.detail)
        return self.load("original")

    def load_version(self, version: str) -> Weights:
        """A kept version, or the original. Raises UnknownVersion or InvalidWeights."""
        path = self._version_path(version)
        try:
            return self._parse(path)
        except (FileNotFoundError, InvalidWeights):
            self._read_about(path)  # which logs what is wrong with it
        original = self.load("original")
        if original.about.version == version:
            return original  # also when the copy of it that was kept is damaged
        if path.exists():
            raise InvalidWeights(f"{path} is damaged or cannot be read; the log of the train process says why.")
        raise UnknownVersion(f"There are no weights {version!r}.")

    def chain(self) -> Chain:
        """The slots and the kept versions, the original always among them. Damaged files are left out."""
        original = self._read_about(self._path("original")) or self.load("original").about
        slots: dict[str, str | None] = {"original": original.version, "previous": None, "current": None}
        damaged = []
        for slot in ("previous", "current"):
            about = self._read_about(self._path(slot))
            slots[slot] = about.version if about else None
            if about is None and self._path(slot).exists():
                damaged.append(slot)
        slots["current"] = slots["current"] or slots["previous"] or original.version
        kept = [about for path in self._versions.glob("*.h5") if (about := self._read_about(path))]
        versions = {about.version: about for about in [original, *kept]}
        return Chain(slots, sorted(versions.values(), key=lambda about: about.number, reverse=True), damaged)

    def save(self, weights: Weights) -> None:
        """Keep `weights` as a version, on disk when this returns. It is not in any slot yet."""
        path = self._version_path(weights.about.version)
        write_private(path, dump_weights(weights))
        self._note(_state_of(path.stat()), weights)

    def promote(self, version: str) -> Weights:
        """Make a kept version, or the original, current; what was current becomes previous. Returns it.

        May be repeated after a kill at any instant. Raises UnknownVersion or InvalidWeights, and then changes nothing.
        """
        promoted = self.load_version(version)
        self._keep(promoted)
        current = self._read_about(self._path("current"))
        if current is None or not self._is_kept(current.version):
            leaving = self.load_current()
            self._keep(leaving)
            current = leaving.about
        if current.version == version:
            if not self._path("current").exists() or self._read_about(self._path("current")) is None:
                self._link(version, "current")
            return promoted
        self._link(current.version, "previous")
        self._link(version, "current")
        self._prune()
        return promoted

    def restore_current(self, weights: Weights) -> None:
        """Put `weights`, which were current, in the place of a damaged current file."""
        self.save(weights)
        self._link(weights.about.version, "current")

    def install_original(self, weights: Weights) -> None:
        """Make `weights` the original and start the chain anew from it."""
        for path in [self._path("previous"), self._path("current"), *self._versions.glob("*.h5")]:
            path.unlink(missing_ok=True)
        write_private(self.directory / f"original_{self.classifier}.h5", dump_weights(weights))

    def stage(self, weights: Weights, files: Mapping[str, bytes]) -> None:
        """Stage weights with the files that go with them, by name, in the place of whatever was staged."""
        self.drop_staged()
        for name, content in files.items():
            write_private(self._staged_files / name, content)
        # At the end: without it nothing is staged.
        write_private(self._staged, dump_weights(weights))

    def staged_since(self) -> float | None:
        """Since when weights are staged here (seconds since 1970); None where there are none."""
        try:
            return self._staged.stat().st_mtime
        except FileNotFoundError:
            return None

    def load_staged(self) -> tuple[Weights, dict[str, bytes]]:
        """The staged weights, and the files that go with them. Raises UnknownVersion where there are none,
        InvalidWeights where they are damaged."""
        try:
            weights = self._parse(self._staged)
            return weights, {path.name: path.read_bytes() for path in self._staged_files.iterdir()}
        except FileNotFoundError:
            raise UnknownVersion(f"No weights of {self.classifier} are staged.") from None
        except OSError as error:
            raise InvalidWeights(f"{self._staged} cannot be read: {error.strerror}.") from error

    def drop_staged(self) -> None:
        """Stage nothing any more."""
        self._staged.unlink(missing_ok=True)
        shutil.rmtree(self._staged_files, ignore_errors=True)

    def version_files(self) -> list[Path]:
        """The files of the kept versions."""
        return sorted(self._versions.glob("*.h5"))

    def chain_paths(self) -> list[str]:
        """The files of the slots but for the original, and of the kept versions, by their paths in the state directory;
        those of the slots also where there are none."""
        slots = [self.directory / f"{slot}_{self.classifier}.h5" for slot in ("previous", "current")]
        return [str(path.relative_to(self.directory.parent)) for path in (*slots, *self.version_files())]

    def clean(self) -> None:
        """Remove what a killed writer left behind."""
        for folder in (self.directory, self._versions, self._staged_files):
            for path in folder.glob(".*.partial"):
                path.unlink(missing_ok=True)

    @property
    def _staged(self) -> Path:
        return self.directory / f"staged_{self.classifier}.h5"

    @property
    def _staged_files(self) -> Path:
        return self.directory / "staged" / self.classifier

    def _path(self, slot: Slot | str) -> Path:
        path = self.directory / f"{slot}_{self.classifier}.h5"
        return self._shipped if slot == "original" and not path.exists() else path

    def _version_path(self, version: str) -> Path:
        if not VERSION_NAME.fullmatch(version):
            raise UnknownVersion(f"{version[:40]!r} is not the name of a version.")
        return self._versions / f"{version}.h5"

    def _keep(self, weights: Weights) -> None:
        """Keep weights as a version, unless they are one."""
        if not self._is_kept(weights.about.version):
            self.save(weights)

    def _is_kept(self, version: str) -> bool:
        """Whether the file of a version is there and sound."""
        return self._read_about(self._version_path(version)) is not None

    def _parse(self, path: Path) -> Weights:
        """The weights in a file. Raises InvalidWeights for what is there and cannot be used, FileNotFoundError for what
        is not."""
        try:
            state = _state_of(path.stat())
            if self._last is not None and self._last[0] == state:
                return self._last[1]
            content = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InvalidWeights(f"{path} cannot be read: {error.strerror}.") from error
        weights = parse_weights(content, str(path))
        self._check_owner(weights.about, path)
        self._note(state, weights)
        return weights

    def _note(self, state: tuple[int, int], weights: Weights) -> None:
        """Remember what a file holds while it is in this state."""
        for array in (*weights.arrays.values(), *weights.optimizer.values()):
            array.setflags(write=False)  # whoever is given them again is given what is in the file
        self._known[state] = weights.about
        self._last = state, weights

    def _check_owner(self, about: Version, path: Path) -> None:
        if about.classifier != self.classifier:
            raise InvalidWeights(f"{path} holds weights of {about.classifier[:40]!r}, not of {self.classifier!r}.")

    def _read_about(self, path: Path) -> Version | None:
        state = (0, 0)
        try:
            state = _state_of(path.stat())
            if self._unusable.get(path) == state:
                return None
            if state not in self._known:
                with open_weights(path.read_bytes(), str(path)) as file:
                    about = parse_about(file)
                self._check_owner(about, path)
                self._known[state] = about
            return self._known[state]
        except FileNotFoundError:
            return None
        except (InvalidWeights, OSError) as error:
            logger.error("a weights file cannot be used: %s", error)
            self._unusable[path] = state
            return None

    def _link(self, version: str, slot: Slot) -> None:
        path, linked = self._path(slot), self._version_path(version)
        leaving = self._read_about(path)
        renamed = [linked, self._version_path(leaving.version)] if leaving is not None else [linked]
        before = [(file, _look_at(file)) for file in renamed]
        partial = path.parent / f".{path.name}.{os.getpid()}.partial"
        partial.unlink(missing_ok=True)
        os.link(linked, partial)
        os.replace(partial, path)
        # Renaming a hard link onto its own file leaves both names.
        partial.unlink(missing_ok=True)
        sync_folder(path.parent)
        for file, status in before:
            self._keep_known(file, status)

    def _keep_known(self, path: Path, before: os.stat_result | None) -> None:
        """What was known of a file in the state `before` stays known: that it got a name more or less, and nothing
        else, changes its ctime too."""
        now = _look_at(path)
        if before is None or now is None or _content_of(before) != _content_of(now):
            return
        if (known := self._known.get(_state_of(before))) is not None:
            self._known[_state_of(now)] = known
        if self._last is not None and self._last[0] == _state_of(before):
            self._last = _state_of(now), self._last[1]

    def _prune(self) -> None:
        chain = self.chain()
        for about in chain.versions[self.kept :]:
            if about.version not in chain.slots.values():
                self._version_path(about.version).unlink(missing_ok=True)


def _look_at(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _state_of(status: os.stat_result) -> tuple[int, int]:
    """What changes with whatever damages or mends a file, rights taken or given back among it."""
    return status.st_ino, status.st_ctime_ns


def _content_of(status: os.stat_result) -> tuple[int, ...]:
    """The same, but for what changes with a file's names too."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid
