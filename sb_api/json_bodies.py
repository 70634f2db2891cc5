"""JSON as clients send it: records with an error that says what is wrong, and bounded before it takes much memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, TypeVar

import msgspec

from sb_api.errors import InvalidRecords, MalformedBody, TooLarge, explain, nearest
from sb_api.records import RECORD_TYPES, VERDICT_VALUES, Editor, FieldError, Message

# What decoding takes at most for a comma and for a brace, in bytes: an undecoded value, and a record with its key.
COMMA_BYTES, BRACE_BYTES = 56, 256
FREE_BYTES, MOST_TIMES = 16 * 2**20, 4  # decoded without counting: so much, and so many times the body
# Strings, brackets and commas of a body that is counted: for each record that is allowed, and in any case.
RECORD_TOKENS, FREE_TOKENS = 200, 2_000_000
TURN = 10_000  # tokens that are counted before others have their turn
MOST_IGNORED = 20  # unknown fields of one request that are named
LONG_RECORD = 64 * 1024  # bytes of a record of whose unknown fields one alone is named
TOO_DEEP = "The JSON is nested too deeply; records are flat objects."

_KEY = msgspec.json.Decoder(str)
# A string, which may lack its end, or a character of structure. Possessive: linear in the body, whatever it holds.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)

Record = TypeVar("Record", Editor, Message)


@dataclass(slots=True)
class Records:
    """The records of one request: the sound ones by their key in the body, and what is wrong with the others.

    `ignored` has the members that are no fields, each with the field that is most like it (None: none is).
    """

    sound: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    ignored: dict[str, str | None] = field(default_factory=dict)

    def all_sound(self) -> list[Any]:
        """The records, when every one is sound.

        Raises InvalidRecords, which lists every wrong one.
        """
        if self.errors:
            named = ", ".join(f"{key!r} ({fault['field']})" for key, fault in list(self.errors.items())[:5])
            more = f" and {len(self.errors) - 5} more" if len(self.errors) > 5 else ""
            raise InvalidRecords(
                f"{len(self.errors)} of {len(self.errors) + len(self.sound)} records are wrong: {named}{more}. "
                "Mend or leave out those listed under `errors` and send the request again.",
                errors=self.errors,
                **self.describe_ignored(),
            )
        return list(self.sound.values())

    def describe_ignored(self) -> dict[str, Any]:
        """What an answer has to say of members that are no fields: nothing where there are none."""
        return {"ignored": self.ignored} if self.ignored else {}


@cache
def _exact(struct: Any) -> Any:
    """The same record, but one that refuses members that are no fields: to find out costs nothing where there are
    none."""
    return msgspec.defstruct(struct.__name__, (), bases=(struct,), forbid_unknown_fields=True)


@cache
def _decoder(struct: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(struct)


def decode_sound(rows: Sequence[bytes], struct: Any) -> list[Any] | None:
    """The records of n rows, each the JSON of one; None where one of them is wrong or has a member that is no field, or
    two have one id: `decode_records` says which and why."""
    try:
        records = [*map(_decoder(_exact(struct)).decode, rows)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return records if len({str(record.id) for record in records}) == len(records) else None


@cache
def _group_decoder(struct: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(dict[str, struct] | list[struct])


def decode_records(body: bytes, struct: type[Record], limit: int) -> Records:
    """Decode `{"key": record, ...}`, `[record, ...]` or one record alone, at most `limit` records (a list's keys are
    its positions, and a lone record's is 0).

    Raises MalformedBody when the body is not such JSON, holds no record or two under one key, TooLarge past the limit.
    Records that are wrong in themselves raise nothing: they are listed in `errors` of what is returned.
    """
    if not body.strip():
        raise MalformedBody("The body is empty; send a JSON object or array of records.")
    refuse_too_many(body, limit)
    records = Records()
    try:
        keyed = _keyed(decode_json(body, _group_decoder(_exact(struct))), limit)
    except msgspec.ValidationError:
        # The quick pass stops at the first fault; this one judges record by record to name them all.
        raw = _split(body, struct, limit)
        keyed = {}
        for key, text in raw.items():
            try:
                keyed[key] = decode_json(bytes(text), _decoder(struct))
            except msgspec.ValidationError as error:
                records.errors[key] = describe_fault(error, struct, bytes(text))
        records.ignored = _name_unknown(raw, struct)
    # Decoding keeps the last of two records under one key; where that may be, the keys are looked at.
    if body.count(b'"id"') > len(keyed) + len(records.errors):
        refuse_repeated_keys(body, limit)
    if len({str(record.id) for record in keyed.values()}) == len(keyed):
        records.sound = keyed
        return records
    first: dict[str, str] = {}
    for key, record in keyed.items():
        earlier = first.setdefault(str(record.id), key)
        if earlier == key:
            records.sound[key] = record
        else:
            records.errors[key] = {"field": "id", "detail": f"record {earlier!r} has the id {record.id} too"}
    return records


def _split(body: bytes, struct: Any, limit: int) -> dict[str, msgspec.Raw]:
    """The JSON of each record by its key. Raises MalformedBody and TooLarge."""
    try:
        raw = decode_json(body, _group_decoder(msgspec.Raw))
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The body must be a JSON object or array of records: {error}.") from None
    if isinstance(raw, dict) and is_record(raw, struct):
        return {"0": msgspec.Raw(body)}
    return _keyed(raw, limit)


def is_record(members: dict[str, msgspec.Raw], struct: Any) -> bool:
    """Whether an object is a record itself, and not one of records: it has a field of theirs, and no object in it."""
    has_field = any(name in members for name in struct.__struct_encode_fields__)
    return has_field and not any(bytes(value).lstrip().startswith(b"{") for value in members.values())


def _name_unknown(raw: dict[str, msgspec.Raw], struct: Any) -> dict[str, str | None]:
    """The members of records that are no fields, each with the field that is most like it; `MOST_IGNORED` at most."""
    known = frozenset(struct.__struct_encode_fields__)
    found: dict[str, str | None] = {}
    for text in raw.values():
        for name in _unknown_members(bytes(text), struct, known):
            found.setdefault(name[:255], None)
        if len(found) >= MOST_IGNORED:
            break
    return {name: _meant(name, known) for name in list(found)[:MOST_IGNORED]}


@lru_cache(maxsize=1000)
def _meant(name: str, known: frozenset[str]) -> str | None:
    """As `nearest`: who sends a member that is no field sends it again and again."""
    return nearest(name, known)


def _unknown_members(text: bytes, struct: Any, known: frozenset[str]) -> list[str]:
    if len(text) > LONG_RECORD:  # its members may be too many to be held: the first that is met stands for all
        try:
            decode_json(text, _decoder(_exact(struct)))
        except msgspec.ValidationError as error:
            met = re.match("Object contains unknown field `(.*)`", str(error), re.DOTALL)
            return [met[1]] if met else []
        return []
    try:
        return [name for name in decode_json(text, _decoder(dict[str, msgspec.Raw])) if name not in known]
    except msgspec.ValidationError:  # no object at all, which is told of as a fault
        return []


class _Task(msgspec.Struct):
    model: str
    data: msgspec.Raw


def decode_task(body: bytes) -> tuple[str, bytes]:
    """The `model` and the JSON of the `data` of `{"model": ..., "data": ...}`. Raises MalformedBody."""
    try:
        task = decode_json(body, _decoder(_Task))
    except msgspec.ValidationError as error:
        names = " or ".join(f'"{name}"' for name in RECORD_TYPES)
        raise MalformedBody(f'Send {{"model": {names}, "data": <records>}}: {error}.') from None
    return task.model, bytes(task.data)


def _keyed(decoded: Any, limit: int) -> dict[str, Any]:
    if not decoded:
        raise MalformedBody("The body holds no record; send at least one.")
    if len(decoded) > limit:
        raise TooLarge(f"{len(decoded)} records are more than the {limit} of one request; send them in several.")
    return decoded if isinstance(decoded, dict) else {str(key): value for key, value in enumerate(decoded)}


class _Verdict(msgspec.Struct):
    verdict: msgspec.Raw


def describe_fault(error: msgspec.ValidationError, struct: Any, text: bytes) -> dict[str, str]:
    """What is wrong with the JSON of a record that is no `struct`, and the `field` at fault; "" where there is none."""
    if isinstance(error.__cause__, FieldError):
        return {"field": error.__cause__.field, "detail": str(error.__cause__)}
    detail, _, path = explain(error, struct).partition(" - at `$.")
    if missing := re.search(r"missing required field `(\w+)`", detail):
        return {"field": missing[1], "detail": detail}
    name = path.rstrip("`")
    if name == "verdict":
        value = bytes(decode_json(text, _decoder(_Verdict)).verdict)
        detail = f"must be {VERDICT_VALUES}, not {value[:40].decode('utf-8', 'replace')}"
    return {"field": name, "detail": detail}


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
