"""One tree of errors.

Every error that can reach a caller carries an HTTP status, a problem type (RFC 9457) and a text that says what was
wrong, where, and what to do about it. Whoever raises one fills in `detail`; the rest is fixed by its class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

LEAST_LIKENESS = 0.6  # share of letters that a word must have in common with one that may be meant


class SbApiError(Exception):
    """The root. `detail` is for people, `members` are the extra members of the problem document."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"
    retry_after: int | None = None  # seconds

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 document, with `success: false` for clients of the original project."""
        return {
            "type": f"urn:sb_api:problem:{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "success": False,
            **self.members,
        }


class MalformedBody(SbApiError):
    status = 400
    type = "malformed-body"
    title = "The body cannot be read"


class InvalidParameter(SbApiError):
    status = 400
    type = "invalid-parameter"
    title = "A parameter of the request is wrong"


class InvalidRecords(SbApiError):
    """Some records are wrong; `errors` maps each record's key to its `field` and a `detail`."""

    status = 422
    type = "invalid-records"
    title = "Some records are wrong, so none was taken"


class TooLarge(SbApiError):
    status = 413
    type = "too-large"
    title = "The request is too large"


class UnsupportedEncoding(SbApiError):
    status = 415
    type = "unsupported-encoding"
    title = "The body's encoding is not taken"


class Unauthenticated(SbApiError):
    status = 401
    type = "unauthenticated"
    title = "The service must know who asks"


class Forbidden(SbApiError):
    status = 403
    type = "forbidden"
    title = "This is not allowed"


class TooManyFailures(SbApiError):
    """`seconds` until the next attempt is looked at."""

    status = 429
    type = "too-many-failures"
    title = "Too many failed attempts"

    def __init__(self, detail: str, seconds: int = 1, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = seconds


class IdempotencyKeyReused(SbApiError):
    status = 422
    type = "idempotency-key-reused"
    title = "The idempotency key stands for another request"


class TrainingRefused(SbApiError):
    """The guard found that a candidate would lose what the weights know; the figures are among the members."""

    status = 409
    type = "training-refused"
    title = "The training would have made the weights worse"


class TooManyKept(SbApiError):
    """So many verdicts of one credential wait to be learned that no more are taken."""

    status = 429
    type = "too-many-kept"
    title = "Too many verdicts wait to be learned"

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after = 3600


class UnknownVersion(SbApiError):
    status = 404
    type = "unknown-version"
    title = "There are no such weights"


class NothingStaged(SbApiError):
    status = 404
    type = "nothing-staged"
    title = "No such weights are staged"


class NotSetAside(SbApiError):
    status = 404
    type = "not-set-aside"
    title = "No such credential is set aside"


class NotOffered(SbApiError):
    """What is asked for has to be set up first."""

    status = 404
    type = "not-offered"
    title = "This installation does not offer that"


class UnknownEntry(SbApiError):
    """Entries of the review queue do not wait; `entries` names them."""

    status = 404
    type = "unknown-entry"
    title = "There is no such entry in the review queue"


class ClaimedByAnother(SbApiError):
    """Entries of the review queue are claimed by somebody else; `entries` names them."""

    status = 409
    type = "claimed-by-another"
    title = "Somebody else has claimed that"


class ContentChanged(SbApiError):
    """Accounts of the review queue say something else than when they were looked at; `entries` names them, `changed`
    has them as they are now."""

    status = 409
    type = "content-changed"
    title = "The account has changed since it was looked at"


class UnknownTask(SbApiError):
    status = 404
    type = "not-found"
    title = "There is no such task"


class QueueFull(SbApiError):
    status = 503
    type = "queue-full"
    title = "Too much is waiting already"
    retry_after = 1


class Unavailable(SbApiError):
    status = 503
    type = "unavailable"
    title = "A part of the service is not there right now"
    retry_after = 2


class NoAnswerInTime(SbApiError):
    status = 504
    type = "no-answer-in-time"
    title = "The answer did not come in time"
    retry_after = 2


class JobFailed(SbApiError):
    """A job killed the processes that worked on it, or failed in a way that a retry cannot mend."""

    type = "job-failed"
    title = "The job could not be done"


class InvalidWeights(SbApiError):
    """A weights file is damaged, of another network, or of other tokenizers."""

    type = "invalid-weights"
    title = "The weights cannot be used"


class EngineDisagrees(SbApiError):
    """The engine that serves would not say of new weights what Keras, which made them, says."""

    type = "engine-disagrees"
    title = "The weights would not be served as they were trained"


class InvalidTokenizer(SbApiError):
    type = "invalid-tokenizer"
    title = "The tokenizer cannot be used"


class InvalidCredentials(SbApiError):
    type = "invalid-credentials"
    title = "The credentials file cannot be used"


class InvalidBackup(SbApiError):
    """What was to be copied, or is to be restored, is not there, damaged, or of a newer release."""

    type = "invalid-backup"
    title = "The backup cannot be made or used"


class LeaseLost(SbApiError):
    """Another process took the work over while this one stood still; what this one has must not be stored."""

    type = "lease-lost"
    title = "Another process has taken this work over"


class InvalidSettings(SbApiError):
    type = "invalid-settings"
    title = "The settings are wrong"


class CannotStart(SbApiError):
    type = "cannot-start"
    title = "The service cannot start"


class OutcomeUnknown(SbApiError):
    """A client lost sight of a request that must not be done twice; nobody knows whether it was done."""

    type = "outcome-unknown"
    title = "Whether the request was done is not known"


class UnexpectedAnswer(SbApiError):
    """A client was answered with something that sb_api does not say: another server, or a proxy before it."""

    type = "unexpected-answer"
    title = "The answer is not one of sb_api"


class CannotGoOn(SbApiError):
    type = "cannot-go-on"
    title = "The service cannot go on"


def error_from_problem(problem: dict[str, Any]) -> SbApiError:
    """The error that `problem` was made from in another process; of the root class when its type is not known here."""
    members = dict(problem)
    kind = str(members.pop("type", "")).rpartition(":")[2]
    for field in ("title", "status", "success"):
        members.pop(field, None)
    detail = str(members.pop("detail", ""))
    for error in SbApiError.__subclasses__():
        if error.type == kind:
            return error(detail, **members)
    return SbApiError(detail, **members)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of some known words that may be meant by `word`, if one is much like it."""
    # Loaded when something is wrong alone: the processes of the service stay without it.
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import extractOne

    found = extractOne(
        word[:255].casefold(),
        sorted(known),
        scorer=OSA.normalized_similarity,
        processor=str.casefold,
        score_cutoff=LEAST_LIKENESS,
    )
    return found[0] if found else None


def explain(error: msgspec.ValidationError, struct: Any) -> str:
    """What is wrong with something that is no `struct`; where a field of that may have few values, what they are."""
    said, separator, path = str(error).partition(" - at `$.")
    if not said.startswith("Invalid enum value"):
        return str(error)
    import msgspec.inspect as types  # loaded when something is wrong alone

    about = types.type_info(struct)
    fields = {field.encode_name: field.type for field in about.fields} if isinstance(about, types.StructType) else {}
    kind = fields.get(path.rstrip("`"), types.AnyType())
    kind = kind.type if isinstance(kind, types.Metadata) else kind
    allowed: list[str] = []
    for each in kind.types if isinstance(kind, types.UnionType) else (kind,):
        if isinstance(each, types.LiteralType):
            allowed += [msgspec.json.encode(value).decode() for value in each.values]
        elif isinstance(each, types.IntType | types.NoneType):
            allowed.append("a whole number" if isinstance(each, types.IntType) else "null")
    more = f": it may be {', '.join(allowed[:-1])} or {allowed[-1]}" if len(allowed) > 1 else ""
    return f"{said}{more}{separator}{path}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says that `word` is not known: asks for the known one most like it, if one is."""
    meant = nearest(word, known)
    return f": did you mean `{meant}`?" if meant else ""
