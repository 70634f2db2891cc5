"""Raw requests made from a seed, sound ones mutated, and what every answer to them has to be.

`make fuzz COUNT=1000000` sends so many to a service of its own; `tests/system/test_fuzz.py` sends 20,000 in CI. A
request depends on the seed and its number alone: `--start` goes on where a run was ended, `--start N --count 1` repeats
one.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import string
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import click
import psutil
from flask import Flask

from sb_api import create_app
from sb_api.config import Settings, load_settings
from sb_api.records import FREE_BYTES, MOST_TIMES
from tests.support import shapes
from tests.support.service import SHARED, Service, make_editors, make_verdicts, start_service

THREADS = 8
LONGEST_ANSWER = 20.0  # seconds
LONGEST_TRAINING = 160.0  # where a request may wait for those of all others: one after the other they train
GROWTH = 300 * 2**20  # bytes that a process may grow by, once it is warm
WARM_UP = 500  # requests
SHAPE_BYTES = 4 * 2**20  # of a body of each shape
SOUND_TRAININGS = 0.002  # of the requests to learn; each takes about a second

JUDGING = ("/predict", "/intents/predict", "/classify")
LEARNING = ("/train", "/intents/train")
WAITING = (*LEARNING, "/rollback", "/replay")
READING = ("/weights", "/quality", "/healthz", "/readyz", "/openapi.json", "/docs", "/docs/start.js")
METHODS = (
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "FOO",
    "X" * 500,
    "\xe9",
)

# Written into the JSON as they are.
TOKENS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-0", "-0.0", "1.0", "1e5", "1e-999", "0x10", "01", "+1", "tru", "nul"),
    *("9" * 400, "-" + "9" * 400, str(2**63), str(2**63 - 1), str(-(2**63)), str(2**64), "0." + "3" * 5_000),
    *(
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\u0000"',
        '"\\x41"',
        '"\n"',
        '"\\',
        "'a'",
        "undefined",
        "/* */ 1",
        "[1,]",
        "",
    ),
    *("[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000, "[" * 5_000, '{"id":1,"id":2}'),
)
DATES = (
    *("0001-01-01", "9999-12-31T23:59:59.999999", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *("2000-02-30", "2000-13-01", "0000-01-01", "2000-W01-1", "20000705T142208Z", "2000-07-05 14:22:08,5", "2000"),
    *("2000-01-01T24:00:00", "2000-01-01T00:00:60", "2000-01-01T00:00:00+24:00", "２０００-01-01", "-2000-01-01"),
)
TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\ufeff",
        "\u202e",
        "a" * 300,
        "\U0001f4a9" * 50,
        "e\u0301" * 100,
        "ß" * 70,
        "'; drop table x; --",
    ),
    *(
        "http://[",
        "http://[::1",
        "http://" + "a." * 200,
        "//@:0",
        "http://\ud83d.example".encode("utf-8", "replace").decode(),
    ),
    *("a@b", "@", "a@" + "b" * 300, "a@[1.2.3.4]", "<script>", "../../etc/passwd", "%00", "{{7*7}}", "x" * 70_000),
)
KEYS = ("id", "email", "website", "bio", "area", "privs", "gender", "birth_date", "member_since", "verdict", "reporter")
OTHER_KEYS = ("text", "intent", "model", "data", "to", "", "\0", "__proto__", "__class__", "ID", "x" * 1_000)
QUERIES = (
    *(
        "",
        "",
        "",
        "",
        "partial=true",
        "explain=true",
        "partial=1&explain=0",
        "partial=TRUE",
        "partial=",
        "partial=maybe",
    ),
    *("model=intent", "model=lodbrok", "model=", "model=../x", "model=%00", "model=%ff%fe", "partial=true&partial=x"),
    *("force=perhaps", "&&&", "=", "%", "partial=%", "a" * 5_000, "model=" + "x" * 3_000, "x[]=1", "\xff"),
)
TASKS = (
    *("0" * 32, "00000000-0000-0000-0000-000000000000", "{00000000000000000000000000000000}", "urn:uuid:" + "a" * 32),
    *("..", "../weights", "%2e%2e%2fweights", "%00", "%ff", "x" * 3_000, "１" * 32, "0_0" * 10 + "00", "%0a", "-" * 32),
    *("*", "{sb_api}:result:1", "%F0%9F%92%A9", "", "a/b", "null", "0x" + "0" * 30, "+" + "0" * 31, " " + "0" * 31),
)
VERSIONS = (
    *("previous", "original", "current", "", "previous ", "PREVIOUS", "../original", "000000-00000000", "original\0"),
    *("9" * 400, "x" * 10_000, "\ud83d\ude00", "000001-", "current_lodbrok.h5", "/etc/passwd", "*"),
)
HEADERS = (
    *(("CONTENT_TYPE", kind) for kind in ("", "text/plain", "application/x-www-form-urlencoded", "a" * 3_000, "\xff")),
    *(("CONTENT_TYPE", f"multipart/form-data; boundary={edge}") for edge in ("", "x", '"', "y" * 300)),
    ("CONTENT_TYPE", "application/json; charset=utf-16"),
    *(("HTTP_CONTENT_ENCODING", kind) for kind in ("gzip", "br", "identity", "nonsense")),
    *(("HTTP_PREFER", kind) for kind in ("wait=5", "respond-sync", "", "\xff")),
    *(("HTTP_IDEMPOTENCY_KEY", key) for key in ("", "a", "b", "k" * 50_000, "\xff\xfe", "\0")),
    *(("HTTP_ACCEPT", kind) for kind in ("text/html", "image/*;q=x", ";;;", "*/*")),
    *(
        ("HTTP_AUTHORIZATION", key)
        for key in ("", "Basic", "Basic !!!", "Basic Og==", "Bearer", "Bearer \xff", "Digest x=")
    ),
    *(("HTTP_RANGE", part) for part in ("bytes=0-1", "bytes=9999999999-", "bytes=-1", "x=1")),
    *(("HTTP_IF_NONE_MATCH", tag) for tag in ("*", '"', 'W/"x"', "x" * 5_000)),
    *(("HTTP_HOST", host) for host in ("", "a b", "[::1", "x" * 3_000, "example.org:99999")),
    *(("HTTP_COOKIE", cookie) for cookie in ("session=x", "=;=;", "\xff", "a=" + "b" * 5_000)),
    *(("HTTP_X_FORWARDED_FOR", host) for host in ("127.0.0.1", "x, y", "\xff")),
    *(("HTTP_EXPECT", "100-continue"), ("HTTP_UPGRADE", "websocket"), ("HTTP_X_HTTP_METHOD_OVERRIDE", "DELETE")),
    *(("CONTENT_LENGTH", size) for size in ("", "-1", "abc", "1", "999999999999", "1e3")),
)


@dataclass
class Request:
    """A request as a WSGI server passes it on; `path` is percent-encoded, `query` as it came over the wire."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, Any]:
        headers = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(self.body)), "HTTP_HOST": "localhost"}
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self.path.encode()).decode("latin-1"),
            "QUERY_STRING": self.query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **headers,
            **self.headers,
        }


class Maker:
    """Makes the request of a number."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed} {number}")
        self.raw: list[str] = []

    def make(self) -> Request:
        chance = self.random.random()
        if chance < 0.55:
            request = self._records(self.random.choice(JUDGING))
        elif chance < 0.75:
            request = self._records(self.random.choice(LEARNING))
        elif chance < 0.82:
            request = Request("POST", "/rollback", body=self._encode({"to": self._version()}))
        elif chance < 0.90:
            request = Request("GET", f"/get-result/{self.random.choice(TASKS)}")
        elif chance < 0.96:
            request = Request("GET", self.random.choice(READING))
        elif chance < 0.98:
            request = Request("POST", "/replay", query=f"force={self.random.choice(('x', '', '2', '%00'))}")
        else:
            request = Request(self.random.choice(METHODS), self._path())
        if self.random.random() < 0.05 and request.path != "/replay":
            request.method = self.random.choice(METHODS)
        if self.random.random() < 0.5 and request.path != "/replay":
            request.query = self.random.choice(QUERIES)
        while self.random.random() < 0.25:
            name, value = self.random.choice(HEADERS)
            request.headers[name] = value
            if value == "gzip" and self.random.random() < 0.7:
                request.body = gzip.compress(request.body, 1)
        return request

    def _records(self, path: str) -> Request:
        random = self.random
        messages = path.startswith("/intents") or (path == "/classify" and random.random() < 0.3)
        records = [self._message() if messages else self._editor() for _ in range(self._count())]
        sound = path not in LEARNING or random.random() < SOUND_TRAININGS
        if path in LEARNING:
            for record in records:
                record |= {"intent": "spam"} if messages else {"verdict": random.randrange(2)}
            if not sound:
                # At the very start, so that what is cut off or broken later does not leave a sound training.
                records.insert(0, {"id": None, "bio": {}})
        body: Any = records if random.random() < 0.5 else {str(key): record for key, record in enumerate(records)}
        if path == "/classify":
            body = {"model": "intent" if messages else "lodbrok", "data": body}
        for _ in range(random.choice((0, 0, 0, 1, 1, 2, 5)) if sound else random.randrange(3)):
            body = self._spoil(body)
        content = self._encode(body)
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            content = self._break(content)
        headers = {"HTTP_PREFER": "respond-async"} if random.random() < 0.1 else {}
        return Request("POST", path, body=content, headers=headers)

    def _count(self) -> int:
        return self.random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8, 20)) if self.random.random() < 0.995 else 600

    def _editor(self) -> dict[str, Any]:
        (editor,) = make_editors(1, self.random.randrange(10_000))
        for name in self.random.sample(KEYS[1:9], self.random.randrange(3)):
            dates = name.endswith(("date", "since"))
            editor[name] = self.random.choice(DATES if dates else TEXTS)
        return editor

    def _message(self) -> dict[str, Any]:
        return {"id": self.random.randrange(10_000), "text": self.random.choice(TEXTS) or "the page crashes"}

    def _version(self) -> Any:
        # A sound one is a rollback, which takes a while.
        return self.random.choice(VERSIONS if self.random.random() < 0.05 else VERSIONS[3:])

    def _path(self) -> str:
        paths = (
            "/",
            "//",
            "/predict/",
            "/../predict",
            "/%2e%2e",
            "/PREDICT",
            "/docs/../x",
            "/docs/%2e%2e%2fx",
            "/%ff",
            "*",
        )
        return self.random.choice((*paths, "/" + "a" * 5_000, "/static/x", "/docs/swagger-ui.css", *JUDGING))

    def _token(self, text: str) -> str:
        self.raw.append(text)
        return f"@raw {len(self.raw) - 1}@"

    def _value(self) -> Any:
        kind = self.random.randrange(6)
        if kind == 0:
            return self._token(self.random.choice(TOKENS))
        if kind == 1:
            return self.random.choice((None, True, False, 0, -1, 1.5, [], {}, [[]], {"id": 1}, 2**53 + 1))
        if kind == 2:
            return self.random.choice(DATES)
        if kind == 3:
            return "".join(map(chr, (self.random.randrange(0xD800) for _ in range(self.random.randrange(40)))))
        if kind == 4:
            return self.random.choice(string.printable) * self.random.choice((1, 10, 30_000))
        return self.random.choice(TEXTS)

    def _spoil(self, body: Any) -> Any:
        """The same with one value or key anywhere in it changed."""
        random = self.random
        if not isinstance(body, list | dict) or not body or random.random() < 0.1:
            return self._value()
        place = random.choice(list(body)) if isinstance(body, dict) else random.randrange(len(body))
        chance = random.random()
        if chance < 0.7:
            body[place] = self._spoil(body[place])
        elif isinstance(body, list):
            body.insert(place, body[random.randrange(len(body))])
        elif chance < 0.8:
            body[random.choice((*KEYS, *OTHER_KEYS))] = self._value()
        elif chance < 0.9:
            body[random.choice(OTHER_KEYS)] = body.pop(place)
        else:
            body[self._token(json.dumps(str(place)))] = self._value()  # the same key twice
        return body

    def _encode(self, body: Any) -> bytes:
        text = json.dumps(body, ensure_ascii=self.random.random() < 0.5)
        for number, raw in enumerate(self.raw):
            text = text.replace(f'"@raw {number}@"', raw)
        return text.encode("utf-8", "surrogatepass")

    def _break(self, content: bytes) -> bytes:
        """The same with some of its bytes changed."""
        random = self.random
        place = random.randrange(len(content) + 1)
        kind = random.randrange(11)
        if kind == 0:
            return content[:place]
        if kind == 1:
            return content[place:]
        if kind == 2:
            return content[:place] + random.randbytes(random.randrange(1, 9)) + content[place:]
        if kind == 3:
            return content[:place] + content[place + random.randrange(1, 20) :]
        if kind == 4:
            return content[:place] + content[max(0, place - random.randrange(1, 50)) :]
        if kind == 5:
            return (
                random.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b" \n\t", b"\x1e", b"[", b'{"0":', b")]}'\n"))
                + content
            )
        if kind == 6:
            return content + random.choice((b"\0", b"x", b"]", b"}", b"\n{}", content[:1_000], b" " * 1_000))
        if kind == 7:
            return content.decode("utf-8", "replace").encode(
                random.choice(("utf-16", "utf-32", "utf-7", "cp037")), "replace"
            )
        if kind == 8:
            bad = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe2\x82")
            return content[:place] + random.choice(bad) + content[place:]
        changed = bytearray(content)
        for _ in range(random.choice((1, 1, 4, 40)) if changed else 0):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        return bytes(changed)


def make_request(seed: int, number: int) -> Request:
    return Maker(seed, number).make()


class Finding(Exception):
    """An answer that must not be."""


def send(app: Flask, request: Request) -> str:
    """Send a request to the application; returns the status and, for an error, its type. Raises Finding."""
    started: list[Any] = []
    begin = time.monotonic()
    environ = request.environ()
    answer = app.wsgi_app(environ, lambda status, headers, *_: started.append((int(status[:3]), dict(headers))))
    content = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    took = time.monotonic() - begin
    status, headers = started[-1]
    if took > (LONGEST_TRAINING if request.path in WAITING else LONGEST_ANSWER):
        raise Finding(f"{took:.1f} s for a {status}")
    if status < 400:
        return str(status)
    if request.method == "HEAD" or request.path == "/readyz":
        return str(status)
    if headers["Content-Type"].startswith("text/html") and status < 500:
        return f"{status} page"
    try:
        problem = json.loads(content)
    except ValueError:
        raise Finding(f"{status} is not JSON: {content[:200]!r}") from None
    if headers["Content-Type"] != "application/problem+json" or problem["success"] is not False:
        raise Finding(f"{status} is no problem document: {content[:200]!r}")
    if problem["status"] != status or not problem["detail"]:
        raise Finding(f"{status} tells something else: {content[:200]!r}")
    kind = problem["type"].removeprefix("urn:sb_api:problem:")
    # Many tasks at once may fill the queue; nothing else may be wrong on our side.
    if status >= 500 and kind != "queue-full":
        raise Finding(f"{status}: {content[:300]!r}")
    return f"{status} {kind}"


def run(
    service: Service,
    app: Flask,
    seed: int,
    start: int,
    count: int,
    told: Callable[[int, Counter[str]], None] | None = None,
) -> Counter[str]:
    """Send the requests `start` to `start + count`; how many were answered with what. Raises Finding at the first
    that was not answered as it has to be, or when a process was lost or grew without end."""
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()
    numbers: Iterator[int] = iter(range(start, start + count))
    # The train process grows by what TensorFlow takes once it has loaded it, which is no leak.
    app.test_client().post("/train", json=make_verdicts(2), environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    processes = service.children()
    sizes: dict[int, int] = {}

    def work() -> None:
        for number in iter(lambda: _next(numbers, lock), None):
            request = make_request(seed, number)
            try:
                outcome = send(app, request)
            except Exception as error:
                with lock:
                    list(numbers)  # the others stop too
                raise Finding(f"request {number} of seed {seed}: {error!r}\n{str(request)[:2_000]}") from error
            with lock:
                outcomes[outcome] += 1
                done = outcomes.total()
                if done == WARM_UP:
                    sizes.update({process.pid: process.memory_info().rss for process in [psutil.Process(), *processes]})
            if told and done % 1_000 == 0:
                told(start + done, outcomes)

    with ThreadPoolExecutor(THREADS) as pool:
        for worker in [pool.submit(work) for _ in range(THREADS)]:
            worker.result()
    if lost := {process.pid for process in processes} - {process.pid for process in service.children()}:
        raise Finding(f"processes were lost: {lost}; {service.log[-3_000:]}")
    for pid, size in sizes.items():
        grown = psutil.Process(pid).memory_info().rss - size
        if grown > GROWTH:
            raise Finding(f"{' '.join(psutil.Process(pid).cmdline())} grew by {grown / 2**20:.0f} MiB")
    return outcomes


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def measure_shapes(size: int, limit: int) -> None:
    """Print how many times its size a body of each shape takes to decode. Raises Finding over what is promised."""
    for name, make in (shapes.TOO_MANY | shapes.FEW).items():
        body = make(size)
        peak = shapes.memory_of(body, limit)
        print(f"{peak / len(body):9.1f} times its {size / 2**20:g} MiB: {name}")
        if peak > FREE_BYTES + (MOST_TIMES + 1) * len(body):
            raise Finding(f"{name} takes {peak} bytes for {len(body)}")


@click.command()
@click.option("--count", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--start", default=0, show_default=True, help="The number of the first request.")
def main(count: int, seed: int, start: int) -> None:
    """Send raw requests made from a seed to a service of its own."""
    began = time.monotonic()
    try:
        measure_shapes(SHAPE_BYTES, Settings().max_records)
    except Finding as found:
        raise SystemExit(str(found)) from None

    def tell(number: int, outcomes: Counter[str]) -> None:
        rate = outcomes.total() / (time.monotonic() - began)
        print(f"{number} of {start + count}, {rate:.0f} a second; to go on: --seed {seed} --start {number - THREADS}")

    with tempfile.TemporaryDirectory(prefix="sb_api-fuzz-") as name:
        folder = Path(name)
        with start_service(folder / "state", folder, **SHARED) as service:
            service.wait_warm()
            app = create_app(load_settings({}, redis_url=service.redis_url, state_dir=str(service.state)))
            try:
                outcomes = run(service, app, seed, start, count, tell)
            except Finding as found:
                raise SystemExit(str(found)) from None
    for outcome, times in outcomes.most_common():
        print(f"{times:9} {outcome}")


if __name__ == "__main__":
    main()
