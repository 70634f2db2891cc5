"""A process that sends requests when they are due, whether or not earlier ones were answered.

It reads what to do from standard input, a JSON object, says `ready`, reads the moment to begin, and prints what became
of the requests. A process of its own, so that whoever measures is not slowed down by sending.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import http.client
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import gevent


def send(order: dict[str, Any], start: float) -> dict[str, list[Any]]:
    """Requests at `rate` a second for so many `seconds` over so many `connections`, of the `bodies` in turn, with
    `records` each. The seconds that accepted and refused ones took, and what was answered otherwise."""
    accepted: list[float] = []
    refused: list[float] = []
    others: list[str] = []
    host, bodies, end = urlsplit(order["address"]).netloc, order["bodies"], start + order["seconds"]

    def client(turns: Iterator[int]) -> None:
        connection = http.client.HTTPConnection(host, timeout=60)
        for turn in turns:
            due = start + turn / order["rate"]
            gevent.sleep(max(0.0, due - time.time()))
            began = time.time()
            if began > end:
                return
            try:
                connection.request("POST", "/predict", bodies[turn % len(bodies)], {"Content-Type": "application/json"})
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                others.append(repr(error))
                connection.close()
                continue
            took = time.time() - began
            if response.status == 200 and len(json.loads(content)["scores"]) == order["records"]:
                accepted.append(took)
            elif response.status == 503 and int(response.headers.get("Retry-After", "0")) > 0:
                refused.append(took)
            else:
                others.append(f"{response.status} {content[:200]!r}")

    turns = iter(range(int(order["rate"] * order["seconds"])))
    gevent.joinall([gevent.spawn(client, turns) for _ in range(order["connections"])])
    return {"accepted": accepted, "refused": refused, "others": others}


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    print("ready", flush=True)
    print(json.dumps(send(given, float(sys.stdin.readline()))))
