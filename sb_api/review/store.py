"""The review queue in Redis: bounded, every key with a time to live, nothing that can be read without our key."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from sb_api.broker.connection import PREFIX
from sb_api.config import Settings
from sb_api.errors import ClaimedByAnother, Unavailable, UnknownEntry
from sb_api.records import Verdict, content_digest
from sb_api.review import scripts
from sb_api.review.entries import Kept, Summary, decode_kept, decode_summary, encode, summarize
from sb_api.review.links import FINE, FORGET, SPAM, UNKNOWN, Linked, LinkHistory, find_links
from sb_api.review.sealing import Sealer

logger = logging.getLogger(__name__)

REVIEW = f"{PREFIX}review:"
KEYS = tuple(f"{REVIEW}{name}" for name in ("judged", "index", "decided", "dropped"))
KEY_KEY = f"{REVIEW}key"  # the fingerprint of the key that the queue is sealed with
LARGEST = 32 * 1024  # bytes of an entry; what is larger is not queued
UNDO_SECONDS = 24 * 3600  # that an entry is kept once there is a verdict, so that it may be taken back
MOST_NOTED = 100_000  # verdicts that keep their accounts from coming again
MOST_PASSED = 1_000  # entries that a claimant gave back and is not offered first
AT_ONCE = 200  # entries of one script: for so long nobody else is served by Redis


class Found(NamedTuple):
    """What waits: summaries by handle; how many were dropped lately because too many waited; and how many cannot be
    read with this key."""

    summaries: dict[str, Summary]
    dropped: int
    unreadable: int


class ReviewStore:
    """The queue, as one process sees it. The key is read when it is first needed.

    Every method raises RedisError; Unavailable when another process seals with another key; InvalidSettings when there
    is no key to be had.
    """

    def __init__(self, redis: Any, settings: Settings) -> None:
        self.redis = redis
        self.settings = settings
        scripted = ("ADD", "LIST", "CLAIM", "TAKE", "RELEASE", "DECIDE", "RESTORE")
        self.links = LinkHistory(redis, REVIEW, settings.review_keep, 2 * settings.review_most)
        self._scripts = {name: redis.register_script(getattr(scripts, name)) for name in scripted}

    @cached_property
    def sealer(self) -> Sealer:
        return Sealer(self.settings.review_key_file)

    def handle(self, record: int | str) -> str:
        """What the entry of the account with this id is called."""
        return self.sealer.name("account", str(record))

    def add(self, entries: Sequence[Kept]) -> int:
        """Have accounts wait, in the place of what was judged of them before; how many of them do: not those that are
        larger than LARGEST, not those on which there is a verdict already, and not those that somebody has claimed."""
        self._check_key()
        added = 0
        for some in _chunks(entries):
            arguments: list[Any] = [self.settings.review_most]
            for kept in some:
                handle, content = self.handle(kept.editor.id), encode(kept)
                if len(content) > LARGEST:
                    self.redis.pipeline().incr(KEYS[3]).expire(KEYS[3], self.settings.review_keep).execute()
                    continue
                summary = encode(summarize(kept, _seconds(kept.editor.member_since)))
                arguments += [handle, self.sealer.seal(content, handle), self.sealer.seal(summary, f"{handle} summary")]
                arguments.append(self._note(handle, content_digest(kept.editor)))
            added += self._run("ADD", *arguments)
            noted = ((self.handle(kept.editor.id), kept.domains, UNKNOWN) for kept in some)
            self.links.note(self.sealer, noted)
        return added

    def found(self) -> Found:
        """All that wait."""
        self._check_key()
        *pairs, dropped = self._run("LIST")
        summaries, unreadable = {}, 0
        for handle, sealed in zip(*[iter(pairs)] * 2, strict=True):
            name = handle.decode()
            try:
                summaries[name] = decode_summary(self.sealer.open(sealed, f"{name} summary"))
            except (ValueError, msgspec.DecodeError):
                unreadable += 1
        return Found(summaries, int(dropped), unreadable)

    def count(self) -> tuple[int, int]:
        """How many wait, and how many were dropped lately because too many did."""
        waiting, dropped = self.redis.pipeline(transaction=False).zcard(KEYS[0]).get(KEYS[3]).execute()
        return waiting, int(dropped or 0)

    def read(self, handles: Sequence[str]) -> dict[str, Kept]:
        """Entries by handle, those that are still kept."""
        self._check_key()
        found = self.redis.mget([f"{REVIEW}entry:{handle}" for handle in handles]) if handles else []
        entries = {}
        for handle, sealed in zip(handles, found, strict=True):
            if sealed is not None:
                try:
                    entries[handle] = decode_kept(self.sealer.open(sealed, handle))
                except (ValueError, msgspec.DecodeError):
                    logger.warning("an entry of the review queue cannot be read with this key")
        return entries

    def claimants(self, handles: Sequence[str]) -> dict[str, str]:
        """Who has which, of those that somebody has."""
        found = self.redis.mget([f"{REVIEW}claim:{handle}" for handle in handles]) if handles else []
        return {handle: holder.decode() for handle, holder in zip(handles, found, strict=True) if holder is not None}

    def claim(self, handles: Sequence[str], claimant: str, count: int) -> list[str]:
        """Claim at most `count` that nobody has, the first first; which."""
        taken: list[str] = []
        for some in _chunks(handles):
            if len(taken) >= count:
                break
            found = self._run("CLAIM", claimant, self._lease, count - len(taken), *some)
            taken += [handle.decode() for handle in found]
        return taken

    def take(self, handles: Sequence[str], claimant: str) -> None:
        """Claim all of these, anew what the claimant has already; or none. Raises UnknownEntry, ClaimedByAnother."""
        refused = [handle.decode() for handle in self._run("TAKE", claimant, self._lease, *handles)]
        if not refused:
            return
        gone, others = refused[: refused.index("")], refused[refused.index("") + 1 :]
        if gone:
            raise UnknownEntry(
                f"{len(gone)} of the entries do not wait: somebody has given a verdict, or they are no longer kept. "
                "Nothing was done; leave out those listed under `entries`.",
                entries=gone,
            )
        raise ClaimedByAnother(
            f"{len(others)} of the entries are claimed by somebody else. Nothing was done; leave out those listed "
            "under `entries`, or wait until they are given back.",
            entries=others,
        )

    def release(self, handles: Sequence[str], claimant: str) -> int:
        """Give back what the claimant has of these; how many that were. For as long as a claim lasts, the claimant is
        offered all others before them."""
        released = int(self._run("RELEASE", claimant, *handles))
        key, pipeline = self._passed_key(claimant), self.redis.pipeline(transaction=True)
        pipeline.sadd(key, *handles).pexpire(key, self._lease)
        if pipeline.scard(key).execute()[-1] > MOST_PASSED:
            self.redis.delete(key)
        return released

    def passed(self, claimant: str) -> set[str]:
        """What the claimant gave back lately."""
        return {handle.decode() for handle in self.redis.smembers(self._passed_key(claimant))}

    def linked(self, entries: Mapping[str, Kept]) -> dict[str, list[Linked]]:
        """By handle, what is known of the other accounts that link where these do."""
        found = self.links.read(self.sealer, [(handle, kept.domains) for handle, kept in entries.items()])
        return dict(zip(entries, found, strict=True))

    def decide(self, verdicts: Sequence[Verdict]) -> None:
        """There are verdicts on these accounts: they wait no longer, and do not come again as they are."""
        self._check_key()
        for some in _chunks(verdicts):
            named = [(self.handle(record.id), content_digest(record)) for record in some]
            notes = chain.from_iterable((handle, self._note(handle, digest)) for handle, digest in named)
            self._run("DECIDE", UNDO_SECONDS, max(MOST_NOTED, self.settings.review_most), *notes)
            known = zip((handle for handle, _ in named), some, strict=True)
            said = ((handle, find_links(one).domains, SPAM if one.verdict else FINE) for handle, one in known)
            self.links.note(self.sealer, said)

    def restore(self, record: int | str, digest: str = "") -> bool:
        """The last verdict on an account, on content of this digest ("": on what is kept of it), was taken back: it
        waits again when it is judged again with that content; at once if it is still kept, unless there is a verdict on
        what that says. Whether it waits."""
        handle = self.handle(record)
        kept = self.read([handle]).get(handle)
        now = "" if kept is None else content_digest(kept.editor)
        self.redis.zrem(KEYS[2], self._note(handle, digest or now))
        if kept is None:
            return False
        summary = encode(summarize(kept, _seconds(kept.editor.member_since)))
        sealed = self.sealer.seal(summary, f"{handle} summary")
        waits = bool(self._run("RESTORE", handle, self._note(handle, now), kept.judged, sealed))
        if waits:
            self.links.note(self.sealer, [(handle, kept.domains, FORGET)])
        return waits

    def purge(self) -> int:
        """Forget all of it; how many entries that were."""
        entries = 0
        for some in _chunks(self.redis.scan_iter(match=f"{_escape(REVIEW)}*", count=1000)):
            entries += sum(key.startswith(f"{REVIEW}entry:".encode()) for key in some)
            self.redis.unlink(*some)
        return entries

    def _passed_key(self, claimant: str) -> str:
        return f"{REVIEW}passed:{self.sealer.name('claimant', claimant)}"

    @property
    def _lease(self) -> int:
        return int(1000 * self.settings.review_lease)

    def _note(self, handle: str, digest: str) -> str:
        """What a verdict on this content is noted as."""
        return self.sealer.name("verdict", f"{handle} {digest}")

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._scripts[script](KEYS, [REVIEW, self.settings.review_keep, *arguments])

    def _check_key(self) -> None:
        """Raises Unavailable when what is in Redis was sealed with another key than ours."""
        keep, own = self.settings.review_keep, self.sealer.fingerprint
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.set(KEY_KEY, own, nx=True, ex=keep).get(KEY_KEY).expire(KEY_KEY, keep)
        _, found, _ = pipeline.execute()
        if found != own.encode():
            raise Unavailable(
                f"The review queue is sealed with another key than {self.settings.review_key_file}: every host "
                "needs the same file. `sb-api review purge` empties the queue."
            )


def _chunks(items: Any) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _escape(pattern: str) -> str:
    """A text as a pattern of Redis that matches nothing else."""
    return "".join(f"\\{char}" if char in "*?[]{}\\^" else char for char in pattern)


def _seconds(date: str | None) -> int:
    """An ISO 8601 date as seconds since 1970, 0 where there is none."""
    if not date:
        return 0
    try:
        moment = datetime.fromisoformat(date)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0
