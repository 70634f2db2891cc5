"""Jobs in Redis Streams: submit, claim, finish, reply. The only module that speaks Redis.

A job waits in a stream until a process of the consumer group claims it. Its answer is put on the reply list of the web
process that sent it, or kept under its task id, or both, in the same transaction that acknowledges it: a job is never
gone without its answer. What a dead process had claimed is claimed by another once its lease runs out.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from sb_api.config import Settings
from sb_api.errors import QueueFull, SbApiError, Unavailable
from sb_api.records import decode_payload, encode_payload
from sb_api.redis_address import Sentinels, parse_sentinels

logger = logging.getLogger(__name__)

PREFIX = "{sb_api}:"  # the braces keep every key in one slot of a cluster
GROUP = "sb_api"
SMALL, BULK, TRAIN = f"{PREFIX}predict:small", f"{PREFIX}predict:bulk", f"{PREFIX}train"
PREDICT_STREAMS = (SMALL, BULK)
WORKERS, WEB = f"{PREFIX}workers", f"{PREFIX}web"
ERRORS = f"{PREFIX}errors"

CONNECTIONS = 64  # of one process to Redis
REPLY_TTL = 120  # a web process reads its replies at once; a dead one's list goes by itself
BEAT_INTERVAL, BEAT_LIFE, BEATS_TTL = 1.0, 3.0, 60
PUBLISHED_TTL = 7 * 24 * 3600
ERRORS_KEPT, ERRORS_TTL = 20, 7 * 24 * 3600

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
# Every beat has a time to live, which a field of a hash has not by itself: the living remove the dead.
_BEAT = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local beats = redis.call('HGETALL', KEYS[1])
for i = 1, #beats, 2 do
  if now - tonumber(string.match(beats[i + 1], '^%d+')) > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], beats[i])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


_REFUSALS = ("OOM", "READONLY", "MISCONF", "NOREPLICAS")


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


class WorkerBeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a live process says of itself: its role, the versions it works with, by classifier, and the bytes of memory
    that it has in RAM."""

    name: str
    role: str
    host: str
    pid: int
    versions: dict[str, str]
    resident: int = 0


class NotedError(msgspec.Struct, frozen=True):
    """What went wrong in a process, and when (seconds since 1970)."""

    moment: int
    role: str
    text: str


class Published(msgspec.Struct, frozen=True):
    """The current weights of a classifier as every process can fetch them: the file, its vocabularies, the chain of
    versions, and how right they were on verdicts (both JSON)."""

    version: str
    file: bytes
    vocabularies: dict[str, bytes]
    chain: bytes
    quality: bytes


def connect(settings: Settings) -> redis.Redis:
    """A client that waits for Redis longer than any command here blocks, and raises every failure to its caller."""
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    sentinels = parse_sentinels(settings.redis_address)
    if sentinels is not None:
        return _connect_to_master(sentinels, options)
    # A web process answers a thousand requests at a time; those that find every connection in use wait for one.
    pool = redis.BlockingConnectionPool.from_url(
        settings.redis_address, max_connections=CONNECTIONS, timeout=5, **options
    )
    return redis.Redis.from_pool(pool)


def _connect_to_master(sentinels: Sentinels, options: dict[str, Any]) -> redis.Redis:
    """A client of whatever Redis the Sentinels call the master at the time of each new connection."""
    given: dict[str, Any] = dict(parse_url(sentinels.url))  # type: ignore[no-untyped-call]
    tls = given.pop("connection_class", None) is not None
    del given["host"]
    # One that is cut off must not keep the others from being asked.
    asking = {"socket_timeout": 2, "socket_connect_timeout": 2, "password": sentinels.password, "protocol": 2}
    asking |= {name: value for name, value in given.items() if name.startswith("ssl_")} | ({"ssl": True} if tls else {})
    sentinel: Any = Sentinel(sentinels.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(sentinels.service, ssl=tls, **options, **given)
    return client


@contextmanager
def unavailable_when_lost() -> Iterator[None]:
    """Turns the loss of Redis into Unavailable, for the processes that answer to someone."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable(f"The queue cannot be reached ({type(error).__name__}); try again in a moment.") from error
    except redis.ResponseError as error:
        if not isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError) and not _has_code(error, *_REFUSALS):
            raise
        raise Unavailable("The queue takes nothing right now; try again in a moment.") from error


class Jobs:
    """The queue, through one client."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.redis: Any = client
        self.settings = settings
        self.consumer = f"{socket.gethostname()}:{os.getpid()}"
        self._submit = self.redis.register_script(_SUBMIT)
        self._renew = self.redis.register_script(_RENEW)
        self._beat = self.redis.register_script(_BEAT)

    # What web processes do

    def submit(self, stream: str, jobs: Sequence[Job]) -> None:
        """Queue every job or none. Raises QueueFull when the stream has no room, Unavailable without Redis."""
        with unavailable_when_lost():
            if kept := [job for job in jobs if job.keep]:
                queued = encode_payload(Answer(status="queued"))
                pipeline = self.redis.pipeline(transaction=False)
                for job in kept:
                    pipeline.set(_task_key(job.task), queued, ex=job.keep, nx=True)
                pipeline.execute()
            if not self.submit_all(stream, [jobs])[0]:
                self.redis.delete(*(_task_key(job.task) for job in kept)) if kept else None
                raise self.queue_full()

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

    def claim(self, streams: Sequence[str], count: int, block: float, *, others: int = 1) -> list[Claim]:
        """Up to `count` jobs of the first stream and `others` of each other, or the first to come in `block` seconds.

        The streams are in order of urgency: a batch holds the first stream's jobs, then the others'.
        """
        try:
            pipeline = self.redis.pipeline(transaction=False)
            for position, stream in enumerate(streams):
                pipeline.xreadgroup(GROUP, self.consumer, {stream: ">"}, count=others if position else count)
            claims = [claim for read in pipeline.execute() for claim in self._claims(read)]
            if not claims and block:
                waiting = dict.fromkeys(streams, ">")
                read = self.redis.xreadgroup(GROUP, self.consumer, waiting, count=1, block=round(block * 1000))
                claims = list(self._claims(read))
            return claims
        except redis.ResponseError as error:
            self._mend_group(error, streams)
            return []

    def claim_stale(self, streams: Sequence[str]) -> list[Claim]:
        """A job whose lease ran out, now this process's: whoever had it is dead or stands still.

        One at a time: if it kills this process too, that counts against no other job.
        """
        lease = round(self.settings.lease * 1000)
        try:
            for stream in streams:
                for pending in self.redis.xpending_range(stream, GROUP, "-", "+", 1, idle=lease):
                    entry = pending["message_id"]
                    claimed = self.redis.xclaim(stream, GROUP, self.consumer, lease, [entry])
                    if any(found is not None for found, _ in claimed):
                        return list(self._claims([(stream.encode(), claimed)], 1 + pending["times_delivered"]))
                    # Another process was quicker, or someone has deleted the entry, which would come back for ever.
                    if not self.redis.xrange(stream, entry, entry):
                        self.redis.xack(stream, GROUP, entry)
        except redis.ResponseError as error:
            self._mend_group(error, streams)
        return []

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
        self.redis.hdel(WORKERS, self.consumer)
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
        if not _has_code(error, "NOGROUP"):
            raise error
        logger.warning("the queue has lost its consumer group; making it anew")
        self.ensure_groups(streams)

    # Who is alive, and with which weights

    def beat(self, role: str, versions: dict[str, str], resident: int = 0, among: str = WORKERS) -> None:
        """Say that this process is alive."""
        about = WorkerBeat(
            name=self.consumer,
            role=role,
            host=socket.gethostname(),
            pid=os.getpid(),
            versions=versions,
            resident=resident,
        )
        self._beat([among], [self.consumer, msgspec.json.encode(about), BEATS_TTL])

    def alive(self, among: str = WORKERS) -> list[WorkerBeat]:
        """The processes that have beaten within the last three seconds, by the clock of Redis."""
        with unavailable_when_lost():
            pipeline = self.redis.pipeline(transaction=False)
            (seconds, _), beats = pipeline.time().hgetall(among).execute()
        alive = []
        for value in beats.values():
            moment, _, about = value.partition(b" ")
            if seconds - int(moment) <= BEAT_LIFE:
                alive.append(msgspec.json.decode(about, type=WorkerBeat))
        return sorted(alive, key=lambda beat: (beat.role, beat.name))

    def note_error(self, role: str, text: str) -> None:
        """Keep an error of ours for the page, if Redis is there. No editor's details may be in it."""
        try:
            noted = NotedError(int(time.time()), role, text[:500])
            pipeline = self.redis.pipeline(transaction=True)
            pipeline.lpush(ERRORS, msgspec.json.encode(noted)).ltrim(ERRORS, 0, ERRORS_KEPT - 1)
            pipeline.expire(ERRORS, ERRORS_TTL).execute()
        except redis.RedisError as error:
            logger.debug("an error is not kept: %s", error)

    def errors(self) -> list[NotedError]:
        """The latest errors, newest first."""
        with unavailable_when_lost():
            return [msgspec.json.decode(noted, type=NotedError) for noted in self.redis.lrange(ERRORS, 0, -1)]

    def publish(self, classifier: str, published: Published) -> None:
        """Make these the weights that every process works with from now on."""
        key = _published_key(classifier)
        fields = {
            "version": published.version,
            "all": encode_payload(published),
            "chain": published.chain,
            "quality": published.quality,
        }
        self.redis.pipeline(transaction=True).hset(key, mapping=fields).expire(key, PUBLISHED_TTL).execute()

    def published_versions(self, classifiers: Iterable[str]) -> dict[str, str]:
        """The version that is published, of each classifier that has one."""
        pipeline = self.redis.pipeline(transaction=False)
        for classifier in (names := list(classifiers)):
            pipeline.hget(_published_key(classifier), "version")
        found = zip(names, pipeline.execute(), strict=True)
        return {name: version.decode() for name, version in found if version}

    def published(self, classifier: str) -> Published | None:
        """The published weights, None when there are none."""
        stored = self.redis.hget(_published_key(classifier), "all")
        published: Published | None = decode_payload(stored, Published) if stored else None
        return published

    def published_about(self, classifier: str, what: Literal["chain", "quality"]) -> bytes | None:
        """The chain of versions behind the published weights, or their quality, as JSON."""
        with unavailable_when_lost():
            about: bytes | None = self.redis.hget(_published_key(classifier), what)
        return about


def failure(error: SbApiError) -> Answer:
    """The answer that tells a job's sender of an error."""
    return Answer(status="failed", problem=error.problem())


def _has_code(error: redis.ResponseError, *codes: str) -> bool:
    # Not only at the start: a pipeline and a script put words of their own before the code.
    return any(code in str(error) for code in codes)


def _decode_replies(batch: bytes) -> list[tuple[str, Answer]]:
    replies: list[tuple[str, Answer]] = decode_payload(batch, list[tuple[str, Answer]])
    return replies


def _task_key(task: str) -> str:
    return f"{PREFIX}task:{task}"


def _reply_key(name: str) -> str:
    return f"{PREFIX}reply:{name}"


def _read_key(name: str) -> str:
    return f"{_reply_key(name)}:read"


def _published_key(classifier: str) -> str:
    return f"{PREFIX}weights:{classifier}"
