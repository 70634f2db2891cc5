"""Raw requests made from a seed: sound ones, mutated."""

from __future__ import annotations

import gzip
import io
import json
import random
import string
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from sb_api.records import EDITORS, RECORD_TYPES, field_of_label
from tests.support.service import make_editors

SOUND_TRAININGS = 0.002  # of the requests to learn; each takes about a second

PREDICT, TRAIN = ({f"{each.path}/{call}": each for each in RECORD_TYPES.values()} for call in ("predict", "train"))
JUDGING = (*PREDICT, "/classify")
LEARNING = tuple(TRAIN)
# What the classes of messages are called in JSON: `intent` and the like.
CLASS_FIELDS = tuple(field_of_label(each.verdict) for each in RECORD_TYPES.values() if each.of_messages)
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
OTHER_KEYS = (*CLASS_FIELDS, "text", "model", "data", "to", "", "\0", "__proto__", "__class__", "ID", "x" * 1_000)
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
    *(f"model={name}" for name in RECORD_TYPES),
    *("model=", "model=../x", "model=%00", "model=%ff%fe", "partial=true&partial=x"),
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
        records_of = (PREDICT | TRAIN).get(path) or random.choice((EDITORS, *RECORD_TYPES.values()))
        records = [self._message() if records_of.of_messages else self._editor() for _ in range(self._count())]
        sound = path not in LEARNING or random.random() < SOUND_TRAININGS
        if path in LEARNING:
            for record in records:
                if records_of.of_messages:
                    record[field_of_label(records_of.verdict)] = records_of.example
                else:
                    record["verdict"] = random.randrange(2)
            if not sound:
                # At the very start, so that what is cut off or broken later does not leave a sound training.
                records.insert(0, {"id": None, "bio": {}})
        body: Any = records if random.random() < 0.5 else {str(key): record for key, record in enumerate(records)}
        if path == "/classify":
            body = {"model": records_of.name, "data": body}
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
