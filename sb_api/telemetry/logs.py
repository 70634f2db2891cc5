"""Log lines as text or JSON, each with the ids of the requests that it is about."""

from __future__ import annotations

import logging
import random
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

from sb_api.config import Settings
from sb_api.judgements import AuditEntry

IDS_NAMED = 8  # of the requests of a batch; a log line stays a line

_SOUND_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")
# Control characters, which move a terminal's cursor or set its clipboard, and those that turn or break a line of text.
_SEPARATORS = [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_CONTROL = {number: f"\\x{number:02x}" for number in [*range(32), *range(127, 160)] if chr(number) != "\t"} | {
    number: f"\\u{number:04x}" for number in _SEPARATORS
}
_CONTROL_IN_JSON = {number: f"\\u{number:04x}" for number in [*range(127, 160), *_SEPARATORS]}

# What is being worked on, in this thread or greenlet. A context variable is the one way to reach every log line.
_requests: ContextVar[tuple[str, ...]] = ContextVar("requests", default=())


def choose_request_id(sent: str | None) -> str:
    """The id that a client sent, if it is a short word of harmless characters; else a new one."""
    # Unique, but no secret: a system call for better random numbers would cost more than all else that is done here.
    return sent if sent and _SOUND_ID.match(sent) else f"{random.getrandbits(128):032x}"


def is_logged(request: str, share: float) -> bool:
    """Whether a request is in the share of those that are logged. Every process says the same of one request."""
    return share > 0 and zlib.crc32(request.encode()) < share * 2**32


def about_requests(ids: Iterable[str]) -> None:
    """From now on, log lines of this thread or greenlet are about these requests."""
    _requests.set(tuple(ids))


def log_entry(entry: AuditEntry) -> None:
    """Write an entry of the audit log as a line of this process's log."""
    fields = {name: value for name, value in msgspec.to_builtins(entry).items() if value not in ("", 0)}
    logging.getLogger("sb_api.audit").info("audit", extra={"fields": fields})


def current_request() -> str:
    """The id of the request that is being answered; "" outside of one."""
    return next(iter(_requests.get()), "")


@contextmanager
def logging_about(ids: Iterable[str]) -> Iterator[None]:
    """Log lines within are about these requests."""
    token = _requests.set(tuple(request for request in ids if request))
    try:
        yield
    finally:
        _requests.reset(token)


def configure_logging(settings: Settings) -> None:
    """Log to standard error as the settings say, unless the process has its own logging already."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
        root.addHandler(handler)
        root.setLevel(settings.log_level)
        server = logging.getLogger("gunicorn.error")
        server.handlers.clear()
        server.propagate = True


class TextFormatter(logging.Formatter):
    """One line for people. Control characters, which a client may have sent, are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        line = super().formatMessage(record).translate(_CONTROL)
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return line + fields.translate(_CONTROL)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, process, logger, message, and what more there is."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(document, enc_hook=str).decode().translate(_CONTROL_IN_JSON)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The `fields` given with the line, and the requests that it is about: one, or the first of a batch."""
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    ids = _requests.get()
    if len(ids) == 1:
        fields["request"] = ids[0]
    elif ids:
        fields |= {"requests": ",".join(ids[:IDS_NAMED]), "request_count": len(ids)}
    return fields
