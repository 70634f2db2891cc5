"""What waits for review: entries, the questions that are asked of them, and what may be done with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sb_api.records import Editor
from sb_api.review.links import Linked
from sb_api.versions import BANDS

Band = Literal["certain spam", "likely spam", "unsure", "likely fine"]
Order = Literal["surest", "useful"]
# How an entry is called: says nothing of its account to whoever has not the key.
Handle = Annotated[str, Meta(pattern="^[0-9a-f]{24}$")]
# Of what an account says: see `content_digest`.
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Days = Annotated[float, Meta(ge=0, le=36_525)]
Reporter = Annotated[str, Meta(max_length=255)]
MOST_AT_ONCE = 100  # entries of one answer, claim or batch of verdicts
_Handles = Annotated[list[Handle], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry as it is kept: the account as it was judged; its score (P(spam)), its band, and the weights that said
    so; when that was (seconds since 1970); the host and the registered domains that it links to; the language of its
    bio, "" where that is not known."""

    editor: Editor
    score: float
    band: Band
    weights: str
    judged: int
    host: str = ""
    language: str = ""
    domains: list[str] = []


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What entries are chosen and ordered by. `band` is a number of BANDS, `joined` when the account was made (seconds
    since 1970, 0: not known)."""

    score: float
    band: int
    joined: int
    hosts: list[str]
    language: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An account that waits for a verdict: its `entry` is what claims and verdicts name, its `digest` that of what it
    says; `links` is where it links to, and what is known of others that do; `claimed_by` the reporter who has it now,
    null when nobody has. `judged` is in UTC."""

    entry: Handle
    digest: Digest
    editor: Editor
    score: Annotated[float, Meta(ge=0, le=1)]
    band: Band
    weights: str
    judged: str
    host: str = ""
    language: str = ""
    links: list[Linked] = []
    claimed_by: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries, and which first: those of a band, of a language, that link to a host (or URL) or below it, whose
    account is at least or at most so many days old. `surest` has the highest scores first, `useful` those of which most
    is to be learned."""

    order: Order = "surest"
    band: Band | None = None
    language: Annotated[str, Meta(max_length=32)] | None = None
    host: Annotated[str, Meta(max_length=255)] | None = None
    min_age: Days | None = None
    max_age: Days | None = None


class ListQuery(Choice, frozen=True, kw_only=True):
    """Entries to be shown: those of a choice, or of them those that whoever asks, or `reporter`, has claimed."""

    mine: bool = False
    reporter: Reporter | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)] = 25
    offset: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Claim(Choice, frozen=True, kw_only=True, tag_field="action", tag="claim"):
    """Have the first `count` entries of a choice that nobody has, or those `entries` themselves, for a while."""

    count: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)] = 1
    entries: Annotated[list[Handle], Meta(max_length=MOST_AT_ONCE)] = []
    reporter: Reporter | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="release"):
    """Give claimed entries back; whoever does is offered others first for a while."""

    entries: _Handles
    reporter: Reporter | None = None


class GiveVerdicts(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="verdicts"):
    """Say of entries whether they are spam (1) or not (0): the same as sending their accounts to `/train`. `seen` has
    the digests of what was looked at, by entry: one that says something else by now gets no verdict."""

    verdicts: Annotated[dict[Handle, Annotated[int, Meta(ge=0, le=1)]], Meta(min_length=1, max_length=MOST_AT_ONCE)]
    seen: Annotated[dict[Handle, Digest], Meta(max_length=MOST_AT_ONCE)] = {}
    reporter: Reporter | None = None


class TakeBack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="action", tag="undo"):
    """Take back one's verdict on an entry, which then waits again: on what had the digest `seen`, or on what it says
    now. Another member is an error: a mistyped one would have another verdict taken back."""

    entry: Handle
    seen: Digest | None = None
    reporter: Reporter | None = None


Action = Claim | Release | GiveVerdicts | TakeBack


def summarize(kept: Kept, joined: int) -> Summary:
    """What an entry is chosen by."""
    hosts = [host for host in dict.fromkeys((kept.host, *kept.domains)) if host]
    return Summary(kept.score, BANDS.index(kept.band), joined, hosts, kept.language)


def encode(value: Any) -> bytes:
    """An entry or a summary as it is sealed (msgpack)."""
    return msgspec.msgpack.encode(value)


decode_kept = msgspec.msgpack.Decoder(Kept).decode
decode_summary = msgspec.msgpack.Decoder(Summary).decode
