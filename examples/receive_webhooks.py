#!/usr/bin/env python3
"""A receiver of webhooks: checks who sent them, takes each once, and writes a line for each.

    SB_API_WEBHOOK_SECRET=/var/lib/sb_api/webhooks.secret  receive_webhooks.py --port 8080 --events events.jsonl

The service sends with SB_API_WEBHOOKS=http://127.0.0.1:8080/hook; on another machine put a web server with TLS before
this one. It is written after Standard Webhooks (https://www.standardwebhooks.com), which has libraries for many
languages, and needs nothing of sb_api.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import json
import os
import sys
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

TOLERANCE = 300  # seconds that a message may be old: who listened in cannot send it again later
LONGEST = 64 * 1024  # bytes
REMEMBERED = 10_000  # ids: what comes twice is taken once


def read_secrets(path: str) -> list[bytes]:
    """The secrets of a file, one a line: two while one takes the place of the other."""
    lines = Path(path).read_text("ascii").split()
    return [base64.b64decode(line.removeprefix("whsec_")) for line in lines]


def is_genuine(secrets: list[bytes], headers: dict[str, str], body: bytes, now: float) -> bool:
    """Whether a message was signed with one of the secrets, lately."""
    name, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (moment.isascii() and moment.isdigit() and abs(now - int(moment)) <= TOLERANCE):
        return False
    signed = f"{name}.{moment}.".encode() + body
    wanted = ["v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(one.encode(), other.encode()) for one in wanted for other in given)


class Handler(BaseHTTPRequestHandler):
    secrets: list[bytes]
    events: Path
    seen: ClassVar[OrderedDict[str, None]] = OrderedDict()
    timeout = 10  # seconds for whoever sends

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= LONGEST):
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_genuine(self.secrets, headers, body, time.time()):
            self.send_error(401)
            return
        name = headers["webhook-id"]
        if name not in self.seen:
            with self.events.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"id": name, **json.loads(body)}) + "\n")
            self.seen[name] = None
            if len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
        # Only now: what is not answered with 2xx comes again.
        self.send_response(204)
        self.end_headers()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--events", type=Path, required=True, help="JSON Lines; each message adds one")
    arguments = parser.parse_args()
    path = os.environ.get("SB_API_WEBHOOK_SECRET")
    if not path:
        print("SB_API_WEBHOOK_SECRET must name the file of the secrets", file=sys.stderr)
        return 1
    Handler.secrets, Handler.events = read_secrets(path), arguments.events
    with HTTPServer((arguments.host, arguments.port), Handler) as server:
        print(f"listening on {arguments.host}:{server.server_port}", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
