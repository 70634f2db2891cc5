"""JSON as clients send it: decoded with an error that says what is wrong, and bounded before it takes much memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from sb_api.errors import MalformedBody, TooLarge

# What decoding takes at most for a comma and for a brace, in bytes: an undecoded value, and a record with its key.
COMMA_BYTES, BRACE_BYTES = 56, 256
FREE_BYTES, MOST_TIMES = 16 * 2**20, 4  # decoded without counting: so much, and so many times the body
# Strings, brackets and commas of a body that is counted: for each record that is allowed, and in any case.
RECORD_TOKENS, FREE_TOKENS = 200, 2_000_000
TURN = 10_000  # tokens that are counted before others have their turn
TOO_DEEP = "The JSON is nested too deeply; records are flat objects."

_KEY = msgspec.json.Decoder(str)
# A string, which may lack its end, or a character of structure. Possessive: linear in the body, whatever it holds.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


def decode_json(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """A body by a decoder. Raises MalformedBody when it is no JSON, msgspec.ValidationError when it is other JSON."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise MalformedBody(TOO_DEEP) from None
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(f"The body is not valid JSON in UTF-8: {error}.") from None


def refuse_too_many(body: bytes, limit: int) -> None:
    """Raises TooLarge for a body of more than `limit` records that would take many times its size to decode."""
    if len(body) <= FREE_BYTES // COMMA_BYTES:
        return
    most = COMMA_BYTES * body.count(b",") + BRACE_BYTES * body.count(b"{")
    if most <= FREE_BYTES + MOST_TIMES * len(body):
        return
    for count, _ in enumerate(_first_tokens(body, limit)):
        if count >= limit:
            raise TooLarge(f"There are more records than the {limit} of one request; send them in several.")


def scan(body: bytes) -> Iterator[re.Match[bytes]]:
    """The strings and the characters of structure of JSON, as they come, while others have their turn. Of what is no
    JSON it yields something; the last string may lack its end."""
    for number, match in enumerate(_TOKEN.finditer(body)):
        if not number % TURN:
            time.sleep(0)  # a web process has other requests under way
        yield match


def _first_tokens(body: bytes, limit: int) -> Iterator[bytes]:
    """What each value (of an array) or key (of an object) at the top begins with: a string, a bracket, or b"" for the
    rest. Takes no memory to speak of. Of what is no JSON it yields something; whoever decodes it finds that out.

    Raises TooLarge for more tokens than `limit` records have: counting would take longer than judging.
    """
    most = max(RECORD_TOKENS * limit, FREE_TOKENS)
    depth, at_start = 0, False
    for number, match in enumerate(scan(body)):
        if number > most:
            raise TooLarge(f"The body holds more values than {limit} records have; send the fields of records alone.")
        token = match[0]
        if token == b",":
            if depth == 1:
                if at_start:
                    yield b""
                at_start = True
        elif token in (b"]", b"}"):
            depth -= 1
        else:
            if depth == 1 and at_start:
                yield token
                at_start = False
            if token in (b"[", b"{"):
                depth += 1
                at_start = at_start or depth == 1


def refuse_repeated_keys(body: bytes, limit: int) -> None:
    """Raises MalformedBody for an object with one key twice, and what `_first_tokens` raises."""
    if body.lstrip().startswith(b"["):
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:  # in a member that the quick pass skipped without reading it
        raise MalformedBody(f"The body is not valid JSON in UTF-8: {error}.") from None
    seen = set()
    for token in _first_tokens(body, limit):
        key = decode_json(token, _KEY)
        if key in seen:
            raise MalformedBody(f"The key {key[:40]!r} stands for several records; give each a key of its own.")
        seen.add(key)
