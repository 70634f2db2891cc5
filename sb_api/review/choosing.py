"""Which entries are shown or claimed, and which of them first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sb_api.review.entries import Choice, Summary
from sb_api.text.hosts import website_host
from sb_api.versions import BANDS

DAY = 24 * 3600  # seconds


def choose(summaries: Mapping[str, Summary], choice: Choice, now: float) -> list[str]:
    """The handles of the entries of a choice at a moment (seconds since 1970), the first first."""
    host = website_host(choice.host or "")
    fitting = {handle: each for handle, each in summaries.items() if _fits(each, choice, host, now)}
    surest = sorted(fitting, key=lambda handle: (-fitting[handle].score, handle))
    return surest if choice.order == "surest" else _most_useful(surest, fitting)


def _fits(summary: Summary, choice: Choice, host: str, now: float) -> bool:
    age = (now - summary.joined) / DAY if summary.joined else None
    if choice.host and not host:
        return False  # what is asked for is no host, and nothing links there
    return (
        (choice.band is None or BANDS[summary.band] == choice.band)
        and (choice.language is None or summary.language == choice.language)
        and (not host or any(one == host or one.endswith(f".{host}") for one in summary.hosts))
        and (choice.min_age is None or (age is not None and age >= choice.min_age))
        and (choice.max_age is None or (age is not None and age <= choice.max_age))
    )


def _most_useful(handles: list[str], summaries: Mapping[str, Summary]) -> list[str]:
    """Those first of which the weights are least sure (uncertainty sampling: Lewis and Gale, 1994); of several that
    link to one host each counts less than the one before, because it teaches the same."""

    def certainty(handle: str) -> float:
        return abs(2 * summaries[handle].score - 1)

    seen: Counter[str] = Counter()
    use = {}
    for handle in sorted(handles, key=certainty):
        hosts = summaries[handle].hosts
        use[handle] = (1 - certainty(handle)) / (1 + max((seen[host] for host in hosts), default=0))
        seen.update(hosts)
    return sorted(handles, key=lambda handle: (-use[handle], handle))
