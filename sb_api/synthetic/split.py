"""Accounts to learn from and to measure on, without a host or a mail domain of somebody's own on both sides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from random import Random

from sb_api.synthetic import phrases
from sb_api.synthetic.accounts import SyntheticEditor
from sb_api.synthetic.parts import build_pools, free_mail_domains
from sb_api.text.hosts import registered_domain, website_host

_LINK = re.compile(r"(?:https?://|www\.)[^\s\]|<>\"')]+", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z]+://)?(?:www\.)?([^/?#:\s]+)", re.IGNORECASE)
# A host that so many accounts have, some of either verdict, is a shortener or a mail provider, whatever its name.
_FREQUENT_SHARE, _FREQUENT_LEAST, _FREQUENT_OF_EACH = 0.005, 10, 3


def split_by_host(
    editors: Sequence[SyntheticEditor], test_share: float, seed: int
) -> tuple[list[SyntheticEditor], list[SyntheticEditor]]:
    """Split into (train, test) so that no host and no mail domain of an account's own is on both sides.

    A host counts whether it is the website or linked in the bio; accounts that share one go together. Public hosts,
    free mail providers, and what many accounts of both verdicts have in common count as nobody's own. Each side keeps
    the order of `editors`; the test side gets `test_share` of the accounts, as near as the groups allow. Raises
    ValueError when it is not between 0 and 1.
    """
    if not 0 <= test_share <= 1:
        raise ValueError(f"test_share must be between 0 and 1, not {test_share}")
    rng = Random(f"split {seed}")
    found = [set(_hosts(editor)) for editor in editors]
    groups, loners = _group(found, _shared(editors, found))
    rng.shuffle(groups)
    rng.shuffle(loners)
    test = set(loners[: round(len(loners) * test_share)])
    room = round((len(editors) - len(loners)) * test_share)
    for group in groups:
        if len(group) <= room:
            room -= len(group)
            test.update(group)
    sides: tuple[list[SyntheticEditor], list[SyntheticEditor]] = ([], [])
    for place, editor in enumerate(editors):
        sides[place in test].append(editor)
    return sides


def owners(editors: Sequence[SyntheticEditor]) -> list[int]:
    """A number for each editor, which those share that share a host or a mail domain of their own, as `split_by_host`
    takes them, or the registered domain of one, which a network knows too. Where anybody may have a host, such as below
    blogspot.com, each is somebody's own."""
    found = []
    for editor in editors:
        hosts = {host for each in _hosts(editor) if (host := website_host(each))}
        found.append(hosts | set(map(registered_domain, hosts)))
    groups, loners = _group(found, {*_shared(editors, found), *phrases.PLATFORMS})
    numbers = [0] * len(editors)
    for number, group in enumerate([*groups, *([place] for place in loners)]):
        for place in group:
            numbers[place] = number
    return numbers


def known_hosts(editors: Sequence[SyntheticEditor]) -> frozenset[str]:
    """The hosts and domains by which editors go together."""
    found = [set(_hosts(editor)) for editor in editors]
    return frozenset[str]().union(*found) - _shared(editors, found)


def drop_known(editors: Iterable[SyntheticEditor], hosts: Set[str]) -> list[SyntheticEditor]:
    """Those editors that have none of the hosts and domains."""
    return [editor for editor in editors if hosts.isdisjoint(_hosts(editor))]


def _shared(editors: Sequence[SyntheticEditor], found: Sequence[set[str]]) -> set[str]:
    return {*phrases.PUBLIC_HOSTS, *free_mail_domains(build_pools()), *_frequent(editors, found)}


def _group(found: Sequence[set[str]], shared: Set[str]) -> tuple[list[list[int]], list[int]]:
    """The places of n editors joined by the hosts and domains that were `found` of each and are not `shared` by
    everybody, and the places of those that have none."""
    parents = list(range(len(found)))

    def find(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[str, int] = {}
    loners = []
    for place, hosts in enumerate(found):
        own = sorted(hosts - shared)
        for host in own:
            parents[find(place)] = find(first.setdefault(host, place))
        if not own:
            loners.append(place)
    groups: dict[int, list[int]] = {}
    for place in range(len(found)):
        groups.setdefault(find(place), []).append(place)
    alone = set(loners)
    return [group for root, group in groups.items() if root not in alone], loners


def _frequent(editors: Sequence[SyntheticEditor], found: Sequence[set[str]]) -> set[str]:
    sides = (Counter[str](), Counter[str]())
    for editor, hosts in zip(editors, found, strict=True):
        sides[editor.verdict].update(hosts)
    least = max(_FREQUENT_LEAST, _FREQUENT_SHARE * len(editors))
    return {
        host
        for host, count in sides[0].items()
        if min(count, sides[1][host]) >= _FREQUENT_OF_EACH and count + sides[1][host] >= least
    }


def _hosts(editor: SyntheticEditor) -> Iterator[str]:
    record = editor.record
    for url in (editor.host, str(record.get("website") or ""), *_LINK.findall(str(record.get("bio") or ""))):
        if match := _HOST.match(url):
            yield match[1].rstrip(".,").lower()
    if email := record.get("email"):
        yield str(email).rpartition("@")[2].lower()
