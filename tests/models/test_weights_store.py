"""Weights files: whole or refused; and the slots original, previous and current with the versions behind them."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import pytest

from sb_api.config import Settings
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.models.weights_file import SEAL_BYTES, Weights, _seal, dump_weights, parse_weights, version_name
from sb_api.models.weights_store import WeightsStore
from tests.support.factories import make_weights, same_arrays, same_weights

ORIGINAL = make_weights(0)


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    """A store whose original is shipped, and lies where nobody writes."""
    shipped = tmp_path / "shipped" / "original_lodbrok.h5"
    shipped.parent.mkdir()
    shipped.write_bytes(dump_weights(ORIGINAL))
    return WeightsStore("lodbrok", shipped, tmp_path / "state" / "weights", kept=10)


def learn(store: WeightsStore, number: int) -> Weights:
    """What a training does: weights whose parent is the current version, saved and promoted."""
    weights = make_weights(number, parent=store.chain().slots["current"])
    store.save(weights)
    store.promote(weights.about.version)
    return weights


def slots(store: WeightsStore) -> tuple[int | None, int | None, int | None]:
    """The numbers of the versions in the slots original, previous and current."""
    numbers = {about.version: about.number for about in store.chain().versions}
    chain = store.chain().slots
    return tuple(numbers.get(chain[slot] or "") for slot in ("original", "previous", "current"))  # type: ignore[return-value]


def slot_path(store: WeightsStore, slot: str) -> Path:
    return store.directory / f"{slot}_lodbrok.h5"


def reopen(store: WeightsStore) -> WeightsStore:
    """The store as another process, or this one after a restart, sees it."""
    return WeightsStore(store.classifier, store._shipped, store.directory, store.kept)


def version_path(store: WeightsStore, weights: Weights) -> Path:
    return store.directory / "versions" / "lodbrok" / f"{weights.about.version}.h5"


# Files


def test_weights_come_back_as_they_were() -> None:
    """Bit by bit: arrays, the optimizer's moments and step count, and every attribute."""
    weights = make_weights(7, parent="000006-0123abcd")
    again = parse_weights(dump_weights(weights), "a file")
    assert same_weights(again, weights)
    assert again.optimizer["adam/iteration"] == 24
    assert again.about.parent == "000006-0123abcd"
    assert again.about.figures["after"] == {"f1": 0.507, "roc_auc": None}


def test_weights_without_parent_or_task_come_back_so() -> None:
    bare = replace(ORIGINAL, about=msgspec.structs.replace(ORIGINAL.about, task=None, figures={}))
    assert same_weights(parse_weights(dump_weights(bare), "a file"), bare)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, np.float64),
        np.array([np.nan, np.inf, -0.0], np.float32),
        np.zeros((0, 4), np.float32),
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
    ],
)
def test_arrays_of_every_kind_come_back_as_they_were(array: Any) -> None:
    weights = replace(ORIGINAL, arrays={"a/b": array})
    assert same_arrays(parse_weights(dump_weights(weights), "a file").arrays, {"a/b": array})


def test_an_attribute_may_hold_any_text() -> None:
    about = msgspec.structs.replace(ORIGINAL.about, labels=["Ünïcode", "話", "a\nb", ""], task="x" * 60_000)
    assert parse_weights(dump_weights(replace(ORIGINAL, about=about)), "a file").about == about


def test_the_same_weights_give_the_same_file() -> None:
    assert dump_weights(make_weights(3)) == dump_weights(make_weights(3))


def test_any_hdf5_reader_can_open_a_file(tmp_path: Path) -> None:
    """The seal lies in a user block, which readers skip; version, parent and figures are attributes."""
    path = tmp_path / "weights.h5"
    weights = make_weights(4, parent=ORIGINAL.about.version)
    path.write_bytes(dump_weights(weights))
    with h5py.File(path, "r") as file:
        assert file.attrs["version"] == weights.about.version
        assert file.attrs["parent"] == ORIGINAL.about.version
        assert json.loads(file.attrs["figures"]) == weights.about.figures
        assert np.array_equal(file["weights/dense/kernel"][()], weights.arrays["dense/kernel"])


def test_a_version_is_named_for_its_number_and_its_content() -> None:
    arrays = make_weights(1).arrays
    name = version_name(12, arrays)
    assert name.startswith("000012-")
    assert name == version_name(12, dict(reversed(arrays.items())))
    for other in (
        {**arrays, "dense/bias": np.nextafter(arrays["dense/bias"], 1)},
        {**arrays, "dense/bias": arrays["dense/bias"].reshape(5, 6)},
        {**arrays, "dense/bias": arrays["dense/bias"].view(np.int32)},
        {f"{path}_": array for path, array in arrays.items()},
    ):
        assert version_name(12, other) != name


def test_no_changed_byte_goes_unseen() -> None:
    """A damaged file is refused before HDF5 reads it: single bytes changed in it made HDF5 crash, or loop for ever."""
    content = dump_weights(make_weights(5))
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        with pytest.raises(InvalidWeights, match="the damaged one"):
            parse_weights(bytes(damaged), "the damaged one")


def test_no_flipped_bit_of_the_shipped_original_goes_unseen() -> None:
    shipped = bytearray((Settings().static / "weights" / "original_lodbrok.h5").read_bytes())
    assert parse_weights(bytes(shipped), "the shipped one").about.classifier == "lodbrok"
    for place in range(0, len(shipped), len(shipped) // 50):
        shipped[place] ^= 1
        with pytest.raises(InvalidWeights):
            parse_weights(bytes(shipped), "the damaged one")
        shipped[place] ^= 1


def test_no_truncated_file_is_taken() -> None:
    content = dump_weights(make_weights(5))
    for length in [*range(0, len(content), 97), len(content) - 1]:
        with pytest.raises(InvalidWeights):
            parse_weights(content[:length], "the damaged one")


@pytest.mark.parametrize("more", [b"\0", b"more", bytes(4096)])
def test_no_longer_file_is_taken(more: bytes) -> None:
    with pytest.raises(InvalidWeights):
        parse_weights(dump_weights(ORIGINAL) + more, "the damaged one")


@pytest.mark.parametrize("content", [b"", b"\0", b"\0" * SEAL_BYTES, b"no weights" * 1000, b"\x89HDF\r\n\x1a\n", b"PK"])
def test_a_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidWeights, match="this one"):
        parse_weights(content, "this one")


def seal(make: Callable[[h5py.File], None], **options: Any) -> bytes:
    """A sealed HDF5 file with whatever `make` puts in, as somebody would make it who knows how."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=SEAL_BYTES, **options) as file:
        make(file)
    content = buffer.getvalue()[SEAL_BYTES:]
    return _seal(content) + content


def forged(change: Callable[[h5py.File], None]) -> bytes:
    """A file that was right, changed through HDF5 itself and sealed anew."""
    buffer = io.BytesIO(dump_weights(ORIGINAL))
    with h5py.File(buffer, "r+") as file:
        change(file)
    content = buffer.getvalue()[SEAL_BYTES:]
    return _seal(content) + content


def swap(file: h5py.File, name: str) -> Any:
    """Take an array out of the file, to put something else in its place."""
    array = file[name][()]
    del file[name]
    return array


def chunk(file: h5py.File) -> None:
    file.create_dataset("weights/dense/bias", data=swap(file, "weights/dense/bias"), chunks=(10,))


def compress(file: h5py.File) -> None:
    file.create_dataset("weights/dense/bias", data=swap(file, "weights/dense/bias"), chunks=(30,), compression="gzip")


def blow_up(file: h5py.File) -> None:
    """A bomb: a few kilobytes that unpack to half a gigabyte."""
    swap(file, "weights/dense/bias")
    zeros = file.create_dataset("weights/dense/bias", (2**27,), "f4", chunks=(2**20,), compression="gzip")
    zeros[: 2**20] = 0


def promise_more(file: h5py.File) -> None:
    """A shape of four terabytes with nothing behind it."""
    swap(file, "weights/dense/bias")
    file.create_dataset("weights/dense/bias", (2**40,), "f4")


def promise_something(file: h5py.File) -> None:
    """A small shape with nothing behind it, which HDF5 would fill with zeros."""
    swap(file, "weights/dense/bias")
    file.create_dataset("weights/dense/bias", (30,), "f4")


def link_outwards(file: h5py.File) -> None:
    swap(file, "weights/dense/bias")
    file["weights/dense/bias"] = h5py.ExternalLink("/etc/passwd", "/weights")


def link_groups_outwards(file: h5py.File) -> None:
    del file["weights"]
    file["weights"] = h5py.ExternalLink("/tmp/elsewhere.h5", "/weights")


def link_softly(file: h5py.File) -> None:
    file["weights/again"] = h5py.SoftLink("/weights/dense/bias")


def link_group_softly(file: h5py.File) -> None:
    file.move("optimizer", "hidden")
    file["optimizer"] = h5py.SoftLink("/hidden")


def dangle(file: h5py.File) -> None:
    file["weights/again"] = h5py.SoftLink("/nowhere")


def be_virtual(file: h5py.File) -> None:
    swap(file, "weights/dense/bias")
    layout = h5py.VirtualLayout((30,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/elsewhere.h5", "data", (30,))
    file.create_virtual_dataset("weights/dense/bias", layout)


def store_outside(file: h5py.File) -> None:
    swap(file, "weights/dense/bias")
    file.create_dataset("weights/dense/bias", (30,), "f4", external=[("/etc/passwd", 0, 120)])


def hold_text(file: h5py.File) -> None:
    file["weights/text"] = "import os"


def hold_references(file: h5py.File) -> None:
    file.create_dataset("weights/reference", data=file["weights"].ref, dtype=h5py.ref_dtype)


def hold_compounds(file: h5py.File) -> None:
    file["weights/pair"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def hold_complex_numbers(file: h5py.File) -> None:
    file["weights/complex"] = np.zeros(3, np.complex64)


def lose_weights(file: h5py.File) -> None:
    del file["weights"]


def lose_optimizer(file: h5py.File) -> None:
    del file["optimizer"]


def be_array(file: h5py.File) -> None:
    del file["weights"]
    file["weights"] = np.zeros(3)


FORGERIES = [
    chunk,
    compress,
    blow_up,
    promise_more,
    promise_something,
    link_outwards,
    link_groups_outwards,
    link_softly,
    link_group_softly,
    dangle,
    be_virtual,
    store_outside,
    hold_text,
    hold_references,
    hold_compounds,
    hold_complex_numbers,
    lose_weights,
    lose_optimizer,
    be_array,
]


def test_a_file_that_is_sealed_anew_is_taken_when_nothing_is_changed() -> None:
    assert same_weights(parse_weights(forged(lambda _: None), "this one"), ORIGINAL)


@pytest.mark.parametrize("change", FORGERIES)
def test_a_file_with_more_or_other_than_plain_arrays_is_refused(change: Callable[[h5py.File], None]) -> None:
    """Whole and sealed, and still not trusted: nothing outside of it is read and nothing is unpacked."""
    with pytest.raises(InvalidWeights, match="this one"):
        parse_weights(forged(change), "this one")


def share_storage(file: h5py.File) -> None:
    """An array under many names counts once; nothing adds up."""
    for number in range(1000):
        file[f"weights/{number}"] = file["weights/dense/kernel"]
    file["weights/all"] = file["/"]


def test_an_array_under_a_thousand_names_is_read_once() -> None:
    assert len(parse_weights(forged(share_storage), "this one").arrays) <= len(ORIGINAL.arrays) + len(
        ORIGINAL.optimizer
    )


@pytest.mark.parametrize("attribute", ["version", "classifier", "created", "tokenizers", "labels", "figures"])
@pytest.mark.parametrize("value", [None, 5, 1.5, np.bytes_(b"abc"), [1, 2], ["a"], np.zeros((3, 3)), h5py.Empty("f4")])
def test_attributes_of_another_kind_are_refused(attribute: str, value: object) -> None:
    def change(file: h5py.File) -> None:
        del file.attrs[attribute]
        if value is not None:
            file.attrs[attribute] = value

    with pytest.raises(InvalidWeights, match="this one"):
        parse_weights(forged(change), "this one")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("version", "../../etc/passwd"),
        ("version", ""),
        ("labels", "{}"),
        ("labels", "[1]"),
        ("labels", "["),
        ("figures", "[]"),
        ("figures", "NaN"),
        ("figures", "[" * 60_000),
        ("learned", "many"),
        ("learned", 1.5),
    ],
)
def test_attributes_that_mean_nothing_are_refused(attribute: str, value: object) -> None:
    with pytest.raises(InvalidWeights, match="this one"):
        parse_weights(forged(lambda file: file.attrs.update({attribute: value})), "this one")


def test_a_sealed_file_of_another_kind_is_refused() -> None:
    def make(file: h5py.File) -> None:
        file["model_weights/dense/kernel:0"] = np.zeros((3, 3), np.float32)
        file.attrs["keras_version"] = b"2.2.4"

    for options in ({}, {"libver": "latest"}):
        with pytest.raises(InvalidWeights, match="this one"):
            parse_weights(seal(make, **options), "this one")


# The slots


def test_at_first_the_original_is_current(store: WeightsStore) -> None:
    assert slots(store) == (0, None, 0)
    assert same_weights(store.load_current(), ORIGINAL)
    assert same_weights(store.load("original"), ORIGINAL)
    for slot in ("previous", "current"):
        with pytest.raises(UnknownVersion):
            store.load(slot)  # type: ignore[arg-type]


def test_without_an_original_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    store = WeightsStore("lodbrok", tmp_path / "missing.h5", tmp_path / "state")
    for load in (store.load_current, store.chain, lambda: store.load_version(ORIGINAL.about.version)):
        with pytest.raises(UnknownVersion, match="sb-api bootstrap"):
            load()


def test_saved_weights_are_kept_and_in_no_slot(store: WeightsStore) -> None:
    weights = make_weights(1)
    store.save(weights)
    assert slots(store) == (0, None, 0)
    assert same_weights(store.load_version(weights.about.version), weights)


def test_what_is_promoted_becomes_current_and_what_was_current_previous(store: WeightsStore) -> None:
    one = learn(store, 1)
    assert slots(store) == (0, 0, 1)
    assert same_weights(store.load("current"), one)
    assert same_weights(store.load("previous"), ORIGINAL)
    two = learn(store, 2)
    assert slots(store) == (0, 1, 2)
    assert same_weights(store.load_current(), two)
    assert same_weights(store.load("previous"), one)
    assert two.about.parent == one.about.version


def test_every_version_names_its_parent(store: WeightsStore) -> None:
    for number in range(1, 5):
        learn(store, number)
    versions = store.chain().versions
    assert [about.number for about in versions] == [4, 3, 2, 1, 0]
    assert [about.parent for about in versions] == [*[about.version for about in versions[1:]], None]


def test_promoting_previous_goes_back_and_forth(store: WeightsStore) -> None:
    for number in (1, 2):
        learn(store, number)
    for expected in ((0, 2, 1), (0, 1, 2), (0, 2, 1)):
        store.promote(store.chain().resolve("previous"))
        assert slots(store) == expected


def test_promoting_the_original_starts_from_it_again(store: WeightsStore) -> None:
    for number in (1, 2):
        learn(store, number)
    store.promote(store.chain().resolve("original"))
    assert slots(store) == (0, 2, 0)
    assert same_weights(store.load("current"), ORIGINAL)
    learn(store, 3)
    assert slots(store) == (0, 0, 3)


def test_promoting_a_version_by_name_makes_it_current(store: WeightsStore) -> None:
    versions = [learn(store, number) for number in (1, 2, 3, 4)]
    store.promote(versions[1].about.version)
    assert slots(store) == (0, 4, 2)
    assert same_weights(store.load("current"), versions[1])


def test_promoting_what_is_current_changes_nothing(store: WeightsStore) -> None:
    """A rollback or a training that is done twice must not lose what was previous."""
    learn(store, 1)
    two = learn(store, 2)
    files = {path: path.read_bytes() for path in store.directory.rglob("*.h5")}
    for _ in range(3):
        store.promote(two.about.version)
        assert slots(store) == (0, 1, 2)
    assert {path: path.read_bytes() for path in store.directory.rglob("*.h5")} == files


def test_a_promotion_reads_the_file_that_it_promotes_and_no_other_nor_what_it_has_just_written(
    store: WeightsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new name of a file, or one less, is not another content: all of it was read anew, ten megabytes each time."""
    for number in (1, 2, 3):
        learn(store, number)
    read: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    four = learn(store, 4)
    assert slots(store) == (0, 3, 4)
    assert same_weights(store.load_current(), four)
    assert read == []
    back = store.promote(store.chain().resolve("previous"))
    assert slots(store) == (0, 4, 3)
    assert same_weights(store.load_current(), back)
    assert read == [version_path(store, back)]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_changes_a_file_is_seen_after_a_promotion_though_its_time_is_set_back(
    store: WeightsStore, number: int
) -> None:
    versions = [learn(store, each) for each in (1, 2, 3)]
    path = version_path(store, versions[number - 1])
    status = path.stat()
    damage(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    while path.stat().st_ctime_ns == status.st_ctime_ns:  # the clock of a file system ticks every few milliseconds
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert number not in {about.number for about in store.chain().versions}


def test_what_is_remembered_of_a_file_is_what_is_in_it(store: WeightsStore) -> None:
    """Whoever is given weights cannot change them for the next; and what was changed in the file is seen."""
    learn(store, 1)
    kept = store.load_current()
    for array in kept.arrays.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    damage(version_path(store, kept))
    assert same_weights(store.load_current(), ORIGINAL)


def test_promoting_the_original_when_it_is_current_already_loses_nothing(store: WeightsStore) -> None:
    for _ in range(2):
        store.promote(ORIGINAL.about.version)
        assert slots(store) == (0, None, 0)
    assert same_weights(store.load_current(), ORIGINAL)


@pytest.mark.parametrize("version", ["000009-0123abcd", "previous", "current", "original", ""])
def test_promoting_what_is_not_there_changes_nothing(store: WeightsStore, version: str) -> None:
    learn(store, 1)
    with pytest.raises(UnknownVersion):
        store.promote(version)
    assert slots(store) == (0, 0, 1)


def test_promoting_a_damaged_version_changes_nothing(store: WeightsStore) -> None:
    learn(store, 1)
    two = make_weights(2)
    store.save(two)
    damage(version_path(store, two))
    with pytest.raises(InvalidWeights):
        store.promote(two.about.version)
    assert slots(store) == (0, 0, 1)


@pytest.mark.parametrize("wanted", ["previous", "", "../original", "000009-0123abcd", "x" * 1000])
def test_a_name_that_stands_for_nothing_is_refused_with_those_that_do(store: WeightsStore, wanted: str) -> None:
    with pytest.raises(UnknownVersion, match=ORIGINAL.about.version) as caught:
        store.chain().resolve(wanted)
    assert len(caught.value.detail) < 300


def test_a_name_of_a_slot_or_a_version_is_resolved(store: WeightsStore) -> None:
    one, two = learn(store, 1), learn(store, 2)
    chain = store.chain()
    assert chain.resolve("current") == two.about.version
    assert chain.resolve("previous") == one.about.version
    assert chain.resolve("original") == ORIGINAL.about.version
    assert chain.resolve(one.about.version) == one.about.version


@pytest.mark.parametrize(
    "version",
    [
        "../original_lodbrok",
        "../../weights/original_lodbrok",
        "/etc/passwd",
        "000001-0123abcd/../x",
        "000001-0123abcd\n",
        "000001-0123abcd\0",
        "000001-0123ABCD",
        "000001-0123abcde",
        "1-0123abcd",
        "٠٠٠٠٠١-0123abcd",
        ".",
        "",
    ],
)
def test_a_version_is_never_a_path(store: WeightsStore, version: str) -> None:
    before = sorted(store.directory.parent.parent.rglob("*"))
    named = replace(ORIGINAL, about=msgspec.structs.replace(ORIGINAL.about, version=version))
    for use in (lambda: store.load_version(version), lambda: store.promote(version), lambda: store.save(named)):
        with pytest.raises(UnknownVersion):
            use()
    assert sorted(store.directory.parent.parent.rglob("*")) == before


def test_a_file_that_calls_itself_by_a_path_is_refused() -> None:
    named = replace(ORIGINAL, about=msgspec.structs.replace(ORIGINAL.about, version="../original_lodbrok"))
    with pytest.raises(InvalidWeights, match="not the name of a version"):
        parse_weights(dump_weights(named), "this one")


def test_the_last_ten_versions_and_the_original_are_kept(store: WeightsStore) -> None:
    for number in range(1, 16):
        learn(store, number)
    assert sorted(path.stem[:6] for path in (store.directory / "versions/lodbrok").glob("*")) == [
        f"{number:06}" for number in (0, *range(6, 16))
    ]
    assert [about.number for about in store.chain().versions] == [*range(15, 5, -1), 0]
    assert same_weights(store.load("original"), ORIGINAL)


def test_what_is_in_a_slot_is_never_removed(store: WeightsStore) -> None:
    first = learn(store, 1)
    for number in range(2, 30):
        store.save(make_weights(number))
    store.promote(make_weights(29).about.version)
    assert slots(store) == (0, 1, 29)
    assert same_weights(store.load_version(first.about.version), first)
    store.promote(store.chain().resolve("previous"))
    assert slots(store) == (0, 29, 1)
    assert len(store.chain().versions) == 12


def test_going_back_over_and_over_removes_nothing(store: WeightsStore) -> None:
    for number in (1, 2, 3):
        learn(store, number)
    for _ in range(15):
        store.promote(store.chain().resolve("previous"))
    assert [about.number for about in store.chain().versions] == [3, 2, 1, 0]


def test_two_classifiers_share_a_directory_and_nothing_else(store: WeightsStore, tmp_path: Path) -> None:
    shipped = tmp_path / "shipped" / "original_intent.h5"
    shipped.write_bytes(dump_weights(make_weights(0, classifier="intent")))
    intent = WeightsStore("intent", shipped, store.directory)
    learn(store, 1)
    assert slots(store) == (0, 0, 1)
    assert [about.classifier for about in intent.chain().versions] == ["intent"]
    assert intent.chain().slots["previous"] is None
    store.install_original(make_weights(0, seed=5))
    assert intent.load_current().about.classifier == "intent"


def test_files_are_for_their_owner_alone(store: WeightsStore) -> None:
    """Whoever can write them decides what is spam."""
    before = os.umask(0)
    try:
        learn(store, 1)
        learn(store, 2)
        store.install_original(make_weights(0, seed=5))
        learn(store, 3)
    finally:
        os.umask(before)
    files = list(store.directory.rglob("*.h5"))
    assert len(files) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    folders = [store.directory, store.directory / "versions" / "lodbrok"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_nothing_is_ever_written_where_the_original_is_shipped(store: WeightsStore, tmp_path: Path) -> None:
    content = (tmp_path / "shipped" / "original_lodbrok.h5").read_bytes()
    for number in (1, 2):
        learn(store, number)
    store.install_original(make_weights(0, seed=5))
    assert [path.name for path in (tmp_path / "shipped").iterdir()] == ["original_lodbrok.h5"]
    assert (tmp_path / "shipped" / "original_lodbrok.h5").read_bytes() == content


def test_no_partial_file_is_left(store: WeightsStore) -> None:
    for number in (1, 2):
        learn(store, number)
    assert [path.name for path in store.directory.rglob("*") if path.is_file() and path.suffix != ".h5"] == []


def test_a_disk_that_is_full_leaves_all_as_it_was(store: WeightsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(store, 1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.save(make_weights(2))
    assert [path.name for path in store.directory.rglob("*.partial")] == []
    assert slots(store) == (0, 0, 1)
    learn(store, 2)
    assert slots(store) == (0, 1, 2)


def test_the_store_of_a_host_lies_in_its_state_directory(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path), versions_kept=4)
    store = WeightsStore.of(settings, "lodbrok")
    assert store.directory == tmp_path / "weights"
    assert store.kept == 4
    assert store.load("original").about.classifier == "lodbrok"
    assert not store.directory.exists()


# Falling back


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def damage(path: Path) -> None:
    """One bit of one number."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def be_a_directory(path: Path) -> None:
    """Cannot be read, not even by root."""
    path.unlink()
    path.mkdir()


def be_of_another_kind(path: Path) -> None:
    path.write_bytes(b"<html>404</html>")


def be_another_hdf5(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["dense/kernel"] = np.zeros((3, 3))


def be_of_another_network(path: Path) -> None:
    path.write_bytes(dump_weights(make_weights(2, classifier="intent")))


SPOILS = [truncate, empty, damage, be_a_directory, be_of_another_kind, be_another_hdf5, be_of_another_network]


def detached(path: Path) -> None:
    """Let `path` be a file of its own: as a hard link it would spoil the version's file too."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    os.replace(copy, path)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("linked", [True, False])
def test_a_current_file_that_cannot_be_used_gives_way_to_previous_loudly(
    store: WeightsStore, spoil: Callable[[Path], None], linked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    one = learn(store, 1)
    learn(store, 2)
    current = slot_path(store, "current")
    if not linked:
        detached(current)
    spoil(current)
    assert same_weights(store.load_current(), one)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(current) in caplog.text


@pytest.mark.parametrize("spoil", SPOILS)
def test_the_original_is_the_last_resort(
    store: WeightsStore, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    learn(store, 1)
    learn(store, 2)
    for slot in ("current", "previous"):
        spoil(slot_path(store, slot))
    assert same_weights(store.load_current(), ORIGINAL)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "falling back from the current weights" in caplog.text
    assert "falling back from the previous weights" in caplog.text


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoilt_original_is_an_error_not_a_guess(
    store: WeightsStore, spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    spoil(tmp_path / "shipped" / "original_lodbrok.h5")
    with pytest.raises((InvalidWeights, UnknownVersion), match="original_lodbrok"):
        store.load_current()


def test_a_missing_current_file_gives_way_to_previous(store: WeightsStore) -> None:
    one = learn(store, 1)
    learn(store, 2)
    slot_path(store, "current").unlink()
    assert same_weights(store.load_current(), one)
    assert store.chain().slots["current"] == one.about.version


@pytest.mark.parametrize("spoil", SPOILS)
def test_learning_goes_on_after_a_fall_back(store: WeightsStore, spoil: Callable[[Path], None]) -> None:
    """What is promoted next is current, and previous is what could be used in the meantime, not the spoilt file."""
    one = learn(store, 1)
    two = learn(store, 2)
    spoil(slot_path(store, "current"))
    if slot_path(store, "current").is_dir():
        slot_path(store, "current").rmdir()
    store = reopen(store)
    assert store.chain().slots["current"] == one.about.version
    three = learn(store, 3)
    assert three.about.parent == one.about.version != two.about.version
    assert slots(store) == (0, 1, 3)
    assert same_weights(store.load("previous"), one)
    assert same_weights(store.load("current"), three)


def test_a_spoilt_current_file_is_mended_from_its_version(store: WeightsStore) -> None:
    learn(store, 1)
    two = learn(store, 2)
    detached(slot_path(store, "current"))
    damage(slot_path(store, "current"))
    reopen(store).promote(two.about.version)
    assert same_weights(store.load("current"), two)


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoilt_version_is_left_out_of_the_chain_loudly(
    store: WeightsStore, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    versions = [learn(store, number) for number in (1, 2, 3)]
    spoil(version_path(store, versions[0]))
    store = reopen(store)
    assert [about.number for about in store.chain().versions] == [3, 2, 0]
    assert versions[0].about.version in caplog.text
    assert slots(store) == (0, 2, 3)


# A new original


@pytest.mark.parametrize("spoil", [truncate, empty, damage])
def test_the_original_is_promoted_though_the_copy_of_it_that_is_kept_is_spoilt(
    store: WeightsStore, spoil: Callable[[Path], None]
) -> None:
    """A slot and its version are one file: what spoils the slot spoils the version."""
    learn(store, 1)
    store.promote(ORIGINAL.about.version)
    spoil(slot_path(store, "current"))
    store = reopen(store)
    learn(store, 2)
    store.promote(ORIGINAL.about.version)
    assert same_weights(store.load("current"), ORIGINAL)
    assert same_weights(store.load_version(ORIGINAL.about.version), ORIGINAL)
    assert store.chain().damaged == []


def test_a_new_original_starts_the_chain_anew(store: WeightsStore) -> None:
    for number in (1, 2):
        learn(store, number)
    new = make_weights(0, seed=5)
    store.install_original(new)
    assert slots(store) == (0, None, 0)
    assert same_weights(store.load_current(), new)
    assert [about.version for about in store.chain().versions] == [new.about.version]
    learn(store, 1)
    assert slots(store) == (0, 0, 1)
    assert same_weights(store.load("previous"), new)


def test_a_damaged_installed_original_is_an_error(store: WeightsStore) -> None:
    """Not silently the shipped one: it may be of other tokenizers."""
    store.install_original(make_weights(0, seed=5))
    damage(slot_path(store, "original"))
    with pytest.raises(InvalidWeights):
        store.load_current()


# What a killed writer leaves


def test_cleaning_removes_partial_files_and_nothing_else(store: WeightsStore) -> None:
    for number in (1, 2):
        learn(store, number)
    kept = sorted(store.directory.rglob("*"))
    for folder in (store.directory, store.directory / "versions" / "lodbrok"):
        (folder / ".current_lodbrok.h5.4711.partial").write_bytes(b"half")
    store.clean()
    assert sorted(store.directory.rglob("*")) == kept
    store.clean()


def test_cleaning_before_anything_was_written_is_no_error(store: WeightsStore) -> None:
    store.clean()
    assert not store.directory.exists()


READING = """
import os, sys
from pathlib import Path
from sb_api.errors import InvalidWeights
from sb_api.models.weights_store import WeightsStore
folder = Path(sys.argv[1])
store = WeightsStore("lodbrok", folder / "shipped" / "original_lodbrok.h5", folder / "state" / "weights")
version = store.chain().slots["current"]
store.load_version(version)
(folder / "state" / "weights" / "current_lodbrok.h5").chmod(0)
print(store.chain().damaged)
try:
    store.load_version(version)
except InvalidWeights as error:
    print(error.detail)
"""


def test_a_file_that_may_not_be_read_any_more_is_damaged_for_a_store_that_has_read_it(
    store: WeightsStore, tmp_path: Path
) -> None:
    """Root may read all files, so the store is root's without that right."""
    learn(store, 1)
    obeying = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    command = [*obeying, sys.executable, "-c", READING, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    damaged, detail = said.stdout.splitlines()
    assert damaged == "['current']"
    assert "is damaged or cannot be read" in detail
