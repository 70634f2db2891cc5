"""Bodies in, JSON out."""

from __future__ import annotations

from typing import IO, Any

import msgspec
from flask import Response, request
from gunicorn.http.errors import ParseException

from sb_api.errors import MalformedBody

PIECE = 1024 * 1024  # bytes of a body that are read at a time


def read_body() -> bytes:
    """The body of this request. Raises what `read_stream` raises."""
    return read_stream(request.stream, request.content_length)


def read_stream(stream: IO[bytes], length: int | None) -> bytes:
    """All of a body, of so many bytes if that is known.

    Raises MalformedBody when it ends before it should, or its chunks are no chunks.
    """
    # Not get_data: it asks for 64 KiB at a time, and at each gunicorn copies all that it has received beyond.
    size = min(length or PIECE, PIECE)
    try:
        return b"".join(iter(lambda: stream.read(size), b""))
    except (OSError, ParseException) as error:
        raise MalformedBody(f"The body could not be read to its end: {error}.") from None


def answer_json(document: Any, status: int = 200) -> Response:
    return Response(encode_answer(document), status, content_type="application/json")


def encode_answer(document: Any) -> bytes:
    """An answer as JSON."""
    return msgspec.json.encode(document)
