"""Which request costs the service most for each byte of it? A seeded search over what each role may send."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import requests

from tests.support.service import make_editors
from tools.meter import Cost, Meter, size_of

REVIEW_PATHS = ("/review?order=useful&limit=100", "/page/review?order=useful", "/page/review.csv")
BOUND = 0.05  # seconds of processor time for each kB of a request, beyond the work of its records
PACKET = 1000  # bytes that a request counts as at least: fewer take as much of a network
# The documented work: seconds of processor time of a request, and of each of its records.
WORK: Mapping[str, tuple[float, float]] = {
    "predict": (0.01, 0.005),
    "explain": (0.02, 0.06),
    "train": (4.0, 0.5),
    "rollback": (1.0, 0.0),
    "read": (0.05, 0.0),
}
TIMES = 3  # that a request is sent to be measured: the least of them counts, for others use the machine too


@dataclass(frozen=True)
class Attempt:
    """A request, what work it is, and how many records it has."""

    name: str
    role: str
    path: str
    work: str
    method: str = "POST"
    records: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return max(PACKET, size_of(self.method, self.path, self.headers, self.body))

    @property
    def allowed(self) -> float:
        """Seconds of processor time."""
        fixed, each = WORK[self.work]
        return fixed + each * self.records + BOUND * self.size / 1000


@dataclass(frozen=True)
class Finding:
    """What an attempt cost, and how it was answered."""

    attempt: Attempt
    cost: Cost
    status: int

    @property
    def share(self) -> float:
        """Of the processor time that is allowed; above 1 the bound is broken."""
        return self.cost.seconds / self.attempt.allowed

    def per_kilobyte(self, of: str) -> float:
        return float(getattr(self.cost, of) / (self.attempt.size / 1000))


def texts(chance: random.Random, size: int) -> dict[str, str]:
    """Texts of about so many characters that are each hard for something that looks at texts."""

    def times(piece: str) -> str:
        return (piece * (size // len(piece) + 1))[:size]

    words = " ".join("".join(chance.choices("abcdefghij", k=chance.randint(1, 9))) for _ in range(size // 6))
    return {
        "words": words[:size],
        "digits and blanks": times("1234 order" + " " * 40),
        "spaces": times(" "),
        "almost addresses": times("1.1.1.1x "),
        "dots": times("a."),
        "hosts": times("http://a.b.c.d.example/x "),
        "half a host": "http://" + times("a-"),
        "e-mail": times("a@b.c "),
        "at signs": times("@"),
        "what NFKC lengthens": times("\ufdfa"),
        "marks": "a" + times("\u0301"),
        "wide": times("\U0001d41a\uff41"),
        "hidden": times("v\u200bi\u200ba\u200bg\u200br\u200ba\u200b "),
        "apart": times("v i a g r a  c.a.s.i.n.o "),
        "look-alikes": times("\u0430\u0440\u0435\u0445 "),
        "numbers": times("0123456789"),
        "punctuation": times("!#$%&()*+,-./:;<=>?[]^_`{|}~"),
        "markup": times("<a href='http://x.example'>[url=http://y.example]"),
        "encoded": times("%68%74%74%70&#104;&#x74;"),
        "brackets": times("[["),
        "one long word": times("q"),
        "lines": times("\n\r\n"),
        "right to left": times("\u202eabc"),
        "han": "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(size)),
        "any": "".join(chr(chance.randrange(0x20, 0xD800)) for _ in range(size)),
        "COPY": "COPY " + times("("),
    }


def _records(chance: random.Random, size: int, count: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, text in texts(chance, size).items():
        yield f"bio of {name}", [{"id": number, "bio": text} for number in range(count)]
    for name in ("half a host", "dots", "what NFKC lengthens", "at signs", "any"):
        short = texts(chance, 250)[name]
        yield (
            f"e-mail and website of {name}",
            [{**one, "email": f"a@{short}", "website": f"http://{short}"} for one in make_editors(count)],
        )


def make_attempts(seed: int, size: int, few: bool = False) -> list[Attempt]:
    """What each role may send, in texts of about `size` characters; `few` of it for a small run."""
    chance = random.Random(seed)
    counts = (1,) if few else (1, 60)
    found = []
    for count in counts:
        for name, records in _records(chance, size // count, count):
            body = json.dumps(records).encode()
            named = f"{count} x {name}" if count > 1 else name
            found.append(Attempt(named, "predict", "/predict", "predict", records=count, body=body))
            if count == 1 and not few:
                found.append(
                    Attempt(f"explained {named}", "predict", "/predict?explain=true", "explain", "POST", 1, body)
                )
    for name, text in texts(chance, size).items():
        messages = json.dumps([{"id": 1, "text": f"x{text}"[:20_000]}]).encode()
        found.append(Attempt(f"message of {name}", "predict", "/intents/predict", "predict", records=1, body=messages))
    found += [
        Attempt(f"GET {path}", role, path, "read", "GET")
        for role, paths in {
            "nobody": ("/healthz", "/readyz", "/openapi.json", "/docs", "/page/sign-in", "/none", "/metrics"),
            "predict": ("/quality", "/weights", "/metrics", "/page/quality", "/page/weights", "/page/service"),
            "train": ("/verdicts?limit=1000", "/page/text", *REVIEW_PATHS),
        }.items()
        for path in paths
    ]
    wrong = base64.b64encode(b"admin:" + b"x" * 40).decode()
    found += [
        Attempt("a wrong password", "nobody", "/predict", "read", headers={"Authorization": f"Basic {wrong}"}),
        Attempt("a wrong token", "nobody", "/predict", "read", headers={"Authorization": "Bearer admin." + "x" * 43}),
        Attempt("16 kB for nobody", "nobody", "/page/sign-in", "read", body=b"name=" + b"%41" * 5000),
        Attempt("brackets", "predict", "/predict", "read", body=b"[" * size),
        Attempt("numbers", "predict", "/predict", "read", body=b"[" + b"1," * (size // 2)),
        Attempt("keys", "predict", "/predict", "read", body=b"{" + b'"a":{},' * (size // 7)),
        Attempt("escapes", "predict", "/predict", "read", body=b'["' + b"\\u0041" * (size // 6)),
        Attempt("no rollback", "admin", "/rollback", "rollback", body=b'{"to": "000009-00000000"}'),
    ]
    return found


def send(address: str, attempt: Attempt, secrets: Mapping[str, str]) -> int:
    """Send a request as its role; returns the status."""
    headers = dict(attempt.headers)
    if attempt.role in secrets:
        headers["Authorization"] = f"Bearer {secrets[attempt.role]}"
    answer = requests.request(
        attempt.method, address + attempt.path, data=attempt.body, headers=headers, timeout=120, allow_redirects=False
    )
    return answer.status_code


def measure(meter: Meter, attempt: Attempt, secrets: Mapping[str, str], times: int = TIMES) -> Finding:
    """Send a request some times; what it cost when it cost least."""
    costs: list[Cost] = []
    status = 0
    for _ in range(times):
        with meter.measured(costs):
            status = send(meter.service.address, attempt, secrets)
    best = min(costs, key=lambda cost: cost.seconds)
    return Finding(attempt, replace(best, memory=min(cost.memory for cost in costs)), status)


def search(
    meter: Meter, attempts: Sequence[Attempt], secrets: Mapping[str, str], told: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """Measure every attempt once, and those again that cost the largest share of what is allowed."""
    found = [measure(meter, attempt, secrets, 1) for attempt in attempts]
    found.sort(key=lambda finding: -finding.share)
    again = [measure(meter, finding.attempt, secrets) for finding in found[:8]]
    checked = [min(pair, key=lambda finding: finding.cost.seconds) for pair in zip(found, again, strict=False)]
    results = sorted([*checked, *found[8:]], key=lambda finding: -finding.share)
    for finding in results if told else ():
        told(finding)
    return results
