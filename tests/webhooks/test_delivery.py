"""Webhooks on their way to real receivers: signed, tried again, once more rather than not at all, never without end."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sb_api.config import Settings
from sb_api.errors import InvalidSettings
from sb_api.webhooks import outbox as outboxes
from sb_api.webhooks.delivery import FIRST_DELAY, LONGEST_DELAY, LONGEST_REST, Delivery, delay_after
from sb_api.webhooks.messages import make_message
from sb_api.webhooks.outbox import WEBHOOKS, Outbox, State
from sb_api.webhooks.scripts import AHEAD
from sb_api.webhooks.signing import load_secrets
from tests.support.certificates import make_certificates
from tests.support.jobs import Jobs
from tests.support.receivers import is_signed, receive, say
from tests.support.redis_servers import free_port

DATA = {"classifier": "lodbrok", "verdicts": 2}
Open = Callable[..., Delivery]


@pytest.fixture
def opened(settings: Settings, jobs: Jobs) -> Open:
    """Makes the delivery to a URL."""

    def make(url: str, limit: float = 10.0, **changes: Any) -> Delivery:
        outbox = Outbox(jobs.redis, msgspec.structs.replace(settings, webhooks=url, **changes))
        outbox.prepare_secret()
        return Delivery(outbox, outbox.endpoints[0], limit)

    return make


def state(delivery: Delivery) -> State:
    (found,) = delivery.outbox.states()
    return found


def put(delivery: Delivery, kind: str = "training.refused") -> str:
    message = make_message(kind, DATA)
    delivery.outbox.put(message)
    return message.id


def make_due(delivery: Delivery) -> None:
    """As if the time until the next try had passed."""
    key = f"{WEBHOOKS}due:{delivery.endpoint.name}"
    for name in delivery.outbox.redis.zrange(key, 0, -1):
        delivery.outbox.redis.zadd(key, {name: 1})


def test_a_message_is_signed_sent_once_and_gone(opened: Open) -> None:
    with receive() as receiver:
        delivery = opened(receiver.url + "?key=1#training,drift")
        name = put(delivery)
        assert delivery.outbox.put(make_message("account.flagged", {})) == 0, "nobody is told of that topic"
        assert delivery.work()
        assert not delivery.work()
    ((path, headers, body),) = receiver.requests
    assert path == "/hook?key=1"
    secret = delivery.outbox.settings.webhook_secret_file.read_text().strip()
    assert is_signed(secret, headers, body)
    assert not is_signed(secret, headers, body + b" ")
    assert (headers["webhook-id"], headers["content-type"]) == (name, "application/json")
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    (event,) = receiver.events
    assert (event["type"], event["data"]) == ("training.refused", DATA)
    assert (state(delivery).waiting, state(delivery).sent, state(delivery).failed) == (0, 1, 0)
    keys = list(delivery.outbox.redis.scan_iter(match="*webhooks*"))
    assert all(delivery.outbox.redis.ttl(key) > 0 for key in keys)


def test_secrets_are_made_kept_private_and_rotated(opened: Open, tmp_path: Path) -> None:
    with receive() as receiver:
        delivery = opened(receiver.url)
        file = delivery.outbox.settings.webhook_secret_file
        assert load_secrets(file) == load_secrets(file)
        assert file.stat().st_mode & 0o777 == 0o600
        old = file.read_text().strip()
        new = "whsec_" + base64.b64encode(os.urandom(24)).decode()
        file.write_text(f"{new}\n{old}\n")
        put(delivery)
        delivery.work()
    ((_, headers, body),) = receiver.requests
    assert is_signed(new, headers, body)
    assert is_signed(old, headers, body)
    wrong = tmp_path / "wrong"
    for content in ("", "s3cret", "whsec_s3cret", "whsec_!!!!", "whsec_" + base64.b64encode(b"x" * 65).decode(), "é"):
        wrong.write_text(content)
        with pytest.raises(InvalidSettings) as error:
            load_secrets(wrong)
        assert "s3cret" not in error.value.detail
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_secrets(tmp_path)


def test_a_secret_that_is_gone_is_not_made_anew_where_receivers_know_one(opened: Open) -> None:
    with receive() as receiver:
        delivery = opened(receiver.url)
        file = delivery.outbox.settings.webhook_secret_file
        first = file.read_text()
        file.unlink()
        delivery.outbox.prepare_secret()
        assert file.read_text() != first, "nobody knows the first"
        first = file.read_text()
        put(delivery)
        delivery.work()
        name = put(delivery)
        file.unlink()
        for attempt in (delivery.work, delivery.outbox.prepare_secret):
            with pytest.raises(InvalidSettings, match="is gone"):
                attempt()
        assert not file.exists()
        assert len(receiver.requests) == 1
        assert state(delivery).waiting == 1
        file.write_text(first)
        delivery.work()
    assert receiver.ids[1] == name
    assert is_signed(first.strip(), *receiver.requests[1][1:])


def test_what_is_not_taken_is_sent_again_under_the_same_id(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    with receive(say(500), say(503, retry_after="7200"), say(200)) as receiver:
        delivery = opened(receiver.url + "?key=s3cret")
        name = put(delivery)
        assert delivery.work()
        assert not delivery.work(), "not at once"
        assert (state(delivery).waiting, state(delivery).failed, state(delivery).reason) == (1, 1, "answered 500")
        make_due(delivery)
        delivery.work()
        ((_, due),) = delivery.outbox.redis.zrange(f"{WEBHOOKS}due:{delivery.endpoint.name}", 0, -1, withscores=True)
        assert 3500 < (due + AHEAD) / 1000 - time.time() <= 3600, "an hour at most"
        assert 1 < delivery.rest <= LONGEST_REST
        make_due(delivery)
        delivery.work()
    assert receiver.ids == [name] * 3
    assert len({headers["webhook-signature"] for _, headers, _ in receiver.requests}) <= 3
    assert (state(delivery).sent, state(delivery).waiting, delivery.rest) == (1, 0, 0)
    assert "s3cret" not in caplog.text
    assert "takes webhooks again" in caplog.text


def test_a_receiver_that_is_away_gets_it_when_it_is_there(opened: Open) -> None:
    port = free_port()
    delivery = opened(f"http://127.0.0.1:{port}/hook")
    name = put(delivery)
    delivery.work()
    assert state(delivery).reason == "no connection"
    make_due(delivery)
    with receive(port=port) as receiver:
        delivery.work()
    assert receiver.ids == [name]


def drip(handler: Any) -> None:
    """Answer letter by letter, without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    try:
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass


def test_nothing_is_waited_for_without_end(opened: Open) -> None:
    for answer in (drip, lambda handler: handler.rfile.read(1)):
        with receive(answer) as receiver:
            delivery = opened(receiver.url, limit=0.3)
            put(delivery)
            delivery.work()
            assert state(delivery).reason == "no answer within 0.3 s"
            delivery.outbox.redis.flushall()


def test_nothing_is_sent_once_its_time_is_over(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server takes longer than an attempt may."""
    look_up = socket.getaddrinfo

    def take_time(*about: Any) -> Any:
        time.sleep(0.2)
        return look_up(*about)

    with receive() as receiver:
        delivery = opened(receiver.url, limit=0.05)
        put(delivery)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", take_time)
            delivery.work()
    assert state(delivery).reason == "no answer within 0.05 s"
    assert receiver.requests == []


def test_a_head_that_cannot_be_read_has_no_url_logged(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    with receive(lambda handler: handler.wfile.write(b"HTTP/1.1 500 x\r\nno header\r\n\r\n")) as receiver:
        delivery = opened(receiver.url + "?key=s3cret")
        put(delivery)
        delivery.work()
    assert state(delivery).reason == "answered 500"
    assert "answered 500" in caplog.text
    assert "s3cret" not in caplog.text


def babble(handler: Any) -> None:
    """Answer with a body without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (say(302, location="http://127.0.0.1:1/"), "answered 302; redirects are not followed"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n\r\n"), "BadStatusLine"),
        (lambda handler: None, "RemoteDisconnected"),
        (lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), "LineTooLong"),
        (babble, ""),
    ],
)
def test_answers_of_all_kinds_are_stood(opened: Open, answer: Any, said: str) -> None:
    with receive(answer) as receiver:
        delivery = opened(receiver.url)
        put(delivery)
        delivery.work()
    assert said in state(delivery).reason
    assert (state(delivery).sent, state(delivery).failed) == ((0, 1) if said else (1, 0))
    assert len(receiver.requests) == 1


def test_what_nobody_takes_in_time_is_set_aside_and_can_be_sent_again(opened: Open) -> None:
    with receive(say(500), say(410), say(200)) as receiver:
        delivery = opened(receiver.url, webhook_keep=60)
        old = msgspec.structs.replace(make_message("drift.began", {}), created=int(time.time()) - 61)
        delivery.outbox.put(old)
        delivery.work()
        gone = put(delivery)
        delivery.work()
        found = state(delivery)
        assert (found.waiting, found.failed, found.set_aside) == (0, 2, 2)
        aside = delivery.outbox.aside(delivery.endpoint)
        assert [(one.message.id, one.tries, one.reason) for one in aside] == [
            (gone, 1, "answered 410"),
            (old.id, 1, "answered 500"),
        ]
        assert delivery.outbox.try_again(delivery.endpoint) == (2, 0)
        assert delivery.work()
        assert delivery.work()
    assert receiver.ids[:2] == [old.id, gone]
    assert set(receiver.ids[2:]) == {old.id, gone}
    assert delivery.outbox.aside(delivery.endpoint) == []


def test_what_is_set_aside_while_others_are_sent_again_is_not_lost(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receive(say(410)) as receiver:
        delivery = opened(receiver.url)
        outbox, endpoint, read = delivery.outbox, delivery.endpoint, delivery.outbox.redis.lrange
        names = [put(delivery)]
        delivery.work()

        def try_again(meanwhile: Callable[[], object]) -> tuple[int, int]:
            """Try again, while something else happens once it was read what there is."""

            def read_and_wait(*about: Any) -> Any:
                found = read(*about)
                monkeypatch.setattr(outbox.redis, "lrange", read)
                meanwhile()
                return found

            monkeypatch.setattr(outbox.redis, "lrange", read_and_wait)
            return outbox.try_again(endpoint)

        def set_another_aside() -> None:
            names.append(put(delivery))
            delivery.work()

        assert try_again(set_another_aside) == (1, 0)
        assert [one.message.id for one in outbox.aside(endpoint)] == names[1:]
        assert try_again(lambda: outbox.try_again(endpoint)) == (0, 0), "somebody else was quicker"
    assert {name.decode() for name in outbox.redis.hkeys(f"{WEBHOOKS}message:{endpoint.name}")} == set(names)


def test_what_finds_no_room_to_be_sent_again_stays_set_aside(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with receive(say(410)) as receiver:
        delivery = opened(receiver.url)
        put(delivery)
        delivery.work()
    monkeypatch.setattr(outboxes, "MOST_WAITING", 1)
    put(delivery)
    assert delivery.outbox.try_again(delivery.endpoint) == (0, 1)
    assert len(delivery.outbox.aside(delivery.endpoint)) == 1
    delivery.outbox.redis.lpush(f"{WEBHOOKS}aside:{delivery.endpoint.name}", b"\xc1")
    assert delivery.outbox.try_again(delivery.endpoint) == (0, 2)
    assert "cannot be read" in delivery.outbox.aside(delivery.endpoint)[0].reason


def test_a_message_that_cannot_be_read_is_set_aside_and_holds_up_no_other(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with receive() as receiver:
        delivery = opened(receiver.url)
        spoiled, missing, sound = put(delivery), put(delivery), put(delivery)
        key = f"{WEBHOOKS}message:{delivery.endpoint.name}"
        delivery.outbox.redis.hset(key, spoiled, b"\xc1")
        delivery.outbox.redis.hdel(key, missing)
        assert delivery.work()
        assert not delivery.work()
        assert receiver.ids == [sound]
        assert (state(delivery).waiting, state(delivery).set_aside) == (0, 2)
        assert caplog.text.count("cannot be read, and is set aside") == 2
        aside = {one.message.id: one for one in delivery.outbox.aside(delivery.endpoint)}
        assert aside.keys() == {spoiled, missing}
        assert aside[spoiled].unread == b"\xc1"
        # Another release could read it.
        assert delivery.outbox.try_again(delivery.endpoint) == (1, 1)
        assert delivery.outbox.redis.hget(key, spoiled) == b"\xc1"


def test_a_crash_between_taking_and_noting_sends_it_once_more_under_the_same_id(opened: Open) -> None:
    with receive() as receiver:
        delivery = opened(receiver.url)
        name = put(delivery)
        note = delivery.outbox.note_delivered

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        delivery.outbox.note_delivered = crash  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            delivery.work()
        delivery.outbox.note_delivered = note  # type: ignore[method-assign]
        assert not delivery.work(), "the lease is not over"
        make_due(delivery)
        assert delivery.work()
        assert not delivery.work()
    assert receiver.ids == [name, name]


def test_too_many_waiting_are_dropped_and_counted(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_WAITING", 3)
    delivery = opened("https://ops.example/")
    flagged = [(str(number), make_message("account.flagged", {"id": number})) for number in range(5)]
    assert delivery.outbox.put_once(flagged[:2]) == 2
    assert delivery.outbox.put_once(flagged) == 1, "two are told of already, and there is room for one"
    assert (state(delivery).waiting, state(delivery).dropped) == (3, 2)
    name = put(delivery)
    assert (state(delivery).waiting, state(delivery).dropped) == (3, 3), "the oldest gives way"
    assert name.encode() in delivery.outbox.redis.hkeys(f"{WEBHOOKS}message:{delivery.endpoint.name}")


def test_each_endpoint_has_a_queue_of_its_own(opened: Open) -> None:
    with receive(say(500)) as bad, receive() as good:
        delivery = opened(f"{bad.url} {good.url}")
        other = Delivery(delivery.outbox, delivery.outbox.endpoints[1])
        name = put(delivery)
        assert (delivery.work(), other.work()) == (True, True)
    assert bad.ids == good.ids == [name]
    assert [one.waiting for one in delivery.outbox.states()] == [1, 0]


def test_tls_is_checked(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificates(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with receive(context=context) as receiver:
        delivery = opened(receiver.url)
        put(delivery)
        delivery.work()
        assert "CERTIFICATE_VERIFY_FAILED" in state(delivery).reason
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        make_due(delivery)
        delivery.work()
        assert state(delivery).sent == 0, "certificates are read once"
        with monkeypatch.context() as patch:
            again = Delivery(delivery.outbox, delivery.endpoint)
            patch.setattr(ssl, "create_default_context", None)
            make_due(again)
            again.work()
    assert len(receiver.requests) == 1
    assert state(delivery).sent == 1


def test_proxies_of_the_environment_are_not_asked(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as proxy, receive() as receiver:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        delivery = opened(receiver.url, limit=2.0)
        put(delivery)
        delivery.work()
    assert len(receiver.requests) == 1


def test_the_time_between_tries_grows_to_an_hour() -> None:
    assert delay_after(1, 0) == FIRST_DELAY
    assert delay_after(2, 0) == 3 * FIRST_DELAY
    assert delay_after(2, 1) == 1.5 * FIRST_DELAY
    assert delay_after(1000, 0) == LONGEST_DELAY


def test_what_is_no_account_goes_before_all_accounts(opened: Open) -> None:
    """Of accounts there may be thousands, and who waits for a service is to know now; the second time as well."""
    with receive(say(500)) as receiver:
        delivery = opened(receiver.url)
        told_of = [(str(number), make_message("account.flagged", {"id": number})) for number in range(3)]
        assert delivery.outbox.put_once(told_of) == 3
        put(delivery, "service.not_ready")
        assert delivery.work()
        assert [event["type"] for event in receiver.events] == ["service.not_ready"]
        assert state(delivery).failed == 1
        assert delivery.work()
        assert receiver.events[-1]["type"] == "account.flagged", "it waits for its turn, and holds up nobody"
        key = f"{WEBHOOKS}due:{delivery.endpoint.name}"
        for name, due in delivery.outbox.redis.zrange(key, 0, -1, withscores=True):
            delivery.outbox.redis.zadd(key, {name: due - 1e9})
        assert delivery.work()
        assert receiver.events[-1]["type"] == "service.not_ready"
