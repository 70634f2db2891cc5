"""Weights that are staged on one host are staged for all, until they are dropped on any."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sb_api.config import Settings
from sb_api.errors import InvalidWeights, NothingStaged, UnknownVersion
from sb_api.learning.staging.staging import REFERENCE, Staging, adopt
from sb_api.models import weights_store
from sb_api.models.weights_file import Weights, named
from sb_api.models.weights_store import WeightsStore
from tests.support.jobs import Jobs


@pytest.fixture
def stores(settings: Settings, tmp_path: Path) -> list[WeightsStore]:
    """The stores of two hosts."""
    folders = (tmp_path / "one", tmp_path / "two")
    return [WeightsStore.of(msgspec.structs.replace(settings, state_dir=str(path)), "lodbrok") for path in folders]


def make(store: WeightsStore, factor: float) -> Weights:
    original = store.load("original")
    arrays = {path: array * factor for path, array in original.arrays.items()}
    return adopt(store, named(replace(original, arrays=arrays), 0))


FILES = {"bio.json": b"{}", REFERENCE: b"numbers"}


def test_the_later_of_two_that_are_staged_counts_on_both_hosts(jobs: Jobs, stores: list[WeightsStore]) -> None:
    one, two = (Staging(jobs.redis, store) for store in stores)
    first = one.stage(make(stores[0], 0.9), FILES)
    assert (one.version(), two.version()) == (first.version, first.version)
    assert set(one.find().vocabularies) == {"bio"}
    os.utime(stores[0].directory / "staged_lodbrok.h5", (1, 1))  # whatever the clocks of the hosts say
    jobs.redis.hset("{sb_api}:staged:lodbrok", "since", 1.0)
    second = two.stage(make(stores[1], 0.8), FILES)
    for staging in (one, two):
        staging.synchronize()
        assert staging.version() == second.version
    assert stores[0].staged_since() is None


def test_what_is_dropped_on_one_host_is_let_go_of_on_the_other(jobs: Jobs, stores: list[WeightsStore]) -> None:
    one, two = (Staging(jobs.redis, store) for store in stores)
    one.stage(make(stores[0], 0.9), FILES)
    two.drop()
    one.synchronize()
    assert one.version() == ""
    assert stores[0].staged_since() is None
    with pytest.raises(NothingStaged):
        two.find()


def test_what_redis_has_lost_is_published_again(jobs: Jobs, stores: list[WeightsStore]) -> None:
    staging = Staging(jobs.redis, stores[0])
    about = staging.stage(make(stores[0], 0.9), FILES)
    jobs.redis.flushall()
    staging.synchronize()
    assert staging.version() == about.version


def test_a_damaged_file_is_let_go_of(jobs: Jobs, stores: list[WeightsStore]) -> None:
    staging, file = Staging(jobs.redis, stores[0]), stores[0].directory / "staged_lodbrok.h5"
    stores[0].stage(make(stores[0], 0.9), FILES)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InvalidWeights):
        stores[0].load_staged()
    staging.synchronize()
    assert staging.version() == ""
    with pytest.raises(UnknownVersion):
        stores[0].load_staged()


def test_what_was_staged_while_others_were_promoted_stays(jobs: Jobs, stores: list[WeightsStore]) -> None:
    staging, file = Staging(jobs.redis, stores[0]), stores[0].directory / "staged_lodbrok.h5"
    first = staging.stage(make(stores[0], 0.9), FILES)
    other = make(stores[0], 0.8)
    stores[0].stage(other, FILES)  # by the command line, which publishes nothing
    os.utime(file, (file.stat().st_mtime + 1,) * 2)
    staging.drop()
    assert staging.version() == other.about.version != first.version
    assert stores[0].load_staged()[1] == FILES
    staging.drop()
    assert (staging.version(), stores[0].staged_since()) == ("", None)


def test_what_another_process_is_staging_is_let_be(
    jobs: Jobs, stores: list[WeightsStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, other, write = Staging(jobs.redis, stores[0]), make(stores[0], 0.8), weights_store.write_private
    stores[0].stage(make(stores[0], 0.9), FILES)
    looks = [stores[0].staged_since()]

    def write_late(path: Path, content: bytes) -> None:
        if path.suffix == ".h5":
            staging.synchronize()
        write(path, content)

    with monkeypatch.context() as patch:
        # It has looked before what there was is dropped, and comes to read it when the new files are there.
        patch.setattr(stores[0], "staged_since", lambda: looks.pop() if looks else None)
        patch.setattr(weights_store, "write_private", write_late)
        stores[0].stage(other, FILES)
    assert stores[0].load_staged()[1] == FILES
    staging.synchronize()
    assert (staging.version(), set(staging.find().vocabularies)) == (other.about.version, {"bio"})


def test_weights_from_elsewhere_come_from_the_original_under_a_number_of_this_chain(stores: list[WeightsStore]) -> None:
    store = stores[0]
    original = store.load("original").about
    made = make(store, 0.9).about
    assert (made.number, made.parent) == (original.number + 1, original.version)
    assert adopt(store, store.load("original")).about == original  # what is known here stays what it is
    other = replace(store.load("original"), about=msgspec.structs.replace(original, version="", tokenizers="others"))
    assert adopt(store, named(replace(other, arrays=dict(list(other.arrays.items())[1:])), 0)).about.parent is None
