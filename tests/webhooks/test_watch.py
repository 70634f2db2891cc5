"""What is watched for others: told of at the edges, once, also without Redis, and by a process that is started anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from sb_api.broker.connection import connect
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings
from sb_api.records import RECORD_TYPES
from sb_api.webhooks.delivery import Delivery
from sb_api.webhooks.outbox import ALARMS, Outbox
from sb_api.webhooks.signing import make_secret
from sb_api.webhooks.watch import DRIFT_OVER_FOR, READY_FOR, Alarm, Watch
from tests.support.jobs import Jobs
from tests.support.receivers import Receiver, receive, say

VERSIONS = dict.fromkeys(RECORD_TYPES, "000001-aaaaaaaa")
Open = Callable[..., Watch]


@pytest.fixture
def opened(settings: Settings, jobs: Jobs) -> Open:
    """Makes a watch whose receiver has this URL; a service that is not ready for 60 s is told of."""

    def make(url: str, **changes: Any) -> Watch:
        own = msgspec.structs.replace(settings, webhooks=url, webhook_not_ready=60.0, **changes)
        client = jobs.redis if "redis_url" not in changes else connect(own)
        make_secret(own.webhook_secret_file)
        return Watch(Broker.of(client, own), Outbox(client, own))

    return make


def beat(watch: Watch) -> None:
    watch.broker.registry.beat("classify", VERSIONS)


def deliver(watch: Watch, receiver: Receiver) -> list[str]:
    """The types of the events that have come so far."""
    delivery = Delivery(watch.outbox, watch.outbox.endpoints[0])
    while delivery.work():
        pass
    return [event["type"] for event in receiver.events]


def test_an_alarm_is_on_and_off_when_that_has_lasted() -> None:
    alarm = Alarm(rise=60.0, fall=10.0)
    seen = [(True, 0.0), (True, 59.0), (False, 59.5), (True, 60.0), (True, 119.0), (True, 120.0), (True, 500.0)]
    assert [moment for wrong, moment in seen if alarm.see(wrong, moment)] == [120.0]
    seen = [(False, 501.0), (True, 505.0), (False, 506.0), (False, 515.0), (False, 516.0), (False, 600.0)]
    assert [moment for wrong, moment in seen if alarm.see(wrong, moment)] == [516.0]


def test_a_service_that_is_not_ready_for_long_is_told_of_once_and_when_it_is_again(opened: Open) -> None:
    with receive() as receiver:
        watch = opened(receiver.url)
        for moment in (0.0, 59.0):
            watch.look(moment)
        assert deliver(watch, receiver) == []
        for moment in (60.0, 65.0, 300.0):
            watch.look(moment)
        assert deliver(watch, receiver) == ["service.not_ready"]
        assert "no classify process" in receiver.events[0]["data"]["problems"][0]
        # Another one, or the same started anew, knows what was told of.
        again = opened(receiver.url)
        for moment in (0.0, 100.0):
            again.look(moment)
        beat(again)
        for moment in (101.0, 101.0 + READY_FOR):
            again.look(moment)
        assert deliver(watch, receiver) == ["service.not_ready", "service.ready"]
        for moment in (400.0, 400.0 + READY_FOR):
            watch.look(moment)
        assert deliver(watch, receiver) == ["service.not_ready", "service.ready"], "the other one has told it"


def test_while_redis_is_away_receivers_are_told_without_it(opened: Open, redis_url: str, tmp_path: Path) -> None:
    """Redis is away because the socket that leads to it is."""
    path = tmp_path / "redis.sock"
    with receive(say(500), say(204)) as receiver:
        watch = opened(receiver.url, redis_url=f"unix://{path}")
        for moment in (0.0, 60.0, 60.5, 61.0):
            watch.look(moment)
        assert [event["type"] for event in receiver.events] == ["service.not_ready"], "not at once again"
        watch.look(70.0)
        assert len(set(receiver.ids)) == 1
        assert len(receiver.ids) == 2
        watch.look(500.0)
        assert len(receiver.ids) == 2, "it was taken"
        assert "Redis" in receiver.events[0]["data"]["problems"][0]
        path.symlink_to(redis_url.removeprefix("unix://"))
        beat(watch)
        for moment in (501.0, 501.0 + READY_FOR):
            watch.look(moment)
        assert deliver(watch, receiver)[2:] == ["service.ready"]
        watch.outbox.redis.close()


def test_what_nobody_took_without_redis_is_queued_when_it_is_there(
    opened: Open, redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "redis.sock"
    with receive(say(500), say(204)) as receiver:
        watch = opened(receiver.url, redis_url=f"unix://{path}")
        for moment in (0.0, 60.0):
            watch.look(moment)
        path.symlink_to(redis_url.removeprefix("unix://"))
        watch.look(70.0)
        assert len(receiver.ids) == 1
        assert deliver(watch, receiver) == ["service.not_ready"] * 2
        assert len(set(receiver.ids)) == 1
        watch.outbox.redis.close()


def publish(watch: Watch, detected: bool, name: str = "lodbrok") -> None:
    drift = {"detected": detected, "error_rate": 0.3, "error_rate_before": 0.1, "sound": "000001-aaaaaaaa"}
    watch.outbox.redis.hset(f"{{sb_api}}:weights:{name}", "quality", msgspec.json.encode({"drift": drift}))
    watch.outbox.redis.expire(f"{{sb_api}}:weights:{name}", 60)


def test_drift_is_told_of_when_it_begins_and_when_it_has_been_over_for_long(opened: Open) -> None:
    with receive() as receiver:
        watch = opened(receiver.url + "#drift")
        watch.look(0.0)
        publish(watch, True)
        for moment in (1.0, 2.0):
            watch.look(moment)
        publish(watch, False)
        watch.look(3.0)
        publish(watch, True)
        watch.look(4.0)
        assert deliver(watch, receiver) == ["drift.began"], "not for each wavering"
        assert receiver.events[0]["data"] == {
            "classifier": "lodbrok",
            "error_rate": 0.3,
            "error_rate_before": 0.1,
            "sound": "000001-aaaaaaaa",
        }
        publish(watch, False)
        for moment in (5.0, 5.0 + DRIFT_OVER_FOR):
            watch.look(moment)
        assert deliver(watch, receiver) == ["drift.began", "drift.ended"]
        assert receiver.events[1]["data"] == {"classifier": "lodbrok"}


def test_a_redis_that_has_lost_what_was_told_ends_nothing_in_silence(opened: Open) -> None:
    with receive() as receiver:
        watch = opened(receiver.url + "#service")
        for moment in (0.0, 60.0):
            watch.look(moment)
        watch.outbox.redis.delete(ALARMS)
        away, watch.broker = watch.broker, Broker.of(redis.Redis(port=1), watch.broker.settings)
        watch.look(61.0)
        watch.broker = away
        beat(watch)
        for moment in (62.0, 62.0 + READY_FOR):
            watch.look(moment)
        assert deliver(watch, receiver) == ["service.not_ready", "service.ready"]
