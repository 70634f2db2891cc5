"""What may be asked of the review queue, for the calls and for the page: list, claim, release, verdicts, undo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from sb_api.auth.access import current_actor, current_identity
from sb_api.auth.reporters import set_reporters
from sb_api.broker.connection import unavailable_when_lost
from sb_api.broker.jobs import Withdrawal
from sb_api.client.answers import Claimed, Released, ReviewAnswer, Reviewed, ReviewList, TakenBack, Trained, Undone
from sb_api.errors import (
    ContentChanged,
    Forbidden,
    InvalidRecords,
    InvalidSettings,
    NotOffered,
    Unavailable,
    UnknownEntry,
)
from sb_api.records import EDITORS, Editor, FieldError, Verdict, content_digest
from sb_api.review.choosing import choose
from sb_api.review.entries import Action, Claim, GiveVerdicts, Kept, ListQuery, Release, TakeBack, Waiting
from sb_api.review.links import Linked
from sb_api.review.store import Found, ReviewStore
from sb_api.web.calls.trainings import await_training, await_withdrawal, submit_training
from sb_api.web.service import Service

FIELDS = Editor.__struct_fields__


class _Named(msgspec.Struct):
    """Who claims or says something, as `set_reporters` takes it."""

    id: str
    reporter: str | None


def need_review(service: Service) -> ReviewStore:
    """The queue. Raises NotOffered where it is off."""
    if service.review is None:
        raise NotOffered("There is no review queue here; SB_API_REVIEW=on has one kept.")
    return service.review


def list_entries(service: Service, *queries: ListQuery) -> list[ReviewList]:
    """What waits and is asked for, of one state of the queue. Raises NotOffered, Unavailable, Forbidden."""
    store = need_review(service)
    with _usable():
        found = store.found()
        return [_list(store, found, query) for query in queries]


def _list(store: ReviewStore, found: Found, query: ListQuery) -> ReviewList:
    chosen = choose(found.summaries, query, time.time())
    if query.mine:
        claimant, holders = find_claimant(query.reporter), store.claimants(chosen)
        chosen = [handle for handle in chosen if holders.get(handle) == claimant]
    return ReviewList(
        waiting=len(found.summaries) + found.unreadable,
        matching=len(chosen),
        dropped=found.dropped,
        unreadable=found.unreadable,
        languages=dict(Counter(each.language for each in found.summaries.values() if each.language).most_common()),
        entries=_describe(store, chosen[query.offset : query.offset + query.limit]),
    )


def act(service: Service, action: Action) -> ReviewAnswer:
    """Do what an action says. Raises as the functions below do."""
    if isinstance(action, Claim):
        return claim(service, action)
    if isinstance(action, Release):
        return release(service, action)
    return give_verdicts(service, action) if isinstance(action, GiveVerdicts) else take_back(service, action)


# Each raises NotOffered, Unavailable, Forbidden, and what it says.


def claim(service: Service, action: Claim) -> Claimed:
    """Have entries for a while. Raises UnknownEntry and ClaimedByAnother for those that are named."""
    store, claimant = need_review(service), find_claimant(action.reporter)
    with _usable():
        if action.entries:
            store.take(action.entries, claimant)
            return Claimed(entries=_describe(store, action.entries))
        passed = store.passed(claimant)
        chosen = choose(store.found().summaries, action, time.time())
        chosen.sort(key=passed.__contains__)  # the order is kept among others, and then among these
        return Claimed(entries=_describe(store, store.claim(chosen, claimant, action.count)))


def release(service: Service, action: Release) -> Released:
    """Give entries back."""
    store, claimant = need_review(service), find_claimant(action.reporter)
    with _usable():
        return Released(released=store.release(action.entries, claimant))


def give_verdicts(service: Service, action: GiveVerdicts) -> Reviewed:
    """Have verdicts learned. Raises UnknownEntry, ClaimedByAnother, ContentChanged, what `await_training` raises."""
    verdicts = _take_verdicts(need_review(service), action, find_claimant(action.reporter))
    trained = await_training(service, EDITORS, verdicts, current_actor())
    return Reviewed(trained=msgspec.convert({"success": True, **trained}, Trained))


def submit_verdicts(service: Service, action: GiveVerdicts) -> str:
    """Queue what an action says to be learned; its task. Raises as `give_verdicts`, and what `submit_training` does."""
    verdicts = _take_verdicts(need_review(service), action, find_claimant(action.reporter))
    return submit_training(service, EDITORS, verdicts, current_actor(), force=False)


def take_back(service: Service, action: TakeBack) -> TakenBack:
    """Take a verdict back. Raises UnknownEntry, and what `await_withdrawal` raises."""
    store, claimant = need_review(service), find_claimant(action.reporter)
    with _usable():
        kept = store.read([action.entry]).get(action.entry)
    if kept is None:
        detail = "The entry is no longer kept, so its verdict cannot be taken back here."
        raise UnknownEntry(detail, entries=[action.entry])
    wanted = Withdrawal(claimant, str(kept.editor.id), action.seen or content_digest(kept.editor))
    undone = msgspec.convert({"success": True, **await_withdrawal(service, EDITORS, wanted, current_actor())}, Undone)
    with _usable():
        waiting = action.entry in store.claim([action.entry], claimant, 1)
    return TakenBack(undone=undone, waiting=waiting)


def read_entries(service: Service, handles: Sequence[str]) -> list[Waiting]:
    """What is kept of entries, also of those on which there is a verdict."""
    store = need_review(service)
    with _usable():
        return _describe(store, handles)


def find_claimant(named: str | None) -> str:
    """Who asks, or in whose name. Raises Forbidden where that may not be said, InvalidRecords for no name."""
    who = _Named("reporter", named)
    if set_reporters([who], current_identity()):
        raise Forbidden("This credential acts for itself alone; it may not name reporters.")
    if "\0" in (who.reporter or ""):
        raise InvalidRecords("`reporter` holds no U+0000.", errors={})
    return who.reporter or ""


def _take_verdicts(store: ReviewStore, action: GiveVerdicts, claimant: str) -> list[Verdict]:
    """Verdicts on entries that nobody else has, which are the claimant's then. Once they are in the log, the train
    process takes their entries out of the queue."""
    handles = list(action.verdicts)
    with _usable():
        store.take(handles, claimant)
        entries = store.read(handles)
    if missing := [handle for handle in handles if handle not in entries]:
        raise UnknownEntry("The entries listed under `entries` are no longer kept.", entries=missing)
    seen = action.seen
    if changed := [each for each in handles if each in seen and seen[each] != content_digest(entries[each].editor)]:
        with _usable():
            now = msgspec.to_builtins(_describe(store, changed))
        raise ContentChanged(
            f"{len(changed)} of {len(handles)} accounts say something else than when you looked. Nothing was done; all "
            "that you chose are claimed for you, and stay as they are now. Look once more.",
            entries=changed,
            changed=now,
        )
    return [_verdict(entries[handle], said, claimant) for handle, said in action.verdicts.items()]


def _verdict(kept: Kept, said: int, reporter: str) -> Verdict:
    known = {name: getattr(kept.editor, name) for name in FIELDS}
    try:
        return Verdict(**known, verdict=said, reporter=reporter or None)
    except FieldError as error:  # an id that can be judged and not be learned
        fault = {"field": error.field, "detail": str(error)}
        raise InvalidRecords(f"`{error.field}` {error}.", errors={str(kept.editor.id): fault}) from None


def _describe(store: ReviewStore, handles: Sequence[str]) -> list[Waiting]:
    """What is told of entries, in this order; those that are no longer kept are left out."""
    entries, holders = store.read(handles), store.claimants(handles)
    linked = store.linked(entries)
    return [_waiting(handle, kept, linked[handle], holders.get(handle)) for handle, kept in entries.items()]


def _waiting(handle: str, kept: Kept, links: list[Linked], holder: str | None) -> Waiting:
    told = ("editor", "score", "band", "weights", "host", "language")
    about: dict[str, Any] = {name: getattr(kept, name) for name in told}
    judged = datetime.fromtimestamp(kept.judged, UTC).isoformat().removesuffix("+00:00")
    digest = content_digest(kept.editor)
    return Waiting(entry=handle, digest=digest, judged=judged, links=links, claimed_by=holder, **about)


@contextmanager
def _usable() -> Iterator[None]:
    """Raises Unavailable when Redis is lost, or there is no key to open the queue with."""
    with unavailable_when_lost():
        try:
            yield
        except InvalidSettings as error:
            raise Unavailable(error.detail) from None
