"""Artefacts where people keep them: a directory, `s3://`, `gs://`, `hf://` or whatever else fsspec reaches.

An artefact is a folder `<model>-<version>` below the URL. Its manifest, which has the checksums of all other files, is
written last: a folder without one is of a push that was broken off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec

from sb_api.bootstrap.artefacts import FORMAT, MOST_BYTES, Manifest
from sb_api.errors import InvalidParameter, InvalidSettings, InvalidWeights, SbApiError, Unavailable, UnknownVersion
from sb_api.files import make_whole_folder
from sb_api.models.classifiers import Classifier
from sb_api.versions import VERSION_NAME

MANIFEST = "manifest.json"
MOST_FILES = 100
# They have no folders: to make one would make the bucket, with whatever name was mistyped.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "oss"})


class Place(NamedTuple):
    """What reaches a URL, the path in it, and its name without what may be a secret."""

    files: Any
    path: str
    name: str


def push_artefact(artefact: Path, url: str) -> str:
    """Copy an artefact to `<url>/<its name>`, and what is there now is the place. Done before, it does nothing.

    Raises InvalidWeights when there is another one of that name, InvalidSettings for a URL that nothing reaches,
    Unavailable when the place cannot be written to.
    """
    with _reach(url) as place:
        target = f"{place.path}/{artefact.name}"
        content = (artefact / MANIFEST).read_bytes()
        if (there := _read(place, f"{target}/{MANIFEST}", missing_ok=True)) is not None:
            if _parse(there, place.name).files != _parse(content, str(artefact)).files:
                raise InvalidWeights(f"{place.name}/{artefact.name} is there already, and it is another one.")
            return f"{place.name}/{artefact.name}"
        if url.partition("://")[0] not in OBJECT_STORES:
            place.files.makedirs(target, exist_ok=True)
        for path in sorted(artefact.iterdir(), key=lambda path: path.name == MANIFEST):
            place.files.pipe_file(f"{target}/{path.name}", path.read_bytes())
        return f"{place.name}/{artefact.name}"


def pull_artefact(url: str, classifier: Classifier, folder: Path, version: str = "") -> Path:
    """Copy the artefact of a version, the newest if none is given, from below `url` to `<folder>/<its name>`, whole or
    not at all.

    Raises UnknownVersion when there is none, InvalidWeights when a file differs from its checksum, or `folder` has
    another one already, InvalidSettings and Unavailable as `push_artefact`.
    """
    if version and not VERSION_NAME.fullmatch(version):
        raise InvalidParameter(f"{version[:40]!r} is not the name of a version.")
    with _reach(url) as place:
        name = f"{classifier.name}-{version}" if version else _newest(place, classifier)
        source, target = f"{place.path}/{name}", folder / name
        content = _read(place, f"{source}/{MANIFEST}", missing_ok=True)
        if content is None:
            raise UnknownVersion(f"There is no {name} in {place.name}.")
        manifest = _parse(content, f"{place.name}/{name}")
        if target.exists():
            if _parse((target / MANIFEST).read_bytes(), str(target)).files != manifest.files:
                raise InvalidWeights(f"{target} is there already, and it is another one than that in {place.name}.")
            return target
        with make_whole_folder(target) as partial:
            for file, digest in manifest.files.items():
                some = _read(place, f"{source}/{file}")
                if some is None or hashlib.sha256(some).hexdigest() != digest:
                    raise InvalidWeights(f"{place.name}/{name}/{file} is damaged: its checksum differs.")
                (partial / file).write_bytes(some)
            (partial / MANIFEST).write_bytes(content)
        return target


def _newest(place: Place, classifier: Classifier) -> str:
    """The folder of the version with the highest number."""
    try:
        found = [PurePosixPath(path).name for path in place.files.ls(place.path, detail=False)]
    except FileNotFoundError:
        found = []
    prefix = f"{classifier.name}-"
    names = [name for name in found if name.startswith(prefix) and VERSION_NAME.fullmatch(name.removeprefix(prefix))]
    if not names:
        raise UnknownVersion(f"There is no artefact of {classifier.name} in {place.name}.")
    return max(names, key=lambda name: int(name.removeprefix(prefix).partition("-")[0]))


def _read(place: Place, path: str, *, missing_ok: bool = False) -> bytes | None:
    """A file; None if it is not there and may be missing. Raises InvalidWeights when it is too large."""
    name = PurePosixPath(path).name
    most = MOST_BYTES.get(name, MOST_BYTES[""])
    try:
        with place.files.open(path, "rb") as file:
            content: bytes = file.read(most + 1)
    except FileNotFoundError:
        if missing_ok:
            return None
        raise InvalidWeights(f"{place.name} lacks the file {name}.") from None
    if len(content) > most:
        raise InvalidWeights(f"{name} in {place.name} has more than {most} bytes.")
    return content


def _parse(content: bytes, name: str) -> Manifest:
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidWeights(f"{name} is no artefact of `sb-api weights push`: {error}.") from None
    plain = all(PurePosixPath(file).name == file and file != MANIFEST for file in manifest.files)
    if manifest.format != FORMAT or not plain or len(manifest.files) > MOST_FILES:
        raise InvalidWeights(f"{name} is of another format; this release cannot use it.")
    return manifest


@contextmanager
def _reach(url: str) -> Iterator[Place]:
    """Whatever goes wrong with a place is Unavailable, but for what is said of weights: each kind of place has errors
    of its own."""
    try:
        import fsspec
    except ModuleNotFoundError:
        raise InvalidSettings("Artefacts elsewhere need fsspec: pip install 'sb_api[remote]'.") from None
    scheme, separator, rest = url.partition("://")
    # Before an `@` stand keys, if anything; behind a `?` options.
    name = f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}".rstrip("/")
    try:
        files, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InvalidSettings(f"{name} cannot be reached: {str(error)[:200].rstrip('.')}.") from None
    try:
        yield Place(files, path.rstrip("/"), name)
    except SbApiError:
        raise
    except Exception as error:
        said = str(error).strip().partition("\n")[0][:200].rstrip(".") or type(error).__name__
        raise Unavailable(f"{name} cannot be used: {said}.") from error
