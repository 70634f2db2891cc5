"""What receivers are told: one event, as JSON. No detail of an account is in it but its id."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True):
    """An event on its way: its id, which stays the same however often it is sent, its `type` (`topic.what`), when it
    was made (seconds since 1970), and the JSON that is sent."""

    id: str
    type: str
    created: int
    body: bytes

    @property
    def topic(self) -> str:
        return self.type.partition(".")[0]


def make_message(kind: str, data: Mapping[str, Any]) -> Message:
    """An event of now: its type, and what there is to say of it."""
    now = int(time.time())
    timestamp = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
    body = msgspec.json.encode({"type": kind, "timestamp": timestamp, "data": data})
    return Message(f"msg_{secrets.token_hex(16)}", kind, now, body)


encode_message = msgspec.msgpack.Encoder().encode
decode_message = msgspec.msgpack.Decoder(Message).decode
