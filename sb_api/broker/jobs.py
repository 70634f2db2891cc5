"""Jobs in Redis Streams: submit, claim, finish, reply.

A job waits in a stream until a process of the consumer group claims it. Its answer is put on the reply list of the web
process that sent it, or kept under its task id, or both, in the same transaction that acknowledges it: a job is never
gone without its answer. What a dead process had claimed is claimed by another once its lease runs out.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import redis

from sb_api.broker.connection import PREFIX, has_code, keep_connection, unavailable_when_lost
from sb_api.broker.shared_state import Registry, ask_versions, name_versions
from sb_api.config import Settings
from sb_api.errors import QueueFull, SbApiError
from sb_api.records import KINDS, decode_payload, encode_payload

logger = logging.getLogger(__name__)

GROUP = "sb_api"
SMALL, BULK, TRAIN = f"{PREFIX}predict:small", f"{PREFIX}predict:bulk", f"{PREFIX}train"
PREDICT_STREAMS = (SMALL, BULK)
SMALL_RECORDS = 64  # a request for predictions with more goes to the bulk stream

REPLY_TTL = 120  # a web process reads its replies at once; a dead one's list goes by itself

# Of each group all entries or none, and never more than the stream may hold. A group is its size and its entries.
_SUBMIT = """
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
local accepted = {}
local i = 2
while i <= #ARGV do
  local size = tonumber(ARGV[i])
  local fits = size <= room
  if fits then
    for j = i + 1, i + size do redis.call('XADD', KEYS[1], '*', 'job', ARGV[j]) end
    room = room - size
  end
  accepted[#accepted + 1] = fits and 1 or 0
  i = i + size + 1
end
return accepted
"""
# Renews only what is still this consumer's: a lease that ran out belongs to whoever claimed it since.
_RENEW = """
local kept = 0
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if pending[1] and pending[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    kept = kept + 1
  end
end
return kept
"""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a stream. `reply` names the list for the answer, `keep` is how long it is kept under the task id
    (seconds, 0: not at all), `weights` the version to work with, if the process still has it (else the current),
    `request` the id of the request that it comes from, `trace` its W3C traceparent, if it is traced."""

    task: str
    operation: Literal["predict", "explain", "train", "rollback", "replay"]
    classifier: str
    body: bytes
    reply: str = ""
    keep: int = 0
    weights: str = ""
    request: str = ""
    trace: str = ""


class Training(msgspec.Struct, frozen=True):
    """The body of a train job: verdicts, packed, and whether they are to be learned against the guard's word."""

    verdicts: bytes
    force: bool = False


class Replay(msgspec.Struct, frozen=True):
    """The body of a replay job: whether to promote against the guard's word, and whether to learn again what rollbacks
    have undone."""

    force: bool = False
    with_undone: bool = False


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
    def sent(self) -> float:
        """When the job came, in seconds since 1970: the id of an entry begins with the milliseconds."""
        return int(self.entry.partition(b"-")[0]) / 1000


class Claimed(NamedTuple):
    """Claims, and the versions of the weights that were published after they were made, by classifier."""

    claims: list[Claim]
    published: dict[str, str]


class Jobs:
    """The queue, through one client."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.redis: Any = client
        self.settings = settings
        self.consumer = f"{socket.gethostname()}:{os.getpid()}"
        self._submit = self.redis.register_script(_SUBMIT)
        self._renew = self.redis.register_script(_RENEW)
        self.registry = Registry(client, self.consumer)

    def for_one_thread(self) -> Jobs:
        """The same queue, through a connection that one thread keeps."""
        return Jobs(keep_connection(self.redis), self.settings)

    # What web processes do

    def submit(self, stream: str, jobs: Sequence[Job]) -> None:
        """Queue every job or none. Raises QueueFull when the stream has no room, Unavailable without Redis."""
        kept = [job for job in jobs if job.keep]
        for job in kept:
            self.mark_queued(job)
        if not self.submit_all(stream, [jobs])[0]:
            for job in kept:
                self.forget(job.task)
            raise self.queue_full()

    def mark_queued(self, job: Job) -> None:
        """Say under a task id that its job is queued, unless more is known of it. Raises Unavailable without Redis."""
        queued = encode_payload(Answer(status="queued"))
        with unavailable_when_lost():
            self.redis.set(_task_key(job.task), queued, ex=job.keep, nx=True)

    def submit_all(self, stream: str, groups: Sequence[Sequence[Job]]) -> list[bool]:
        """Queue several groups of jobs in one exchange with Redis: of each group every job or, without room, none.

        Returns whether each group is queued. Nothing is kept under a task id. Raises Unavailable without Redis.
        """
        arguments: list[int | bytes] = [self.settings.queue_limit]
        for group in groups:
            arguments += (len(group), *map(encode_payload, group))
        with unavailable_when_lost():
            return [bool(accepted) for accepted in self._submit([stream], arguments)]

    def queue_full(self) -> QueueFull:
        return QueueFull(f"{self.settings.queue_limit} requests are waiting already; try again in a moment.")

    def result(self, task: str) -> Answer | None:
        """What became of a task whose answer is kept; None when there is none, or no longer."""
        with unavailable_when_lost():
            stored = self.redis.get(_task_key(task))
        answer: Answer | None = decode_payload(stored, Answer) if stored else None
        return answer

    def forget(self, task: str) -> None:
        """Drop the kept answer of a task."""
        with unavailable_when_lost():
            self.redis.delete(_task_key(task))

    def reserve(self, name: str, value: str, seconds: int) -> str:
        """What stands under a name: `value`, unless another was put there within the last `seconds`."""
        key = f"{PREFIX}reserved:{name}"
        with unavailable_when_lost():
            _, stored = self.redis.pipeline(transaction=True).set(key, value, ex=seconds, nx=True).get(key).execute()
        return str(stored.decode())

    def read_replies(self, name: str, timeout: float) -> list[tuple[str, Answer]]:
        """The answers that came to a reply list, waiting up to `timeout` seconds for the first.

        They are kept until the next call, so that a connection that is cut on their way costs nothing: whoever calls
        after a failure calls `unread_replies` first.
        """
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.delete(_read_key(name)).blmove(_reply_key(name), _read_key(name), timeout, "LEFT", "RIGHT")
        _, moved, _ = pipeline.expire(_read_key(name), REPLY_TTL).execute()
        return _decode_replies(moved) if moved else []

    def unread_replies(self, name: str) -> list[tuple[str, Answer]]:
        """The answers that the last call of `read_replies` gave, or would have given but for a failure."""
        return [reply for batch in self.redis.lrange(_read_key(name), 0, -1) for reply in _decode_replies(batch)]

    # What classify and train processes do

    def ensure_groups(self, streams: Iterable[str]) -> None:
        """Make the streams and their consumer group where they are missing; what waits in a stream stays."""
        for stream in streams:
            try:
                self.redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def claim(
        self,
        streams: Sequence[str],
        count: int,
        block: float,
        *,
        others: int = 1,
        awaited: Sequence[str] = (),
    ) -> Claimed:
        """Up to `count` jobs of the first stream and `others` of each other, or the first to come in `block` seconds to
        the streams that are `awaited` (all of them by default).

        The streams are in order of urgency: a batch holds the first stream's jobs, then the others'.
        """
        try:
            if len(streams) > 1 or not block:
                # Each by itself: one look at them all would keep no order.
                claimed = self._claim(
                    [([stream], others if position else count) for position, stream in enumerate(streams)]
                )
                if claimed.claims or not block:
                    return claimed
                count = 1
            return self._claim([(awaited or streams, count)], round(block * 1000))
        except redis.ResponseError as error:
            self._mend_group(error, streams)
            return Claimed([], self.published_versions())

    def _claim(self, wanted: Sequence[tuple[Sequence[str], int]], block: int | None = None) -> Claimed:
        """Up to so many jobs of each of some streams, of each group of them, in one exchange with Redis; `block` are
        the milliseconds to wait for the first."""
        pipeline = self.redis.pipeline(transaction=False)
        for streams, count in wanted:
            pipeline.xreadgroup(GROUP, self.consumer, dict.fromkeys(streams, ">"), count=count, block=block)
        ask_versions(pipeline, KINDS)
        found = pipeline.execute()
        claims = [claim for read in found[: len(wanted)] for claim in self._claims(read)]
        return Claimed(claims, name_versions(KINDS, found[len(wanted) :]))

    def published_versions(self) -> dict[str, str]:
        """The version of the weights that is published, by classifier."""
        return self.registry.published_versions(KINDS)

    def claim_stale(self, streams: Sequence[str]) -> list[Claim]:
        """A job whose lease ran out, now this process's: whoever had it is dead or stands still.

        One at a time: if it kills this process too, that counts against no other job.
        """
        try:
            for stream in streams:
                for pending in self._stale(stream):
                    entry = pending["message_id"]
                    claimed = self.redis.xclaim(stream, GROUP, self.consumer, self._lease, [entry])
                    if any(found is not None for found, _ in claimed):
                        return list(self._claims([(stream.encode(), claimed)], 1 + pending["times_delivered"]))
                    # Another process was quicker, or someone has deleted the entry, which would come back for ever.
                    if not self.redis.xrange(stream, entry, entry):
                        self.redis.xack(stream, GROUP, entry)
        except redis.ResponseError as error:
            self._mend_group(error, streams)
        return []

    def has_stale(self, stream: str) -> bool:
        """Whether a stream holds a job whose lease ran out."""
        return bool(self._stale(stream))

    def _stale(self, stream: str) -> list[dict[str, Any]]:
        oldest: list[dict[str, Any]] = self.redis.xpending_range(stream, GROUP, "-", "+", 1, idle=self._lease)
        return oldest

    @property
    def _lease(self) -> int:
        return round(self.settings.lease * 1000)

    def progress(self, stream: str) -> tuple[bytes, bool]:
        """The last entry that any process has claimed, and whether more of them wait."""
        try:
            groups = self.redis.xinfo_groups(stream)
            delivered = next(group["last-delivered-id"] for group in groups if group["name"] == GROUP.encode())
        except (redis.ResponseError, StopIteration):
            return b"", True  # the data is lost; a claim makes the group anew
        return delivered, bool(self.redis.xrange(stream, b"(" + delivered, "+", count=1))

    def renew(self, claims: Iterable[Claim]) -> bool:
        """Renew the lease of every claim; False when one of them has passed to another process."""
        entries = defaultdict(list)
        for claim in claims:
            entries[claim.stream].append(claim.entry)
        kept = [self._renew([stream], [GROUP, self.consumer, *ids]) == len(ids) for stream, ids in entries.items()]
        return all(kept)

    def mark_processing(self, claims: Iterable[Claim], progress: Any = None) -> None:
        """Say of the jobs whose answer is kept that they are being worked on, and how far they are."""
        processing = encode_payload(Answer(status="processing", data=progress))
        for claim in claims:
            if claim.job.keep:
                self.redis.set(_task_key(claim.job.task), processing, ex=claim.job.keep)

    def finish(self, answers: Sequence[tuple[Claim, Answer]]) -> None:
        """Store every answer and acknowledge its job, in one transaction. May be repeated after a lost connection."""
        replies = defaultdict(list)
        pipeline = self.redis.pipeline(transaction=True)
        for claim, answer in answers:
            if claim.job.keep:
                pipeline.set(_task_key(claim.job.task), encode_payload(answer), ex=claim.job.keep)
            if claim.job.reply:
                replies[claim.job.reply].append((claim.job.task, answer))
        for name, batch in replies.items():
            pipeline.rpush(_reply_key(name), encode_payload(batch))
            pipeline.expire(_reply_key(name), REPLY_TTL)
        for stream in {claim.stream for claim, _ in answers}:
            entries = [claim.entry for claim, _ in answers if claim.stream == stream]
            pipeline.xack(stream, GROUP, *entries)
            pipeline.xdel(stream, *entries)
        # The group may be lost with its data; the answers are given all the same.
        for response in pipeline.execute(raise_on_error=False):
            if isinstance(response, redis.ResponseError) and not str(response).startswith("NOGROUP"):
                raise response

    def leave(self, streams: Iterable[str]) -> None:
        """Take this consumer out of the groups; what it holds passes to others once its lease runs out."""
        self.registry.leave()
        for stream in streams:
            try:
                if not self.redis.xpending_range(stream, GROUP, "-", "+", 1, consumername=self.consumer):
                    self.redis.xgroup_delconsumer(stream, GROUP, self.consumer)
            except redis.ResponseError as error:
                logger.debug("nothing to leave: %s", error)

    def lock(self, name: str) -> Any:
        """A lock across all hosts, held for one lease at a time (redis.lock.Lock)."""
        return self.redis.lock(f"{PREFIX}lock:{name}", timeout=self.settings.lease, thread_local=False)

    def pending(self, stream: str) -> int:
        """How many jobs of a stream are claimed and not finished, by whomever."""
        try:
            return int(self.redis.xpending(stream, GROUP)["pending"])
        except redis.ResponseError as error:
            self._mend_group(error, [stream])
            return 0

    def _claims(self, read: Any, deliveries: int = 1) -> Iterator[Claim]:
        for stream, entries in read or ():
            for entry, fields in entries:
                try:
                    job = decode_payload(fields[b"job"], Job)
                except (KeyError, TypeError, msgspec.DecodeError, msgspec.ValidationError):
                    # Not ours, or of another release: nobody can be told, and left here it would come back for ever.
                    logger.error("the entry %s of %s is no job; it is removed", entry.decode(), stream.decode())
                    self.redis.pipeline().xack(stream, GROUP, entry).xdel(stream, entry).execute()
                else:
                    yield Claim(stream.decode(), entry, job, deliveries)

    def _mend_group(self, error: redis.ResponseError, streams: Sequence[str]) -> None:
        if not has_code(error, "NOGROUP"):
            raise error
        logger.warning("the queue has lost its consumer group; making it anew")
        self.ensure_groups(streams)


def failure(error: SbApiError) -> Answer:
    """The answer that tells a job's sender of an error."""
    return Answer(status="failed", problem=error.problem())


def _decode_replies(batch: bytes) -> list[tuple[str, Answer]]:
    replies: list[tuple[str, Answer]] = decode_payload(batch, list[tuple[str, Answer]])
    return replies


def _task_key(task: str) -> str:
    return f"{PREFIX}task:{task}"


def _reply_key(name: str) -> str:
    return f"{PREFIX}reply:{name}"


def _read_key(name: str) -> str:
    return f"{_reply_key(name)}:read"
