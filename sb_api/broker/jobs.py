"""What goes through the queue: jobs, claims and answers, and the names of the streams and keys they stand under.

A job waits in a Redis stream until a process of the consumer group claims it. Its answer is put on the reply list of
the web process that sent it, or kept under its task id, or both, in the same transaction that acknowledges it: a job
is never gone without its answer. What a dead process had claimed is claimed by another once its lease runs out.
`producer` sends jobs and reads answers, `consumer` claims and finishes them.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from sb_api.broker.connection import PREFIX
from sb_api.errors import SbApiError, Unavailable

GROUP = "sb_api"
SMALL, BULK, TRAIN = f"{PREFIX}predict:small", f"{PREFIX}predict:bulk", f"{PREFIX}train"
LOOKUPS = f"{PREFIX}lookups"  # of the logs; they wait for no training
PREDICT_STREAMS = (SMALL, BULK)
STREAMS = (*PREDICT_STREAMS, TRAIN, LOOKUPS)
SMALL_RECORDS = 64  # a request for predictions with more goes to the bulk stream

ENDED = ("completed", "failed")  # the last states of an answer
REPLY_TTL = 120  # a web process reads its replies at once; a dead one's list goes by itself


Operation = Literal[
    "predict",
    "explain",
    "train",
    "withdraw",
    "rollback",
    "replay",
    "let back",
    "rename",
    "stage",
    "compare",
    "promote",
    "drop",
    "verdicts",
    "audit",
    "measure",
]


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who had something done, for the audit log: their credential, the name that they go by where that is another, and
    the address that they asked from."""

    credential: str = ""
    name: str = ""
    address: str = ""


NOBODY = Actor()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a stream. `reply` names the list for the answer, `patience` is how long its sender waits for that
    (seconds, 0: for ever), `keep` how long it is kept under the task id (seconds, 0: not at all), `weights` the version
    to work with, if the process still has it (else the current; where it is `exact`, no other will do), `records` how
    many are in the body of one that is not divided into slices before it is queued, `acknowledge` whether its sender
    waits only until what it says is in the verdict log, `review` whether what is judged may go to the review queue, all
    of it or the share of the settings, `request` the id of the request that it comes from, `actor` who sent that,
    `trace` its W3C traceparent, if it is traced."""

    task: str
    operation: Operation
    classifier: str
    body: bytes
    reply: str = ""
    patience: float = 0.0
    keep: int = 0
    weights: str = ""
    exact: bool = False
    records: int = 0
    acknowledge: bool = False
    review: Literal["", "share", "all"] = ""
    request: str = ""
    trace: str = ""
    actor: Actor = NOBODY


class Training(msgspec.Struct, frozen=True):
    """The body of a train job: verdicts, packed, whether they are to be learned against the guard's word, whether
    classes may come with them, and how many of them named a reporter that their credential may not."""

    verdicts: bytes
    force: bool = False
    new_classes: bool = False
    overruled: int = 0


class Replay(msgspec.Struct, frozen=True):
    """The body of a replay job: whether to promote against the guard's word, and whether to learn again what rollbacks
    have undone."""

    force: bool = False
    with_undone: bool = False


class Renaming(msgspec.Struct, frozen=True):
    """The body of a rename job: which classes are called what from now on, and whether against the guard's word."""

    old: list[str]
    new: str
    force: bool = False


class Promotion(msgspec.Struct, frozen=True):
    """The body of a promote job: the staged version that is meant, whether to take it `as_is`, without the verdicts
    that only the current weights have learned, and whether to teach it these against the guard's word."""

    version: str
    as_is: bool = False
    force: bool = False


class Withdrawal(msgspec.Struct, frozen=True):
    """The body of a withdraw job: whose verdict is taken back, on which record, and the digest of what was judged, ""
    for whatever was."""

    reporter: str
    record: str
    digest: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job: `data` when it is completed, an RFC 9457 `problem` when it failed."""

    status: Literal["queued", "processing", "completed", "failed"]
    data: Any = None
    problem: dict[str, Any] | None = None


class Claim(msgspec.Struct, frozen=True):
    """A job and where it is claimed. `deliveries` counts the processes that have had it, this one included."""

    stream: str
    entry: bytes
    job: Job
    deliveries: int = 1

    @property
    def place(self) -> tuple[str, bytes]:
        """The stream and the entry: two entries of different streams may have the same id."""
        return self.stream, self.entry

    @property
    def sent(self) -> float:
        """When the job came, in seconds since 1970: the id of an entry begins with the milliseconds."""
        return int(self.entry.partition(b"-")[0]) / 1000

    def is_awaited(self, moment: float) -> bool:
        """Whether anybody still waits for the answer at a moment by the clock of Redis (seconds since 1970)."""
        return not self.job.patience or bool(self.job.keep) or moment - self.sent <= self.job.patience


class Claimed(NamedTuple):
    """Claims, the versions of the weights that were published after they were made, by classifier, and the moment of
    that by the clock of Redis (seconds since 1970; 0: not known)."""

    claims: list[Claim]
    published: dict[str, str]
    moment: float = 0.0


def failure(error: SbApiError) -> Answer:
    """The answer to a job that ended in an error."""
    return Answer(status="failed", problem=error.problem())


def unknown_classifier(name: str) -> Unavailable:
    """The error of a job for a classifier that the process does not know which has claimed it."""
    return Unavailable(
        f"This process does not know the classifier {name[:40]!r}: it is of an older release than what asks. Restart "
        "it with the release of the web processes, and send the request again."
    )


def task_key(task: str) -> str:
    """Where the answer of a task is kept."""
    return f"{PREFIX}task:{task}"


def entry_key(task: str) -> str:
    """Where the stream and the entry of a task's job are kept, while its answer is."""
    return f"{task_key(task)}:entry"


def reply_key(name: str) -> str:
    """The list on which the answers for one web process wait."""
    return f"{PREFIX}reply:{name}"


def read_key(name: str) -> str:
    """The answers that a web process is reading: they stay until it has them."""
    return f"{reply_key(name)}:read"
