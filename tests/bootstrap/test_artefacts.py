"""Weights from elsewhere are read, tried and judged before anything is changed, and what they replace stays."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sb_api.bootstrap import artefacts
from sb_api.bootstrap.archive import archived, import_artefact, replace_original, restore_original
from sb_api.bootstrap.artefacts import check_about, export_artefact
from sb_api.config import Settings
from sb_api.errors import InvalidWeights
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.weights_file import Weights, dump_weights, named, parse_weights
from sb_api.models.weights_store import WeightsStore

INTENT = CLASSIFIERS["intent"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=str(tmp_path / "state"))


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """The shipped weights of messages, as they were exported."""
    return export_artefact(settings, INTENT, tmp_path / "out")


def write(folder: Path, name: str, content: bytes) -> None:
    """Put a file into an artefact as if it had been exported with it."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def weights_of(folder: Path) -> Weights:
    return parse_weights((folder / "weights.h5").read_bytes(), "weights.h5")


def change_weights(change: Callable[[Weights], Weights]) -> Callable[[Path], None]:
    return lambda folder: write(folder, "weights.h5", dump_weights(change(weights_of(folder))))


def with_array(weights: Weights, change: Callable[[np.ndarray], np.ndarray]) -> Weights:
    path = sorted(weights.arrays)[0]
    return replace(weights, arrays={**weights.arrays, path: change(weights.arrays[path].copy())})


def with_nan(array: np.ndarray) -> np.ndarray:
    array.flat[0] = np.nan
    return array


def with_about(**changes: object) -> Callable[[Weights], Weights]:
    return lambda weights: replace(weights, about=msgspec.structs.replace(weights.about, **changes))


def archive(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def that_lies() -> bytes:
    """Says that it holds four gigabytes, in a hundred bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**20, 2**10)})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("vectors.npy", header.getvalue())
    return content.getvalue()


def pipe(folder: Path) -> None:
    (folder / "weights.h5").unlink()
    os.mkfifo(folder / "weights.h5")


def device(folder: Path) -> None:
    (folder / "reference.npz").unlink()
    (folder / "reference.npz").symlink_to("/dev/zero")


def too_large(folder: Path) -> None:
    os.truncate(folder / "reference.npz", artefacts.MOST_BYTES["reference.npz"] + 1)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a number that is none": (change_weights(lambda w: with_array(w, with_nan)), "finite"),
    "another shape": (change_weights(lambda w: with_array(w, lambda a: np.concatenate([a, a]))), "shape"),
    "an optimizer's number that is none": (
        change_weights(lambda w: replace(w, optimizer={**w.optimizer, "x": np.array([np.inf])})),
        "optimizer",
    ),
    "one label more": (change_weights(lambda w: with_about(labels=[*w.about.labels, "more"])(w)), "shape"),
    "a label twice": (change_weights(lambda w: with_about(labels=[w.about.labels[0]] * 2)(w)), "its own name"),
    "a temperature of zero": (change_weights(with_about(temperature=0.0)), "calibration"),
    "pickles": (lambda f: write(f, "reference.npz", archive(vectors=np.array([{}]))), "plain array"),
    "an archive that lies": (lambda f: write(f, "reference.npz", that_lies()), "as large as it says"),
    "no archive": (lambda f: write(f, "reference.npz", b"PK\3\4nothing"), "no archive"),
    "labels that there are not": (
        lambda f: write(f, "reference.npz", archive(vectors=np.full((9, INTENT.vector_length), 99.0))),
        "labels that the weights do not have",
    ),
    "a pipe": (pipe, "no regular file"),
    "a device": (device, "no regular file"),
    "a file without end": (too_large, "more than"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_used_is_refused_and_changes_nothing(settings: Settings, folder: Path, damage: str) -> None:
    spoil, said = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(InvalidWeights, match=said):
        import_artefact(settings, folder)
    assert not settings.state.exists()


def test_an_archive_that_unpacks_to_too_much_is_refused_packed(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "MOST_UNPACKED", 2**20)
    content = io.BytesIO()
    np.savez_compressed(content, vectors=np.zeros((2**10, 2**10), np.float32))
    write(folder, "reference.npz", content.getvalue())
    with pytest.raises(InvalidWeights, match="unpacks to more than"):
        import_artefact(settings, folder)


def test_editors_have_two_labels_and_no_others() -> None:
    lodbrok = CLASSIFIERS["lodbrok"]
    about = WeightsStore.of(Settings(), "lodbrok").load("original").about
    check_about(lodbrok, about)
    for labels in ([*lodbrok.labels, "Neither"], list(reversed(lodbrok.labels))):
        with pytest.raises(InvalidWeights, match="labels"):
            check_about(lodbrok, msgspec.structs.replace(about, labels=labels))


def exchanged(weights: Weights) -> Weights:
    """The same, but for its classes, each of which says what the one after it should."""
    classes = len(weights.about.labels)
    last = {path: np.roll(a, 1, axis=-1) for path, a in weights.arrays.items() if a.shape[-1:] == (classes,)}
    assert len(last) >= 2
    return named(replace(weights, arrays={**weights.arrays, **last}), 7)


def test_worse_ones_are_refused_unless_forced_and_the_old_ones_can_be_rolled_back_to(
    settings: Settings, folder: Path
) -> None:
    store = WeightsStore.of(settings, "intent")
    shipped = store.load_current().about
    worse = exchanged(weights_of(folder))
    write(folder, "weights.h5", dump_weights(worse))
    with pytest.raises(InvalidWeights, match=r"guessing; .*would fall to .* of the weights in use.*--force"):
        import_artefact(settings, folder)
    assert not settings.state.exists()
    _, judgement = import_artefact(settings, folder, force=True)
    assert judgement.in_use is not None
    assert judgement.in_use[0] == shipped.version
    chain = WeightsStore.of(settings, "intent").chain()
    assert chain.slots == {"original": worse.about.version, "previous": shipped.version, "current": worse.about.version}
    store = WeightsStore.of(settings, "intent")
    store.promote(shipped.version)
    assert store.load_current().about.version == shipped.version


def test_weights_of_other_vocabularies_start_a_chain_and_the_old_one_is_brought_back_whole(settings: Settings) -> None:
    store = WeightsStore.of(settings, "intent")
    original = store.load("original")
    trained = [
        named(replace(original, about=msgspec.structs.replace(original.about, parent="", learned=n)), n) for n in (1, 2)
    ]
    for weights in trained:
        store.save(weights)
        store.promote(weights.about.version)
    other = named(replace(original, about=msgspec.structs.replace(original.about, tokenizers="other")), 0)
    replace_original(settings, other, {})
    chain = WeightsStore.of(settings, "intent").chain()
    assert [about.version for about in chain.versions] == [other.about.version]
    assert chain.slots["previous"] is None
    newest = trained[-1].about.version
    assert newest in archived(settings, "intent")
    restore_original(settings, "intent", newest)
    chain = WeightsStore.of(settings, "intent").chain()
    assert chain.slots["current"] == newest
    assert {weights.about.version for weights in trained} <= {about.version for about in chain.versions}
