"""The bytes of a file in blocks, unpacked where they are packed with gzip, Zstandard, bzip2 or xz.

However well a file is packed, no more than some blocks of it are in memory, and one that unpacks to more than
`LARGEST_RATIO` times its size is refused: nothing that people write packs so well.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import BinaryIO, Protocol

import zstandard

from sb_api.errors import MalformedBody

BLOCK = 2**20  # bytes that are read, and unpacked, at once
LARGEST_RATIO = 250
ALWAYS_ALLOWED = 64 * 2**20  # bytes that a packed file may come to, whatever its ratio
LARGEST_WINDOW = 2**27  # bytes that a packed file may ask an unpacker to remember
# Four bytes of Zstandard may stand for 128 KiB, and the library unpacks all that it is given: so little at a time.
ZSTANDARD_BITE = 2**8


class _Unpacker(Protocol):
    """One packed stream. `eof` once its end was seen; `unused_data` is what came after it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def unpack(self, data: bytes, /) -> Iterator[bytes]: ...


class _Gzip:
    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def unpack(self, data: bytes) -> Iterator[bytes]:
        piece = self._inflater.decompress(data, BLOCK)
        while piece:
            yield piece
            piece = self._inflater.decompress(self._inflater.unconsumed_tail, BLOCK)


class _Bounded:
    """Of the standard library's unpackers that are told how much to give at once."""

    def __init__(self, inflater: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inflater = inflater

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def unpack(self, data: bytes) -> Iterator[bytes]:
        yield self._inflater.decompress(data, BLOCK)
        while not self._inflater.eof and not self._inflater.needs_input:
            yield self._inflater.decompress(b"", BLOCK)


class _Zstandard:
    def __init__(self) -> None:
        self._inflater = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    def unpack(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTANDARD_BITE):
            yield self._inflater.decompress(data[start : start + ZSTANDARD_BITE])
            if self._inflater.eof:
                self.unused_data = self._inflater.unused_data + data[start + ZSTANDARD_BITE :]
                return


_UNPACKERS: tuple[tuple[bytes, Callable[[], _Unpacker]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"\x28\xb5\x2f\xfd", _Zstandard),
    (b"BZh", lambda: _Bounded(bz2.BZ2Decompressor())),
    (b"\xfd7zXZ\0", lambda: _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * LARGEST_WINDOW))),
)
SUFFIXES = (".gz", ".zst", ".bz2", ".xz")


def read_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of a file, in blocks.

    Raises MalformedBody when a packed file is damaged, cut off, or unpacks to far more than it is.
    """
    start = stream.read(BLOCK)
    blocks: Iterator[bytes] = chain([start], iter(lambda: stream.read(BLOCK), b""))
    for magic, new in _UNPACKERS:
        if start.startswith(magic):
            return _in_blocks(_unpack(blocks, new))
    return blocks


def _unpack(blocks: Iterable[bytes], new: Callable[[], _Unpacker]) -> Iterator[bytes]:
    unpacker = new()
    packed = unpacked = 0
    try:
        for block in blocks:
            packed += len(block)
            rest = block
            while rest:
                if unpacker.eof:
                    rest = rest.lstrip(b"\0")  # some tools pad the end
                    if not rest:
                        break
                    unpacker = new()
                for piece in unpacker.unpack(rest):
                    unpacked += len(piece)
                    if unpacked > max(ALWAYS_ALLOWED, LARGEST_RATIO * packed):
                        raise MalformedBody(
                            f"The file unpacks to more than {LARGEST_RATIO} times its size, as no records do; it was "
                            f"read up to there. If it is sound, unpack it first."
                        )
                    if piece:
                        yield piece
                rest = unpacker.unused_data if unpacker.eof else b""
    except (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file cannot be read; bz2 says with a plain OSError that it is damaged
        raise MalformedBody(f"The file is damaged and cannot be unpacked: {error}.") from None
    if not unpacker.eof:
        raise MalformedBody("The file is cut off: it ends within its packed data.")


def _in_blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of some size: what reads them works block by block."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= BLOCK // 4:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
