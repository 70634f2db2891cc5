"""What web processes do with the queue: send jobs, and read what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sb_api.broker.connection import PREFIX, unavailable_when_lost
from sb_api.broker.jobs import REPLY_TTL, Answer, Job, read_key, reply_key, task_key
from sb_api.broker.kept_connection import keep_connection
from sb_api.broker.shared_state import Broker
from sb_api.errors import QueueFull
from sb_api.records import decode_payload, encode_payload

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


class Producer:
    """The queue for those who send jobs and wait for their answers."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.redis = broker.redis
        self.settings = broker.settings
        self._submit = broker.redis.register_script(_SUBMIT)

    def for_one_thread(self) -> Producer:
        """The same queue, through a connection that one thread keeps."""
        return Producer(replace(self.broker, redis=keep_connection(self.redis)))

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
            self.redis.set(task_key(job.task), queued, ex=job.keep, nx=True)

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
            stored = self.redis.get(task_key(task))
        answer: Answer | None = decode_payload(stored, Answer) if stored else None
        return answer

    def forget(self, task: str) -> None:
        """Drop the kept answer of a task."""
        with unavailable_when_lost():
            self.redis.delete(task_key(task))

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
        pipeline.delete(read_key(name)).blmove(reply_key(name), read_key(name), timeout, "LEFT", "RIGHT")
        _, moved, _ = pipeline.expire(read_key(name), REPLY_TTL).execute()
        return _decode_replies(moved) if moved else []

    def unread_replies(self, name: str) -> list[tuple[str, Answer]]:
        """The answers that the last call of `read_replies` gave, or would have given but for a failure."""
        return [reply for batch in self.redis.lrange(read_key(name), 0, -1) for reply in _decode_replies(batch)]


def _decode_replies(batch: bytes) -> list[tuple[str, Answer]]:
    replies: list[tuple[str, Answer]] = decode_payload(batch, list[tuple[str, Answer]])
    return replies
