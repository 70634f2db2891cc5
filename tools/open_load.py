"""A process that sends requests when they are due, whether or not earlier ones were answered.

It reads what to do from standard input, a JSON object, says `ready`, reads the moment to begin, and prints what became
of the requests. A process of its own, so that whoever measures is not slowed down by sending; and on plain sockets,
because whatever the sender takes of the processor, the service that shares it has not.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import gevent


class Connection:
    """One HTTP connection that is kept."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.server = (parts.hostname, parts.port)
        self.head = f"POST /predict HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self.socket: socket.socket | None = None

    def post(self, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of the answer. Raises OSError when the connection is lost."""
        if self.socket is None:
            self.socket = socket.create_connection(self.server, timeout=60)
        try:
            self.socket.sendall(f"{self.head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            got = b""
            while b"\r\n\r\n" not in got:
                got += self._receive()
            head, _, content = got.partition(b"\r\n\r\n")
            status, *lines = head.split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            while len(content) < int(headers[b"content-length"]):
                content += self._receive()
            return int(status.split()[1]), headers, content
        except OSError:
            self.socket.close()
            self.socket = None
            raise

    def _receive(self) -> bytes:
        assert self.socket is not None
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionResetError("the server hung up")
        return received


def send(order: dict[str, Any], start: float) -> dict[str, list[Any]]:
    """Requests at `rate` a second for so many `seconds` over so many `connections`, of the `bodies` in turn, with
    `records` each. The seconds that accepted and refused ones took, and what was answered otherwise."""
    accepted: list[float] = []
    refused: list[float] = []
    others: list[str] = []
    bodies, end = [body.encode() for body in order["bodies"]], start + order["seconds"]

    def client(turns: Iterator[int]) -> None:
        connection = Connection(order["address"])
        for turn in turns:
            due = start + turn / order["rate"]
            gevent.sleep(max(0.0, due - time.time()))
            began = time.time()
            if began > end:
                return
            try:
                status, headers, content = connection.post(bodies[turn % len(bodies)])
            except OSError as error:
                others.append(repr(error))
                continue
            took = time.time() - began
            if status == 200 and len(json.loads(content)["scores"]) == order["records"]:
                accepted.append(took)
            elif status == 503 and int(headers.get(b"retry-after", b"0")) > 0:
                refused.append(took)
            else:
                others.append(f"{status} {content[:200]!r}")

    turns = iter(range(int(order["rate"] * order["seconds"])))
    gevent.joinall([gevent.spawn(client, turns) for _ in range(order["connections"])])
    return {"accepted": accepted, "refused": refused, "others": others}


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    print("ready", flush=True)
    print(json.dumps(send(given, float(sys.stdin.readline()))))
