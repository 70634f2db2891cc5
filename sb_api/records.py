"""What clients send, as typed records: decoded and checked in one pass, encoded again for the queue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from sb_api.errors import InvalidParameter, InvalidRecords, MalformedBody, TooLarge, nearest
from sb_api.json_bodies import decode_json, refuse_repeated_keys, refuse_too_many

# Bounded to 64 bits: a longer number cannot travel through msgpack or a database column.
IntegerId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
StringId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
BoundedInteger = IntegerId
ClassName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
LONGEST_TEXT = 20_000  # characters
MOST_IGNORED = 20  # unknown fields of one request that are named
LONG_RECORD = 64 * 1024  # bytes of a record of whose unknown fields one alone is named
DATES = ("birth_date", "member_since", "email_confirm_date", "last_updated", "last_login_date")

_NOT_CONTENT = frozenset({"id", "verdict", "label", "reporter", "last_updated", "last_login_date", "privs"})
BEFORE_CHRIST = " BC"  # at the end of a date, as PostgreSQL writes it

_parse_date = datetime.fromisoformat


class FieldError(ValueError):
    """A value that its type allows and its field does not."""

    def __init__(self, field_name: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field_name


def _says_the_same(record: msgspec.Struct, other: object) -> bool:
    """Whether two records have the same fields with the same values, however each was decoded."""
    return isinstance(other, msgspec.Struct) and msgspec.structs.asdict(record) == msgspec.structs.asdict(other)


# Out of the garbage collector's sight (gc=False): records refer to nothing that could refer back, and a large request
# would have it look at all of them several times.


class EditorFields(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A MusicBrainz editor account whose dates are known to be dates: one that comes back from the queue."""

    id: IntegerId | StringId
    name: str | None = None
    email: str | None = None
    website: str | None = None
    bio: str | None = None
    area: BoundedInteger | str | None = None
    privs: BoundedInteger | Literal[""] | None = None
    gender: BoundedInteger | str | None = None
    birth_date: str | None = None
    member_since: str | None = None
    email_confirm_date: str | None = None
    last_updated: str | None = None
    last_login_date: str | None = None

    def __eq__(self, other: object) -> bool:
        return _says_the_same(self, other)


class Editor(EditorFields, kw_only=True, omit_defaults=True, gc=False):
    """A MusicBrainz editor account. Dates are ISO 8601; null, absent and blank all mean that nothing is known."""

    def __post_init__(self) -> None:
        # By attribute and without a call more than it takes: every editor of every request passes here.
        for text in (self.bio, self.website, self.email, self.name, self.area, self.gender):
            if text and type(text) is str and text.isspace():
                self._forget_blanks()
                break
        try:
            for date in (
                self.birth_date,
                self.member_since,
                self.email_confirm_date,
                self.last_updated,
                self.last_login_date,
            ):
                if date:
                    _parse_date(date)
        except ValueError:
            self._forget_blanks()
            self._check_dates()

    def _check_dates(self) -> None:
        """Raises FieldError for the first wrong date. A birth date may lie before Christ, `0044-03-15 BC`: then its
        presence alone counts."""
        for name in DATES:
            date = getattr(self, name)
            known = date.removesuffix(BEFORE_CHRIST) if date and name == "birth_date" else date
            try:
                if date:
                    _parse_date(known)
            except ValueError:
                detail = f"{str(date)[:40]!r} is not an ISO 8601 date such as 2000-07-05T14:22:08"
                raise FieldError(name, detail) from None

    def _forget_blanks(self) -> None:
        for name in ("bio", "website", "email", "name", "area", "gender", *DATES):
            if str(getattr(self, name)).isspace():
                setattr(self, name, None)


def _check_storable(verdict: Verdict | LabelledMessage) -> None:
    """Raises FieldError for what the verdict log cannot hold: PostgreSQL takes no U+0000."""
    for name, text in (("id", verdict.id), ("reporter", verdict.reporter)):
        if type(text) is str and "\0" in text:
            raise FieldError(name, "holds U+0000, which no database takes")


class Verdict(Editor, kw_only=True, gc=False):
    """An editor and what a moderator says of it: 1 is spam, 0 is not."""

    verdict: Annotated[BoundedInteger, msgspec.Meta(extra_json_schema={"enum": [0, 1]})]
    reporter: Annotated[str, msgspec.Meta(max_length=255)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_storable(self)
        if self.verdict not in (0, 1):
            raise FieldError("verdict", f"must be 1 (spam) or 0 (not spam), not {self.verdict}")


class Message(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A short text: a review, an edit note, a line of a support chat."""

    id: IntegerId | StringId
    text: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT, extra_json_schema={"pattern": r"\S"})]

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise FieldError("text", "holds no text")

    def __eq__(self, other: object) -> bool:
        return _says_the_same(self, other)


class LabelledMessage(Message, kw_only=True, gc=False):
    """A message and the class that a person says it belongs to; null where it belongs to none."""

    # What the class is called differs from one classifier to the next, and in JSON alone: see `field_of_label`.
    label: ClassName | None = msgspec.field(name="intent")
    reporter: Annotated[str, msgspec.Meta(max_length=255)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_storable(self)


class LabelledSentiment(LabelledMessage, kw_only=True, gc=False):
    """A message and the sentiment that a person says it has; null where none can be made out."""

    label: ClassName | None = msgspec.field(name="sentiment")


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


@cache
def _payload_decoder(struct: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(struct)


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
                records.errors[key] = _fault(error)
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


def _fault(error: msgspec.ValidationError) -> dict[str, str]:
    if isinstance(error.__cause__, FieldError):
        return {"field": error.__cause__.field, "detail": str(error.__cause__)}
    detail, _, path = str(error).partition(" - at `$.")
    missing = re.search(r"missing required field `(\w+)`", detail)
    return {"field": missing[1] if missing else path.rstrip("`"), "detail": detail}


def content_digest(record: Any) -> str:
    """32 digits of what a record says, by which two of the same id are told apart (BLAKE2b).

    Left out are its id, what a person says of it, and what changes by itself while the account stays the same: when it
    was last used, and its privileges.
    """
    said = {
        name: value
        for name, value in msgspec.structs.asdict(record).items()
        if name not in _NOT_CONTENT and value is not None and str(value).strip()
    }
    return blake2b(msgspec.msgpack.encode(said, order="sorted"), digest_size=16).hexdigest()


def encode_payload(value: Any) -> bytes:
    """Records, or any plain data, as they travel through the queue (msgpack)."""
    return msgspec.msgpack.encode(value)


def decode_payload(payload: bytes, struct: Any = Any) -> Any:
    """What `encode_payload` encoded, as `struct`. Raises msgspec.ValidationError when it is something else."""
    return _payload_decoder(struct).decode(payload)


@dataclass(frozen=True)
class RecordType:
    """One type of record, by the name of the classifier that judges them.

    They come as `record`; one that was found sound comes from the queue as `queued`. With what a person says of it, it
    is a `verdict`. `path` is what the paths of its calls begin with, `title` what they are called on the page. Where
    several classifiers have files or tables of one name, `namespace` keeps theirs apart; "" is that of the first. Of a
    class that it may have, `example` is the name. A service that has no weights for some that are not `awaited` does
    without them for now, and nothing is prepared for their trainings before one comes.
    """

    name: str
    record: type[Any]
    queued: type[Any]
    verdict: type[Any]
    path: str
    title: str
    namespace: str = ""
    example: str = ""
    awaited: bool = True

    @property
    def of_messages(self) -> bool:
        """Whether it is messages, of which each classifier has classes of its own."""
        return issubclass(self.record, Message)


EDITORS = RecordType("lodbrok", Editor, EditorFields, Verdict, "", "Editors")
INTENTS = RecordType("intent", Message, Message, LabelledMessage, "/intents", "Intents", example="bug report")
SENTIMENTS = RecordType(
    "sentiment",
    Message,
    Message,
    LabelledSentiment,
    "/sentiments",
    "Sentiments",
    namespace="sentiment",
    example="negative",
    awaited=False,
)
RECORD_TYPES = {each.name: each for each in (EDITORS, INTENTS, SENTIMENTS)}


def field_of_label(struct: type[LabelledMessage]) -> str:
    """What clients call the class of a message, such as `intent`."""
    names: tuple[str, ...] = struct.__struct_encode_fields__
    return names[struct.__struct_fields__.index("label")]


def find_record_type(name: str) -> RecordType:
    """The records that the classifier of a name judges. Raises InvalidParameter."""
    try:
        return RECORD_TYPES[name]
    except KeyError:
        raise InvalidParameter(f"model={name[:40]!r}: there are {', '.join(RECORD_TYPES)}.") from None
