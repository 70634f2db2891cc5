"""Receivers are told of accounts of the chosen band and above: their ids and scores, once, after the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sb_api.broker.jobs import Answer, Claim, Job
from sb_api.broker.shared_state import Broker
from sb_api.classify import open_collectors
from sb_api.config import Settings
from sb_api.judgements import Judged
from sb_api.processes.flagged import Collector
from sb_api.records import Editor, encode_payload
from sb_api.webhooks.accounts import AccountFeed
from sb_api.webhooks.delivery import Delivery
from sb_api.webhooks.outbox import Outbox
from tests.support.jobs import Jobs
from tests.support.receivers import receive

BANDS = ["certain spam", "likely spam", "unsure", "likely fine"]
SECRETS = ("I sell watches", "seller@watches.example", "watches")


def judged(editors: Sequence[Editor], *bands: str) -> tuple[list[Claim], list[Answer]]:
    """A job of these, and what came of it."""
    job = Job(task="t", operation="predict", classifier="lodbrok", body=encode_payload(editors), records=len(editors))
    scores = [0.9] * len(editors)
    told = Judged("000001-aaaaaaaa", ["x"] * len(editors), scores, bands=list(bands))
    return [Claim("s", b"1-0", job)], [Answer(status="completed", data=told)]


def editor(number: int | str, **fields: Any) -> Editor:
    known = {"bio": SECRETS[0], "email": SECRETS[1], "website": "http://watches.example"}
    return Editor(id=number, **{**known, **fields})


def test_they_are_told_of_once_for_each_content_and_without_details(settings: Settings, jobs: Jobs) -> None:
    with receive() as receiver:
        outbox = Outbox(
            jobs.redis, msgspec.structs.replace(settings, webhooks=receiver.url, webhook_band="likely spam")
        )
        collector = Collector(AccountFeed(outbox))
        for _ in range(2):
            collector.collect(*judged([editor(1), editor("b"), editor(3), editor(4)], *BANDS))
        collector.collect(*judged([editor(1, bio="something else"), editor(1000)], "certain spam", "unsure"))
        outbox.prepare_secret()
        delivery = Delivery(outbox, outbox.endpoints[0])
        while delivery.work():
            pass
    told = sorted((str(event["data"]["id"]), event["data"]["band"]) for event in receiver.events)
    assert told == [("1", "certain spam"), ("1", "certain spam"), ("b", "likely spam")]
    about = {"id": "b", "band": "likely spam", "score": 0.9, "weights": "000001-aaaaaaaa"}
    assert about in [event["data"] for event in receiver.events]
    keys = list(jobs.redis.scan_iter(match="*webhooks*"))
    raw = b"\n".join([*keys, *map(jobs.redis.dump, keys), *(body for _, _, body in receiver.requests)])
    assert not any(secret.encode() in raw for secret in SECRETS)


def test_only_who_is_told_of_accounts_has_them_collected(settings: Settings, jobs: Jobs) -> None:
    def collectors(**changes: Any) -> list[str]:
        own = msgspec.structs.replace(settings, **changes)
        return [collector.feed.name for collector in open_collectors(Broker.of(jobs.redis, own))]

    assert collectors() == collectors(webhooks="https://ops.example/#drift,service") == []
    assert collectors(webhooks="https://ops.example/#account") == ["webhooks"]
    assert collectors(webhooks="https://ops.example/", review="on") == ["the review queue", "webhooks"]
