"""Packed files are unpacked in bounded memory, and one that is a trap is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
from typing import Any

import pytest
import zstandard

from sb_api.errors import MalformedBody
from sb_api.readers.compression import BLOCK, LARGEST_RATIO, read_blocks

PACKERS = [gzip.compress, zstandard.compress, bz2.compress, lzma.compress]


@pytest.mark.parametrize("pack", PACKERS)
def test_what_is_packed_is_unpacked_and_damage_is_named(pack: Any) -> None:
    content = b"".join(b'{"id": %d}\n' % number for number in range(5000))
    halves = pack(content[:9000]) + pack(content[9000:])  # as cat makes of two files
    assert b"".join(read_blocks(io.BytesIO(halves))) == content
    with pytest.raises(MalformedBody, match="cut off"):
        list(read_blocks(io.BytesIO(pack(content)[:-20])))
    damaged = bytearray(pack(content))
    damaged[40:60] = b"x" * 20
    with pytest.raises(MalformedBody, match=r"damaged|cut off"):
        list(read_blocks(io.BytesIO(bytes(damaged))))


@pytest.mark.parametrize("pack", PACKERS)
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_in_little_memory(pack: Any) -> None:
    """One line after the other: each can be read, there are just too many."""
    packed = pack(b'{"id": 1}'.ljust(2**16 - 1) + b"\n") * 2_500  # 160 MB
    assert len(packed) * LARGEST_RATIO < 2_500 * 2**16
    tracemalloc.start()
    with pytest.raises(MalformedBody, match=f"more than {LARGEST_RATIO} times"):
        sum(map(len, read_blocks(io.BytesIO(packed))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * BLOCK


def test_one_frame_of_zstandard_that_is_a_trap_takes_little_memory() -> None:
    """The library unpacks all that it is given: 262 kB came to 11.5 GB."""
    packer = zstandard.ZstdCompressor(level=19).compressobj()
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    assert len(packed) < 50_000
    tracemalloc.start()
    with pytest.raises(MalformedBody, match="times its size"):
        sum(map(len, read_blocks(io.BytesIO(packed))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * BLOCK
