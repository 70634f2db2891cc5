"""Bodies in, JSON out."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import wraps
from typing import IO, Any, ParamSpec, TypeVar

import msgspec
from flask import Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from sb_api.errors import InvalidParameter, MalformedBody, UnsupportedEncoding, did_you_mean

P = ParamSpec("P")
T = TypeVar("T")

PIECE = 1024 * 1024  # bytes of a body that are read at a time
# How bodies begin that are no JSON, and what they are.
NO_JSON = {
    b"\x1f\x8b": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    codecs.BOM_UTF16_LE: "text in UTF-16",
    codecs.BOM_UTF16_BE: "text in UTF-16",
}
NOT_UTF8 = {mark[:1] for mark in (codecs.BOM_UTF8, *NO_JSON)}


def takes(*names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A route with these parameters in its query, and no others: what is misspelled is not passed over."""

    def decorate(view: Callable[P, T]) -> Callable[P, T]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if request.query_string:  # every look at one costs, and most requests have none
                _refuse_unknown_parameters(names)
            return view(*args, **kwargs)

        checked.parameters = names  # type: ignore[attr-defined]
        return checked

    return decorate


def _refuse_unknown_parameters(known: tuple[str, ...]) -> None:
    try:
        unknown = [name for name in request.args if name not in known]
    except UnicodeDecodeError:  # raw bytes, which are passed on as they came
        raise InvalidParameter("The query string is not UTF-8; percent-encode it.") from None
    if unknown:
        there_are = f"there are {', '.join(known)}" if known else "it has none"
        meant = did_you_mean(unknown[0], known)
        raise InvalidParameter(f"This call has no parameter {unknown[0][:40]!r}; {there_are}{meant or '.'}")


def read_body() -> bytes:
    """The body of this request. Raises what `read_stream` raises, and UnsupportedEncoding."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("identity", ""):
        raise UnsupportedEncoding(f"Content-Encoding {encoding[:40]!r} is not taken; send the JSON as it is.")
    return read_stream(request.stream, request.content_length)


def read_stream(stream: IO[bytes], length: int | None) -> bytes:
    """All of a body, of so many bytes if that is known, without a byte order mark.

    Raises MalformedBody when it ends before it should, its chunks are no chunks, or it is plainly no JSON in UTF-8.
    """
    # Not get_data: it asks for 64 KiB at a time, and at each gunicorn copies all that it has received beyond.
    size = min(length or PIECE, PIECE)
    try:
        body = b"".join(iter(lambda: stream.read(size), b""))
    except (OSError, ParseException, ClientDisconnected) as error:
        raise MalformedBody(f"The body could not be read to its end: {error}.") from None
    if length is not None and len(body) < length:
        raise MalformedBody(f"The body ended after {len(body)} of {length} bytes.")
    if body[:1] in NOT_UTF8:
        for mark, name in NO_JSON.items():
            if body.startswith(mark):
                raise MalformedBody(f"The body is {name}; send JSON in UTF-8.")
        return body.removeprefix(codecs.BOM_UTF8)
    return body


def answer_json(document: Any, status: int = 200) -> Response:
    return Response(encode_answer(document), status, content_type="application/json")


def encode_answer(document: Any) -> bytes:
    """An answer as JSON."""
    return msgspec.json.encode(document)
