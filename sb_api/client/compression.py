"""The bytes of a file in blocks, unpacked where they are packed with gzip or Zstandard."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import BinaryIO, Protocol

import zstandard

from sb_api.errors import MalformedBody

BLOCK = 2**20  # bytes read at once
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def read_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of a file, in blocks, without a byte order mark.

    Raises MalformedBody when a packed file is damaged or cut off.
    """
    start = stream.read(BLOCK)
    blocks: Iterator[bytes] = chain([start], iter(lambda: stream.read(BLOCK), b""))
    if start.startswith(b"\x1f\x8b"):
        blocks = _unpack(blocks, lambda: zlib.decompressobj(wbits=31))
    elif start.startswith(b"\x28\xb5\x2f\xfd"):
        blocks = _unpack(blocks, lambda: zstandard.ZstdDecompressor().decompressobj())
    yield next(blocks, b"").removeprefix(BYTE_ORDER_MARK)
    yield from blocks


def _unpack(blocks: Iterable[bytes], new: Callable[[], _Inflater]) -> Iterator[bytes]:
    inflater = new()
    try:
        for block in blocks:
            rest = block
            while rest:
                if inflater.eof:
                    rest = rest.lstrip(b"\0")  # some tools pad the end
                    if not rest:
                        break
                    inflater = new()
                if unpacked := inflater.decompress(rest):
                    yield unpacked
                rest = inflater.unused_data if inflater.eof else b""
    except (zlib.error, zstandard.ZstdError) as error:
        raise MalformedBody(f"The file is damaged and cannot be unpacked: {error}.") from None
    if not inflater.eof:
        raise MalformedBody("The file is cut off: it ends within its packed data.")
