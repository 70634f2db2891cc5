"""What clients send, as typed records: decoded and checked in one pass, encoded again for the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec

from sb_api.blanks import is_blank
from sb_api.errors import InvalidParameter

# Bounded to 64 bits: a longer number cannot travel through msgpack or a database column.
IntegerId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
StringId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
BoundedInteger = IntegerId
ClassName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
NO_CLASS_NAME = "no class"  # what it is called that a message belongs to none
LONGEST_TEXT = 20_000  # characters
VERDICT_VALUES = "1 (spam) or 0 (not spam)"
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
    """A MusicBrainz editor account. Dates are ISO 8601; null, absent and blank, of white space or of what shows
    nothing, all mean that nothing is known."""

    def __post_init__(self) -> None:
        # By attribute and without a call more than it takes: every editor of every request passes here.
        for text in (self.bio, self.website, self.email, self.name, self.area, self.gender):
            # What begins with a letter or digit of ASCII is told from a blank one soonest.
            if text and type(text) is str and not "0" <= text < "{" and is_blank(text):
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
        for name in ("bio", "website", "email", "name", "area", "gender"):
            text = getattr(self, name)
            if type(text) is str and is_blank(text):
                setattr(self, name, None)
        for name in DATES:
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
            raise FieldError("verdict", f"must be {VERDICT_VALUES}, not {self.verdict}")


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
    """A message and the class that a person says it belongs to; null where it belongs to none, or *no class*, as a file
    may have no null."""

    # What the class is called differs from one classifier to the next, and in JSON alone: see `field_of_label`.
    label: ClassName | None = msgspec.field(name="intent")
    reporter: Annotated[str, msgspec.Meta(max_length=255)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_storable(self)
        if self.label == NO_CLASS_NAME:
            self.label = None


class LabelledSentiment(LabelledMessage, kw_only=True, gc=False):
    """A message and the sentiment that a person says it has; null, or *no class*, where none can be made out."""

    label: ClassName | None = msgspec.field(name="sentiment")


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


@cache
def _payload_decoder(struct: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(struct)


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
