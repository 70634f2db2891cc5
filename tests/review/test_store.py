"""The review queue in a real Redis: sealed, bounded, expiring, and nobody gets what another one has."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sb_api.broker.connection import connect
from sb_api.broker.jobs import Answer, Claim, Job
from sb_api.classify import Spares
from sb_api.config import Settings
from sb_api.errors import ClaimedByAnother, InvalidSettings, Unavailable, UnknownEntry
from sb_api.judgements import Judged
from sb_api.processes import flagged
from sb_api.processes.flagged import Collector
from sb_api.records import Editor, Verdict, content_digest, encode_payload
from sb_api.review import store as stores
from sb_api.review.choosing import choose
from sb_api.review.collecting import ReviewFeed
from sb_api.review.entries import Choice, Kept, Summary
from sb_api.review.sealing import Sealer
from sb_api.review.store import REVIEW, ReviewStore
from sb_api.versions import BANDS
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs

DOCUMENTED = Path(__file__).parents[2] / "docs" / "how-to-scale-out.md"
BIO, MAIL = "I sell watches", "seller@watches.example"


def kept(number: int | str, score: float = 0.9, **fields: Any) -> Kept:
    editor = Editor(id=number, bio=BIO, email=MAIL, website="http://watches.example", member_since="2024-01-01")
    return Kept(
        editor=editor, score=score, band="likely spam", weights="000001-aaaaaaaa", judged=int(time.time()), **fields
    )


def verdict(number: int, said: int = 1, **fields: Any) -> Verdict:
    known = {name: getattr(kept(number).editor, name) for name in Editor.__struct_fields__}
    return Verdict(**{**known, **fields}, verdict=said)


def opened(settings: Settings, jobs: Jobs, **changes: Any) -> ReviewStore:
    return ReviewStore(jobs.redis, msgspec.structs.replace(settings, review="on", **changes))


@pytest.fixture
def store(settings: Settings, jobs: Jobs) -> ReviewStore:
    return opened(settings, jobs)


def handles(store: ReviewStore, *numbers: int) -> list[str]:
    return [store.handle(number) for number in numbers]


def everything(store: ReviewStore) -> bytes:
    """All that Redis has of the queue, names and contents."""
    found = []
    for key in store.redis.scan_iter(match="*review*"):
        found += [key, store.redis.dump(key)]
        if store.redis.type(key) == b"string":
            found.append(store.redis.get(key))
        elif store.redis.type(key) == b"hash":
            found += [part for pair in store.redis.hgetall(key).items() for part in pair]
        else:
            found += store.redis.zrange(key, 0, -1)
    return b"\n".join(found)


def test_what_is_kept_can_be_read_with_the_key_alone_and_every_key_of_it_ends(store: ReviewStore) -> None:
    assert store.add([kept(4711), kept(4712, 0.6)]) == 2
    (one, two) = handles(store, 4711, 4712)
    store.claim([one], "anna", 1)
    store.decide([verdict(4712)])
    raw = everything(store)
    for detail in (BIO, MAIL, "watches", "4711", "4712", "2024"):
        assert detail.encode() not in raw
    assert store.read([one, two])[one].editor == kept(4711).editor
    assert store.settings.review_key_file.stat().st_mode & 0o777 == 0o600
    keys = list(store.redis.scan_iter())
    assert len(keys) >= 6
    assert all(0 < store.redis.ttl(key) <= store.settings.review_keep for key in keys)


def test_another_key_reads_nothing_and_says_so(
    store: ReviewStore, settings: Settings, jobs: Jobs, tmp_path: Path
) -> None:
    store.add([kept(1)])
    other = opened(settings, jobs, review_key=str(tmp_path / "other.key"))
    for call in (other.found, lambda: other.add([kept(2)]), lambda: other.read(["0" * 24])):
        with pytest.raises(Unavailable, match="another key"):
            call()
    assert list(store.found().summaries) == handles(store, 1)
    sealer = Sealer(tmp_path / "other.key")
    with pytest.raises(ValueError, match="another key"):
        sealer.open(store.sealer.seal(b"x", "here"), "here")
    with pytest.raises(ValueError, match="another key"):
        store.sealer.open(store.sealer.seal(b"x", "here"), "there")
    (tmp_path / "short.key").write_bytes(b"short")
    with pytest.raises(InvalidSettings, match="32 random bytes"):
        Sealer(tmp_path / "short.key")


def test_the_oldest_make_room_and_that_is_told_and_claimed_ones_stay(settings: Settings, jobs: Jobs) -> None:
    store = opened(settings, jobs, review_most=3)
    for number in range(3):
        store.add([kept(number)])
        store.redis.zadd(stores.KEYS[0], {store.handle(number): int(time.time()) - 100 + number})
    store.claim(handles(store, 0), "anna", 1)
    store.add([kept(10), kept(11)])
    found = store.found()
    assert set(found.summaries) == set(handles(store, 0, 10, 11))
    assert found.dropped == 2
    assert store.read(handles(store, 1, 2)) == {}
    many = Kept(editor=Editor(id=12, bio="x" * 40_000), score=1.0, band="certain spam", weights="w", judged=0)
    assert store.add([many]) == 0
    assert store.found().dropped == 3
    store.redis.expire(stores.KEYS[3], 100)
    store.add([kept(10)])
    assert store.redis.ttl(stores.KEYS[3]) <= 100, "what was dropped lately ends unless more is"
    store.add([kept(13)])
    assert store.redis.ttl(stores.KEYS[3]) > 100


def test_what_is_over_its_time_is_gone(store: ReviewStore) -> None:
    store.add([kept(1), kept(2)])
    old = store.handle(1)
    store.redis.zadd(stores.KEYS[0], {old: int(time.time()) - store.settings.review_keep - 1})
    store.redis.pexpire(f"{REVIEW}entry:{old}", 1)
    wait_until(lambda: not store.read([old]))
    assert list(store.found().summaries) == handles(store, 2)
    assert store.claim([old], "anna", 1) == []


def test_no_two_claim_the_same(settings: Settings, jobs: Jobs) -> None:
    store = opened(settings, jobs)
    store.add([kept(number) for number in range(60)])
    waiting = choose(store.found().summaries, Choice(), time.time())
    taken: dict[str, list[str]] = {name: [] for name in ("anna", "ben", "cleo", "dan")}

    def work(name: str) -> None:
        with connect(settings) as client:
            own = ReviewStore(client, store.settings)
            while found := own.claim(waiting, name, 1):
                taken[name] += found

    threads = [threading.Thread(target=work, args=(name,)) for name in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        join(thread)
    everyones = [handle for own in taken.values() for handle in own]
    assert sorted(everyones) == sorted(waiting)
    assert store.claimants(waiting) == {handle: name for name, own in taken.items() for handle in own}


def test_a_claim_ends_by_release_by_itself_and_by_no_other(store: ReviewStore) -> None:
    store.add([kept(1), kept(2)])
    one, two = handles(store, 1, 2)
    assert store.claim([one, two], "anna", 5) == [one, two]
    assert store.claim([one, two], "ben", 5) == []
    assert store.release([one, two], "ben") == 0
    with pytest.raises(ClaimedByAnother) as refused:
        store.take([one, two], "ben")
    assert refused.value.members["entries"] == [one, two]
    assert store.release([one], "anna") == 1
    with pytest.raises(ClaimedByAnother):
        store.take([one, two], "ben")
    assert store.claimants([one, two]) == {two: "anna"}, "all or none"
    store.take([one, two], "anna")
    assert 0 < store.redis.pttl(f"{REVIEW}claim:{two}") <= 1000 * store.settings.review_lease
    store.redis.pexpire(f"{REVIEW}claim:{two}", 1)
    wait_until(lambda: store.claim([two], "ben", 1) == [two])


def test_what_is_claimed_stays_as_its_claimant_sees_it(store: ReviewStore) -> None:
    store.add([kept(1)])
    (one,) = handles(store, 1)
    store.claim([one], "anna", 1)
    edited = msgspec.structs.replace(kept(1), editor=msgspec.structs.replace(kept(1).editor, bio="something else"))
    assert store.add([edited]) == 0
    assert store.read([one])[one].editor.bio == BIO
    store.release([one], "anna")
    assert store.add([edited]) == 1
    assert store.read([one])[one].editor.bio == "something else"


def test_a_verdict_that_is_taken_back_keeps_nothing_away(store: ReviewStore) -> None:
    def waits() -> bool:
        return store.add([kept(1)]) == 1

    (one,) = handles(store, 1)
    assert waits()
    store.decide([verdict(1)])
    store.redis.delete(f"{REVIEW}entry:{one}")  # as after UNDO_SECONDS
    assert not store.restore("1", content_digest(verdict(1)))
    assert waits()
    # On other content than what is kept, on which there still is one.
    store.decide([verdict(1)])
    edited = verdict(1, bio="something else")
    store.decide([edited])
    assert not store.restore("1", content_digest(edited))
    assert store.add([kept(1)]) == 0
    changed = msgspec.structs.replace(kept(1).editor, bio="something else")
    assert store.add([msgspec.structs.replace(kept(1), editor=changed)]) == 1
    # The earlier of two is taken back first.
    store.decide([edited])
    assert not store.restore("1", content_digest(verdict(1)))
    assert one not in store.found().summaries
    assert store.restore("1", content_digest(edited))
    assert waits()


def test_more_verdicts_than_may_wait_are_noted(settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(settings, jobs, review_most=3)
    store.decide([verdict(number) for number in range(6)])
    assert store.add([kept(number) for number in range(6)]) == 0
    monkeypatch.setattr(stores, "MOST_NOTED", 4)
    store.decide([verdict(6)])
    assert store.redis.zcard(stores.KEYS[2]) == 4


def test_a_verdict_ends_the_wait_until_it_is_taken_back_or_the_account_is_another(store: ReviewStore) -> None:
    store.add([kept(1), kept(2)])
    one, two = handles(store, 1, 2)
    store.claim([one], "anna", 1)
    store.decide([verdict(1)])
    assert list(store.found().summaries) == [two]
    assert store.claimants([one]) == {}
    with pytest.raises(UnknownEntry) as gone:
        store.take([one, two], "anna")
    assert gone.value.members["entries"] == [one]
    assert store.add([kept(1)]) == 0, "judged again as it was"
    assert 0 < store.redis.ttl(f"{REVIEW}entry:{one}") <= stores.UNDO_SECONDS
    assert store.restore(1)
    assert set(store.found().summaries) == {one, two}
    assert store.redis.ttl(f"{REVIEW}entry:{one}") > stores.UNDO_SECONDS
    store.decide([verdict(1)])
    other = msgspec.structs.replace(kept(1).editor, bio="something else")
    assert store.add([msgspec.structs.replace(kept(1), editor=other)]) == 1
    assert not store.restore(99)
    assert store.purge() == 2
    assert store.found().summaries == {}


def test_entries_are_chosen_by_band_age_language_and_host_and_ordered() -> None:
    day, now = 24 * 3600, 1_700_000_000.0

    def summary(score: float, band: str, days: int | None, host: str, language: str) -> Summary:
        joined = int(now) - days * day if days is not None else 0
        return Summary(score, BANDS.index(band), joined, host.split(), language)

    waiting = {
        "a": summary(0.99, "certain spam", 1, "shop.watches.example bio.example", "de"),
        "b": summary(0.97, "certain spam", 400, "watches.example", "en"),
        "c": summary(0.55, "unsure", None, "notwatches.example", "en"),
        "d": summary(0.52, "unsure", 20, "notwatches.example", ""),
        "e": summary(0.70, "likely spam", 20, "", "en"),
    }

    def chosen(**choice: Any) -> str:
        return "".join(choose(waiting, Choice(**choice), now))

    assert chosen() == "abecd"
    assert chosen(band="unsure") == "cd"
    assert chosen(language="en") == "bec"
    assert chosen(host="Watches.example.") == chosen(host="http://www.watches.example/x") == "ab"
    assert chosen(host="bio.example") == "a"
    assert chosen(host="http://") == chosen(host=" ") == "", "no host"
    assert (chosen(min_age=10), chosen(max_age=10), chosen(min_age=10, max_age=30)) == ("bed", "a", "ed")
    # Of the two on one host the second teaches half as much.
    assert chosen(order="useful") == "decba"


def test_the_documented_rights_are_those_that_are_needed(store: ReviewStore, settings: Settings) -> None:
    lines = [line.split() for line in DOCUMENTED.read_text("utf-8").splitlines() if line.startswith("    ")]
    rights = {word for words in lines for word in words if word.startswith("+")}
    store.redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~{sb_api}:*", *rights)
    url = settings.redis_url.replace("unix://", "unix://limited:secret@")
    try:
        with connect(msgspec.structs.replace(settings, redis_url=url)) as client:
            limited = ReviewStore(client, msgspec.structs.replace(store.settings, review_most=2))
            limited.add([kept(number, domains=[f"w{number}.example"]) for number in range(6)])
            waiting = list(limited.found().summaries)
            limited.claim(waiting, "anna", 1)
            limited.take(waiting, "anna")
            limited.release(waiting, "anna")
            assert limited.passed("anna") == set(waiting)
            assert not limited.claimants(waiting)
            limited.linked(limited.read(waiting))
            limited.decide([verdict(number) for number in range(6)])
            assert any(limited.restore(number) for number in range(6))
            limited.add([Kept(editor=Editor(id=9, bio="x" * 40_000), score=1.0, band="unsure", weights="w", judged=0)])
            assert limited.purge() == 2
    finally:
        store.redis.execute_command("ACL", "DELUSER", "limited")


def claim_of(editors: Sequence[Editor], review: Any, keep: int = 0) -> Claim:
    job = Job(
        task="t", operation="predict", classifier="lodbrok", body=encode_payload(editors), review=review, keep=keep
    )
    return Claim("s", b"1-0", job)


def test_judged_accounts_of_the_band_and_above_are_put_in_and_no_others(settings: Settings, jobs: Jobs) -> None:
    store = opened(settings, jobs, review_band="likely spam")
    editors = [Editor(id=number, website="http://www.watches.example/x") for number in range(4)]
    scores, bands = [0.99, 0.8, 0.5, 0.99], ["certain spam", "likely spam", "unsure", "certain spam"]
    judged = Judged("w", ["x"] * 4, scores, {3: "cannot be judged"}, bands)
    told = {"bands": {"7": "certain spam"}, "scores": {"7": 0.99}, "weights": "w"}
    claims = [claim_of(editors, "share"), claim_of([Editor(id=8)], ""), claim_of([Editor(id=7)], "share", keep=5)]
    sure = Judged("w", ["x"], [1.0], bands=["certain spam"])
    answers = [Answer(status="completed", data=data) for data in (judged, sure, told)]
    Collector(ReviewFeed(store)).collect(claims, answers)
    assert set(store.found().summaries) == set(handles(store, 0, 1, 7))
    (entry,) = store.read(handles(store, 1)).values()
    assert (entry.score, entry.band, entry.weights, entry.host) == (0.8, "likely spam", "w", "watches.example")
    none = Collector(ReviewFeed(opened(settings, jobs, review_share=0.0)))
    none.collect([claim_of([Editor(id=9)], "share"), claim_of([Editor(id=10)], "all")], answers[1:2] * 2)
    assert store.handle(9) not in store.found().summaries
    assert store.handle(10) in store.found().summaries
    half = Collector(ReviewFeed(opened(settings, jobs, review_share=0.5)))
    for _ in range(2):  # the same ones again
        half.collect([claim_of([Editor(id=number)], "share") for number in range(100, 300)], answers[1:2] * 200)
        half.finish()
    assert 60 < len(store.found().summaries) - 4 < 140


def collect(collector: Collector, store: ReviewStore, start: int, count: int) -> int:
    """Have it collect a request of so many accounts, all spam; how many wait then."""
    claim = claim_of([Editor(id=number) for number in range(start, start + count)], "all")
    claim = msgspec.structs.replace(claim, job=msgspec.structs.replace(claim.job, records=count))
    judged = Judged("w", ["x"] * count, [1.0] * count, bands=["certain spam"] * count)
    collector.collect([claim], [Answer(status="completed", data=judged)])
    return store.count()[0]


def test_of_large_requests_a_few_accounts_are_put_in_at_a_time(
    settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flagged, "MOST_RECORDS", 100)
    store, waiting = opened(settings, jobs), []
    collector = Collector(ReviewFeed(store))
    assert collect(collector, store, 1000, 50) == 0
    while collector.is_due():
        collector.work()
        waiting.append(store.count()[0])
    assert waiting == [20, 40, 50]
    assert collect(collector, store, 2000, 20) == 70, "few are put in at once"
    assert collect(collector, store, 3000, 90) == 70
    assert collect(collector, store, 4000, 30) == 160, "there is no room for both"
    collector.finish()
    assert store.count()[0] == 190


def test_spare_work_of_several_kinds_is_done_beside_each_other(settings: Settings, jobs: Jobs) -> None:
    store = opened(settings, jobs)
    one, other = Collector(ReviewFeed(store)), Collector(ReviewFeed(store))
    spares, waiting = Spares([one, other]), []
    assert not spares.is_due()
    collect(one, store, 1000, 50)
    collect(other, store, 2000, 25)
    while spares.is_due():
        spares.work()
        waiting.append(store.count()[0])
    assert waiting == [40, 65, 75]


def test_what_cannot_be_put_in_is_said_once_and_without_details(
    settings: Settings, jobs: Jobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(settings, jobs).add([kept(1)])
    collector = Collector(ReviewFeed(opened(settings, jobs, review_key=str(tmp_path / "other.key"))))
    sure = Answer(status="completed", data=Judged("w", ["x"], [1.0], bands=["certain spam"]))
    for _ in range(3):
        collector.collect([claim_of([kept(2).editor], "share")], [sure])
    lines = [record.getMessage() for record in caplog.records if "review queue" in record.getMessage()]
    assert len(lines) == 1
    assert BIO not in caplog.text
    assert MAIL not in caplog.text
