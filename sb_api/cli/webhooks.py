"""The commands of webhooks: see how they are, try them, send them."""

from __future__ import annotations

import sys
import time

import click

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.output import JSON, count, read_settings, show, show_line, tell, wants_json
from sb_api.config import PREFIX, Settings
from sb_api.errors import InvalidParameter, InvalidSettings, did_you_mean
from sb_api.webhooks.endpoints import Endpoint, parse_endpoints

ENDPOINT = click.argument("endpoint", required=False)


@click.group()
def webhooks() -> None:
    """Who is told of events by HTTP (SB_API_WEBHOOKS)."""


@webhooks.command("deliver")
@JSON
def deliver() -> None:
    """Start the process that sends webhooks; `run` starts one by itself."""
    from sb_api.webhooks.process import deliver_process

    deliver_process(read_settings())


@webhooks.command("list")
@JSON
def list_endpoints() -> None:
    """Show who is told of what, what waits for them, and what was given up.

    A URL may hold a secret, so endpoints go by names, which are made of their hosts.
    """
    from sb_api.broker.connection import connect, unavailable_when_lost
    from sb_api.webhooks.outbox import Outbox

    settings = read_settings()
    endpoints = _endpoints(settings)
    with unavailable_when_lost(), connect(settings) as client:
        outbox = Outbox(client, settings, endpoints)
        states = outbox.states()
        aside = {endpoint.name: outbox.aside(endpoint) for endpoint in endpoints}
    if wants_json():
        given_up = {
            name: [{"id": one.message.id, "type": one.message.type, **_about(one.moment, one.reason)} for one in some]
            for name, some in aside.items()
        }
        show({"success": True, "endpoints": states, "set_aside": given_up})
        return
    for state in states:
        waiting = f"{state.waiting:,} waiting" + (f", the oldest for {state.oldest:.0f} s" if state.waiting else "")
        show_line(f"{state.endpoint}  {', '.join(state.topics)}")
        show_line(f"  {waiting}; {state.sent:,} sent, {state.dropped:,} dropped, {state.set_aside:,} given up")
        if state.failed_at > state.sent_at:
            show_line(f"  not taken {_moment(state.failed_at)}: {state.reason}")
        for one in aside[state.endpoint]:
            show_line(f"  given up {_moment(one.moment)}: {one.message.type} {one.message.id}: {one.reason}")


@webhooks.command("test")
@ENDPOINT
@JSON
def test(endpoint: str | None) -> None:
    """Send `webhook.test` to ENDPOINT, or to all, at once and from here. The exit code is 1 if any does not take it."""
    import redis

    from sb_api.broker.connection import connect
    from sb_api.webhooks.messages import make_message
    from sb_api.webhooks.outbox import Outbox
    from sb_api.webhooks.sending import send, trusted
    from sb_api.webhooks.signing import load_secrets, make_secret

    settings = read_settings()
    endpoints = _endpoints(settings, endpoint)
    try:
        with connect(settings) as client:
            Outbox(client, settings).prepare_secret()
    except redis.RedisError:  # before the service is started for the first time
        make_secret(settings.webhook_secret_file)
    keys, message, tls = load_secrets(settings.webhook_secret_file), make_message("webhook.test", {}), trusted()
    attempts = {one.name: send(one, message, keys, tls).reason for one in endpoints}
    if wants_json():
        show({"success": not any(attempts.values()), "id": message.id, "not_taken": attempts})
    else:
        for name, reason in attempts.items():
            show_line(f"{name}: {f'not taken: {reason}' if reason else 'taken'}")
    if any(attempts.values()):
        sys.exit(exit_codes.FAILED)


@webhooks.command("retry")
@ENDPOINT
@JSON
def retry(endpoint: str | None) -> None:
    """Have what was given up of ENDPOINT, or of all, sent again."""
    from sb_api.broker.connection import connect, unavailable_when_lost
    from sb_api.webhooks.outbox import Outbox

    settings = read_settings()
    endpoints = _endpoints(settings, endpoint)
    with unavailable_when_lost(), connect(settings) as client:
        outbox = Outbox(client, settings, endpoints)
        retried = [outbox.try_again(one) for one in endpoints]
    again, left = sum(one.again for one in retried), sum(one.left for one in retried)
    stay = f" {left:,} cannot be: too many wait, or nothing of them can be read." if left else ""
    tell({"success": True, "again": again, "left": left}, f"{count(again, 'webhook')} will be sent again.{stay}")


def _endpoints(settings: Settings, name: str | None = None) -> list[Endpoint]:
    """Those of the settings, or the one that is named. Raises InvalidSettings where there is none, InvalidParameter."""
    endpoints = parse_endpoints(settings)
    if not endpoints:
        raise InvalidSettings(f"{PREFIX}WEBHOOKS names no URL.")
    if name is None:
        return endpoints
    if found := [endpoint for endpoint in endpoints if endpoint.name == name]:
        return found
    asks = did_you_mean(name, [endpoint.name for endpoint in endpoints])
    raise InvalidParameter(f"No endpoint is called {name[:100]!r}{asks or '; `sb-api webhooks list` names them.'}")


def _about(moment: int, reason: str) -> dict[str, str]:
    return {"moment": _moment(moment), "reason": reason}


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
