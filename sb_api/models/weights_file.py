"""One weights file: numbers and what they are, sealed by a checksum; read without Keras."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import h5py
import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays
from sb_api.errors import InvalidWeights
from sb_api.models.wide_features import ACCOUNT_TABLE, ACCOUNTS, ARCHITECTURE
from sb_api.versions import VERSION_NAME, Version

SEAL_BYTES = 512  # the smallest user block of HDF5


def named(weights: Weights, number: int) -> Weights:
    """`weights` under the version name that follows from their number in the chain and their content."""
    version = version_name(number, weights.arrays)
    return replace(weights, about=msgspec.structs.replace(weights.about, version=version))


@dataclass(frozen=True)
class Weights:
    """One version: `arrays` are the network's numbers by variable path, `optimizer` those of its optimizer."""

    about: Version
    arrays: Arrays
    optimizer: Arrays


def version_name(number: int, arrays: Arrays) -> str:
    """The name of a version: its number in the chain and eight digits of what it holds."""
    return f"{number:06d}-{_digest(arrays).hexdigest()[:8]}"


def dump_weights(weights: Weights) -> bytes:
    """The bytes of a weights file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=SEAL_BYTES) as file:
        for group, arrays in (("weights", weights.arrays), ("optimizer", weights.optimizer)):
            file.create_group(group)
            for path, array in sorted(arrays.items()):
                file.create_dataset(f"{group}/{path}", data=array)
        for name, value in msgspec.to_builtins(weights.about).items():
            if value is not None:
                file.attrs[name] = value if isinstance(value, str | int) else msgspec.json.encode(value).decode()
    with buffer.getbuffer() as content:
        content[:SEAL_BYTES] = _seal(content[SEAL_BYTES:])
    return buffer.getvalue()


def _seal(content: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return f"sb_api weights; SHA-256 of what follows this block: {digest}\n".encode().ljust(SEAL_BYTES, b"\0")


@contextmanager
def open_weights(content: bytes, source: str) -> Iterator[h5py.File]:
    """The HDF5 file in `content`. Raises InvalidWeights, also for whatever fails while it is open."""
    try:
        # Before HDF5 sees it: one wrong byte can make HDF5 crash the process, or loop for ever.
        if content[:SEAL_BYTES] != _seal(memoryview(content)[SEAL_BYTES:]):
            raise InvalidWeights("it is not a weights file of sb_api, or is damaged: its checksum differs.")
        with h5py.File(io.BytesIO(content), "r") as file:
            file.id.links.visit(_refuse_link, info=True)  # visititems_links takes ten times as long to say the same
            yield file
    except InvalidWeights as error:
        raise InvalidWeights(f"{source}: {error.detail}") from None
    except Exception as error:  # h5py raises whatever a foreign file leads it to
        raise InvalidWeights(f"{source} is not a weights file of sb_api, or is damaged: {error}") from error


def _refuse_link(path: bytes, link: h5py.h5l.LinkInfo) -> None:
    if link.type != h5py.h5l.TYPE_HARD:
        raise InvalidWeights(f"{path.decode('utf-8', 'replace')} is a link to elsewhere.")


def parse_weights(content: bytes, source: str) -> Weights:
    """A weights file from its bytes; `source` names it in errors.

    Raises InvalidWeights when it is damaged, too large, or holds more than plain arrays and attributes.
    """
    with open_weights(content, source) as file:
        arrays, optimizer = (_read_arrays(file[group], len(content)) for group in ("weights", "optimizer"))
        about = parse_about(file)
        if about.architecture == ARCHITECTURE and ACCOUNT_TABLE not in arrays:
            # Of before accounts had numbers: nothing was learned of any.
            arrays[ACCOUNT_TABLE] = np.zeros((ACCOUNTS, 2), np.float32)
        return Weights(about, arrays, optimizer)


def parse_about(file: h5py.File) -> Version:
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()}
    for name in ("labels", "figures", "borders", "usual"):
        values[name] = msgspec.json.decode(values[name])
    about = msgspec.convert({"parent": None, **values}, Version, strict=False)
    if not VERSION_NAME.fullmatch(about.version):
        raise InvalidWeights(f"{about.version[:40]!r} is not the name of a version.")
    return about


def _read_arrays(group: h5py.Group, most_bytes: int) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}

    def read(path: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        # Arrays that share their storage could add up to any size.
        total = item.nbytes + sum(array.nbytes for array in arrays.values())
        plain = item.dtype.kind in "fiu" and not item.is_virtual and item.external is None and item.chunks is None
        # A shape may promise more than the file holds; what is read must be there.
        if not plain or total > most_bytes or item.id.get_storage_size() != item.nbytes:
            raise InvalidWeights(f"{path} is not a plain array of numbers.")
        arrays[path] = item[()]

    group.visititems(read)  # does not follow links out of the file
    return arrays


def split_state(weights: Weights) -> tuple[Weights, Weights]:
    """Weights without the state of their optimizer, and that without them."""
    return replace(weights, optimizer={}), replace(weights, arrays={})


def name_state(weights: Weights) -> str:
    """The name of the state of their optimizer, which follows from what it holds."""
    return str(_digest(weights.optimizer).hexdigest())


def _digest(arrays: Arrays) -> Any:
    digest = hashlib.sha256()
    for path, array in sorted(arrays.items()):
        digest.update(f"{path} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest
