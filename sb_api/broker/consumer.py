"""What classify and train processes do with the queue: claim jobs, keep their leases, finish them."""

from __future__ import annotations

import logging
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import redis

from sb_api.broker.connection import PREFIX, has_code
from sb_api.broker.jobs import GROUP, REPLY_TTL, Answer, Claim, Claimed, Job, entry_key, reply_key, task_key
from sb_api.broker.shared_state import Broker, ask_versions, name_versions
from sb_api.records import RECORD_TYPES, decode_payload, encode_payload

logger = logging.getLogger(__name__)

# Renews only what is still this consumer's: a lease that ran out belongs to whoever claimed it since, and what was in a
# stream that Redis has lost is nobody's.
_RENEW = """
local kept = 0
for i = 3, #ARGV do
  local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if pending.err and string.sub(pending.err, 1, 7) ~= 'NOGROUP' then
    return redis.error_reply(pending.err)
  end
  if pending[1] and pending[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    kept = kept + 1
  end
end
return kept
"""


# What Redis has dated by a clock that was set back since: a lease or a lock that would last until the clock is there
# again lasts from now on. Of an entry that is dated in the future, Redis says that it is idle for 0 ms, as of one that
# is claimed this moment.
_DATE_LEASES = """
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[2])) do
  if pending[3] == 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], pending[2], 0, pending[1], 'IDLE', 0, 'JUSTID')
  end
end
"""
_SHORTEN_LOCK = """
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
"""
LEASES_LOOKED_AT = 1000  # of a stream, from the oldest


class Consumer:
    """The queue for those who do the jobs, as one member of the consumer group."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.redis = broker.redis
        self.settings = broker.settings
        self._renew = broker.redis.register_script(_RENEW)
        self._date_leases = broker.redis.register_script(_DATE_LEASES)
        self._shorten_lock = broker.redis.register_script(_SHORTEN_LOCK)

    @property
    def name(self) -> str:
        """What this process is called in the group."""
        return self.broker.registry.name

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
            return Claimed([], self.broker.registry.published_versions(RECORD_TYPES))

    def _claim(self, wanted: Sequence[tuple[Sequence[str], int]], block: int | None = None) -> Claimed:
        """Up to so many jobs of each of some streams, of each group of them, in one exchange with Redis; `block` are
        the milliseconds to wait for the first."""
        pipeline = self.redis.pipeline(transaction=False)
        for streams, count in wanted:
            pipeline.xreadgroup(GROUP, self.name, dict.fromkeys(streams, ">"), count=count, block=block)
        ask_versions(pipeline, RECORD_TYPES)
        *found, (seconds, micros) = pipeline.time().execute()
        claims = [claim for read in found[: len(wanted)] for claim in self._claims(read)]
        return Claimed(claims, name_versions(RECORD_TYPES, found[len(wanted) :]), seconds + micros / 1e6)

    def claim_stale(self, streams: Sequence[str]) -> list[Claim]:
        """A job whose lease ran out, now this process's: whoever had it is dead or stands still.

        One at a time: if it kills this process too, that counts against no other job.
        """
        try:
            for stream in streams:
                self._date_leases([stream], [GROUP, LEASES_LOOKED_AT])
                for pending in self._stale(stream):
                    entry = pending["message_id"]
                    claimed = self.redis.xclaim(stream, GROUP, self.name, self._lease, [entry])
                    if any(found is not None for found, _ in claimed):
                        return list(self._claims([(stream.encode(), claimed)], 1 + pending["times_delivered"]))
                    # Another process was quicker, or someone has deleted the entry, which would come back for ever.
                    if not self.redis.xrange(stream, entry, entry):
                        self.redis.xack(stream, GROUP, entry)
        except redis.ResponseError as error:
            self._mend_group(error, streams)
        return []

    def release_claims_of(self, streams: Iterable[str], pid: int) -> None:
        """Give back what a process of this host held that was killed from outside: at once, and as if it had never had
        it, since the jobs did not cause that."""
        holder = f"{socket.gethostname()}:{pid}:".encode()
        for stream in streams:
            for pending in self.redis.xpending_range(stream, GROUP, "-", "+", LEASES_LOOKED_AT):
                if pending["consumer"].startswith(holder):
                    entry, before = pending["message_id"], pending["times_delivered"] - 1
                    options = {"idle": self._lease, "retrycount": before, "justid": True}
                    self.redis.xclaim(stream, GROUP, pending["consumer"], 0, [entry], **options)

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
        kept = [self._renew([stream], [GROUP, self.name, *ids]) == len(ids) for stream, ids in entries.items()]
        return all(kept)

    def mark_processing(self, claims: Iterable[Claim], progress: Any = None) -> None:
        """Say of the jobs whose answer is kept that they are being worked on, and how far they are."""
        processing = encode_payload(Answer(status="processing", data=progress))
        for claim in claims:
            if claim.job.keep:
                self.redis.set(task_key(claim.job.task), processing, ex=claim.job.keep)

    def acknowledge(self, claim: Claim) -> None:
        """Tell the sender of a job that what it says is kept elsewhere too; its answer follows."""
        if claim.job.acknowledge:
            reply = encode_payload([(claim.job.task, Answer(status="processing"))])
            name = reply_key(claim.job.reply)
            self.redis.pipeline(transaction=True).rpush(name, reply).expire(name, REPLY_TTL).execute()

    def remember(self, job: Job, value: str) -> str:
        """What a job was to be done with when it was first done: `value`, unless another process had begun it."""
        key, seconds = f"{task_key(job.task)}:begun", job.keep or REPLY_TTL
        _, stored = self.redis.pipeline(transaction=True).set(key, value, ex=seconds, nx=True).get(key).execute()
        return str(stored.decode())

    def finish(self, answers: Sequence[tuple[Claim, Answer]]) -> None:
        """Store every answer and acknowledge its job, in one transaction. May be repeated after a lost connection."""
        replies = defaultdict(list)
        pipeline = self.redis.pipeline(transaction=True)
        for claim, answer in answers:
            if claim.job.keep:
                pipeline.set(task_key(claim.job.task), encode_payload(answer), ex=claim.job.keep)
                pipeline.delete(entry_key(claim.job.task))
            if claim.job.reply:
                replies[claim.job.reply].append((claim.job.task, answer))
        for name, batch in replies.items():
            pipeline.rpush(reply_key(name), encode_payload(batch))
            pipeline.expire(reply_key(name), REPLY_TTL)
        for stream in {claim.stream for claim, _ in answers}:
            entries = [claim.entry for claim, _ in answers if claim.stream == stream]
            pipeline.xack(stream, GROUP, *entries)
            pipeline.xdel(stream, *entries)
        # The group may be lost with its data; the answers are given all the same.
        for response in pipeline.execute(raise_on_error=False):
            if isinstance(response, redis.ResponseError) and not str(response).startswith("NOGROUP"):
                raise response

    def leave(self, streams: Iterable[str]) -> None:
        """Say that this process ends, and take it out of the groups."""
        self.broker.registry.leave()
        self.leave_groups(streams)

    def leave_groups(self, streams: Iterable[str]) -> None:
        """Take this consumer out of the groups; what it holds passes to others once its lease runs out."""
        for stream in streams:
            try:
                if not self.redis.xpending_range(stream, GROUP, "-", "+", 1, consumername=self.name):
                    self.redis.xgroup_delconsumer(stream, GROUP, self.name)
            except redis.ResponseError as error:
                logger.debug("nothing to leave: %s", error)

    def lock(self, name: str) -> Any:
        """A lock across all hosts, held for one lease at a time (redis.lock.Lock)."""
        key = f"{PREFIX}lock:{name}"
        self._shorten_lock([key], [self._lease])
        return self.redis.lock(key, timeout=self.settings.lease, thread_local=False)

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
                    # Not ours, or of another release: nobody waits for its answer, and it would come back for ever.
                    logger.error("the entry %s of %s is no job; it is removed", entry.decode(), stream.decode())
                    self.redis.pipeline().xack(stream, GROUP, entry).xdel(stream, entry).execute()
                else:
                    yield Claim(stream.decode(), entry, job, deliveries)

    def _mend_group(self, error: redis.ResponseError, streams: Sequence[str]) -> None:
        if not has_code(error, "NOGROUP"):
            raise error
        logger.warning("the queue has lost its consumer group; making it anew")
        self.ensure_groups(streams)
