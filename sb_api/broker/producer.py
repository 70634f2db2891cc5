"""What web processes do with the queue: send jobs, and read what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sb_api.broker.connection import PREFIX, unavailable_when_lost
from sb_api.broker.jobs import ENDED, REPLY_TTL, Answer, Job, entry_key, failure, read_key, reply_key, task_key
from sb_api.broker.kept_connection import keep_connection
from sb_api.broker.shared_state import Broker
from sb_api.errors import JobFailed, QueueFull
from sb_api.records import decode_payload, encode_payload

# Of each group all entries or none, and never more than the stream may hold. A group is its size, whether answers of it
# are kept, and its entries; then each is followed by the seconds for that (0: not at all) and its task. Entry and mark
# are written at once, and the place of the entry stands beside the mark, so that one sees when it is lost.
_SUBMIT = """
local stream, prefix, queued = KEYS[1], ARGV[2], ARGV[3]
local room = tonumber(ARGV[1]) - redis.call('XLEN', stream)
local accepted = {}
local i = 4
while i <= #ARGV do
  local size, step = tonumber(ARGV[i]), ARGV[i + 1] == '1' and 3 or 1
  local last = i + 1 + size * step
  local fits = size <= room
  if fits then
    for j = i + 2, last, step do
      local entry = redis.call('XADD', stream, '*', 'job', ARGV[j])
      if step == 3 and ARGV[j + 1] ~= '0' then
        local key = prefix .. ARGV[j + 2]
        redis.call('SET', key, queued, 'EX', ARGV[j + 1], 'NX')
        redis.call('SET', key .. ':entry', stream .. ' ' .. entry, 'EX', ARGV[j + 1])
      end
    end
    room = room - size
  end
  accepted[#accepted + 1] = fits and 1 or 0
  i = last + 1
end
return accepted
"""
_QUEUED = encode_payload(Answer(status="queued"))


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
        if not self.submit_all(stream, [jobs])[0]:
            raise self.queue_full()

    def submit_all(self, stream: str, groups: Sequence[Sequence[Job]]) -> list[bool]:
        """Queue several groups of jobs in one exchange with Redis: of each group every job or, without room, none.

        Returns whether each group is queued. Raises Unavailable without Redis.
        """
        arguments: list[int | str | bytes] = [self.settings.queue_limit, task_key(""), _QUEUED]
        for group in groups:
            kept = any(job.keep for job in group)
            arguments += (len(group), int(kept))
            for job in group:
                arguments.append(encode_payload(job))
                if kept:
                    arguments += (job.keep, job.task)
        with unavailable_when_lost():
            return [bool(accepted) for accepted in self._submit([stream], arguments)]

    def queue_full(self) -> QueueFull:
        return QueueFull(f"{self.settings.queue_limit} requests are waiting already; try again in a moment.")

    def result(self, task: str) -> Answer | None:
        """What became of a task whose answer is kept; None when there is none, or no longer. One whose entry Redis has
        lost (a power cut, an eviction) has failed."""
        with unavailable_when_lost():
            stored, place = self.redis.pipeline(transaction=False).get(task_key(task)).get(entry_key(task)).execute()
            answer = _decode_answer(stored)
            if answer is None or place is None or answer.status in ENDED:
                return answer
            stream, _, entry = place.decode().partition(" ")
            if self.redis.xrange(stream, entry, entry):
                return answer
            # It may have been finished since.
            answer = _decode_answer(self.redis.get(task_key(task)))
        if answer is None or answer.status in ENDED:
            return answer
        return failure(JobFailed("The queue has lost the job, with other data of Redis; send it again."))

    def forget(self, task: str) -> None:
        """Drop the kept answer of a task."""
        with unavailable_when_lost():
            self.redis.delete(task_key(task), entry_key(task))

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


def _decode_answer(stored: bytes | None) -> Answer | None:
    answer: Answer | None = decode_payload(stored, Answer) if stored else None
    return answer
