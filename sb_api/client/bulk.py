"""A scan judges a whole file and may be broken off at any instant: begun again, it goes on where its results end.

Beside the results lies a journal. Each batch's results are appended first, then one line of the journal says how far
the input has come and how long the files are. Whoever begins again cuts the files to what the journal's last line says.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec

from sb_api.client.batching import IN_FLIGHT, in_order
from sb_api.client.rows import Fault, Judgement
from sb_api.errors import InvalidParameter, Unavailable
from sb_api.readers.rows import Batch, Position, WrongRow

ResultFormat = Literal["jsonl", "csv"]
SYNC_EVERY = 1.0  # seconds; after a power cut no more than that is judged again
COLUMNS = ("id", "prediction", "score", "band", "weights")


class Committed(msgspec.Struct, frozen=True):
    """How far a scan is: the place in its input, the lengths of its files in bytes, and how many rows it did."""

    line: int = 0
    offset: int = 0
    results: int = 0
    wrong: int = 0
    judged: int = 0
    faults: int = 0


class Identity(msgspec.Struct, frozen=True):
    """What a journal is of: a scan with another one is another scan."""

    input: str
    format: str
    columns: tuple[str, ...]
    model: str
    explain: bool
    results: ResultFormat
    encoding: str = ""  # that was asked for


@dataclass
class Output:
    """Where results and wrong rows go. `wrong` may be none: then they are counted alone."""

    results: BinaryIO
    wrong: BinaryIO | None
    format: ResultFormat
    committed: Committed
    journal: BinaryIO | None = None
    synced: float = 0.0
    first_fault: str = ""  # for whoever keeps no file of them

    def append(self, batch: Batch, outcomes: Sequence[Judgement | Fault]) -> None:
        """Store the outcomes of a batch and say in the journal that they are."""
        judged = [outcome for outcome in outcomes if isinstance(outcome, Judgement)]
        content = (b"" if self.committed.results else header(self.format)) + encode(judged, self.format)
        faults, first = encode_wrong(batch, outcomes)
        self.first_fault = self.first_fault or first
        if faults and self.wrong is not None:
            self.wrong.write(faults)
            self.wrong.flush()
        self.results.write(content)
        self.results.flush()
        before = self.committed
        self.committed = Committed(
            batch.end.line,
            batch.end.offset,
            before.results + len(content),
            before.wrong + len(faults),
            before.judged + len(judged),
            before.faults + len(outcomes) - len(judged) + len(batch.wrong),
        )
        if self.journal is not None:
            self.journal.write(msgspec.json.encode(self.committed) + b"\n")
            self.journal.flush()
            if time.monotonic() - self.synced > SYNC_EVERY:
                self.sync()

    def sync(self) -> None:
        """Have what was written outlive a power cut, results first."""
        for file in (self.results, self.wrong, self.journal):
            if file is not None and self.journal is not None:
                os.fsync(file.fileno())
        self.synced = time.monotonic()


def header(result_format: ResultFormat) -> bytes:
    """What stands before all results."""
    return f"{','.join(COLUMNS)}\r\n".encode() if result_format == "csv" else b""


def encode(judgements: Sequence[Judgement], result_format: ResultFormat) -> bytes:
    """Judgements as JSON Lines, or as rows of CSV in which the score of a message is JSON."""
    if result_format == "jsonl":
        return msgspec.json.Encoder().encode_lines(judgements)
    text = io.StringIO()
    csv.writer(text).writerows(
        (
            one.id,
            one.prediction,
            one.score if isinstance(one.score, float) else msgspec.json.encode(one.score).decode(),
            one.band,
            one.weights,
        )
        for one in judgements
    )
    return text.getvalue().encode()


def encode_wrong(batch: Batch, outcomes: Sequence[Judgement | Fault]) -> tuple[bytes, str]:
    """The wrong rows of a batch, in their order, as JSON Lines; and what is wrong with the first one."""
    if not batch.wrong and not any(isinstance(outcome, Fault) for outcome in outcomes):
        return b"", ""
    texts = batch.texts or batch.rows
    refused = [
        WrongRow(batch.lines[fault.row], fault.detail, texts[fault.row], fault.field)
        for fault in outcomes
        if isinstance(fault, Fault)
    ]
    wrong = sorted([*batch.wrong, *refused], key=lambda row: row.line)
    lines = msgspec.json.Encoder().encode_lines([row.as_document() for row in wrong])
    return lines, f"line {wrong[0].line}: {f'{wrong[0].field} {wrong[0].detail}'.lstrip()}"


class Sink(Protocol):
    """Where the outcomes of a scan go, batch by batch, and how far it has come."""

    committed: Committed
    first_fault: str

    def append(self, batch: Batch, outcomes: Sequence[Judgement | Fault], /) -> None: ...
    def sync(self) -> None: ...


def scan(
    judge: Callable[[Sequence[bytes]], list[Judgement | Fault]],
    batches: Iterator[Batch],
    output: Sink,
    *,
    in_flight: int = IN_FLIGHT,
    stopping: threading.Event | None = None,
    on_batch: Callable[[Committed], None] = lambda _: None,
) -> bool:
    """Have `judge`, in `in_flight` threads, judge the rows of batches, and store what comes of them, in order; whether
    all were, or `stopping` came first.

    Raises what `judge` raises; what is in `output` then is whole.
    """
    stop = stopping or threading.Event()

    def going_on() -> Iterator[Batch]:
        for batch in batches:
            if stop.is_set():
                return
            yield batch

    def judged(batch: Batch) -> tuple[Batch, list[Judgement | Fault]]:
        return batch, judge(batch.rows) if batch.rows else []

    try:
        for batch, outcomes in in_order(judged, going_on(), in_flight):
            output.append(batch, outcomes)
            on_batch(output.committed)
    except Unavailable:
        if not stop.is_set():
            raise
    finally:
        output.sync()
    return not stop.is_set()


def fingerprint(source: BinaryIO) -> str:
    """What tells one input file from another: its length and how it begins. Leaves it at its start."""
    start = source.read(2**16)
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return f"{size}-{hashlib.sha256(start).hexdigest()[:16]}"


@contextmanager
def open_output(path: Path, wrong: Path, identity: Identity, *, restart: bool = False) -> Iterator[Output]:
    """The files of a scan, readable by their owner alone, cut to what the journal says is done; begun anew with
    `restart`. When all is done, `finish` takes the journal away.

    Raises InvalidParameter when the results are of another scan, or another process is at work on them, or when a path
    is that of something else than a file, such as a device, which cannot be cut to a length.
    """
    for target in (path, wrong):
        if target.exists() and not target.is_file():
            raise InvalidParameter(f"{target} is no regular file, so that a scan cannot go on in it; name another one.")
    journal_path = journal_of(path)
    anew = restart or not journal_path.exists()
    if anew and not restart and path.exists() and path.stat().st_size:
        raise InvalidParameter(f"{path} is there already and of no scan that was broken off; see --restart.")
    with ExitStack() as files:
        journal = files.enter_context(_open(journal_path))
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidParameter(f"Another process writes to {path}; let it end, or choose another file.") from None
        if anew:
            journal.truncate(0)
        results, faults = files.enter_context(_open(path)), files.enter_context(_open(wrong))
        committed, length = _read_journal(journal, identity, _size(results), _size(faults), path)
        for file, size in ((results, committed.results), (faults, committed.wrong), (journal, length)):
            file.truncate(size)
            file.seek(size)
        if not length:
            journal.write(msgspec.json.encode(identity) + b"\n")
            journal.flush()
        yield Output(results, faults, identity.results, committed, journal)


def finish(path: Path, wrong: Path) -> None:
    """Take away what only a scan that is not done needs."""
    if wrong.stat().st_size == 0:
        wrong.unlink()
    journal_of(path).unlink()


def identity_of(path: Path) -> Identity | None:
    """What the scan with the results at `path`, which was broken off, is of; none when there is no such scan."""
    try:
        return msgspec.json.decode(journal_of(path).read_bytes().partition(b"\n")[0], type=Identity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def journal_of(path: Path) -> Path:
    """Where the journal of the results at `path` is."""
    return path.with_name(f"{path.name}.journal")


def start_of(committed: Committed) -> Position:
    return Position(committed.line, committed.offset)


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _read_journal(journal: BinaryIO, identity: Identity, results: int, wrong: int, path: Path) -> tuple[Committed, int]:
    """The last line that the files bear out, and where it ends; after a power cut a later one may have outlived what it
    tells of. A line without its end was cut off while it was written."""
    first, *lines = journal.read().split(b"\n")[:-1] or [b""]
    try:
        if msgspec.json.decode(first, type=Identity) != identity:
            raise InvalidParameter(
                f"{path} is of a scan of another file, or with other options, that was broken off; choose another file "
                "for these results, or --restart."
            )
    except msgspec.DecodeError:
        return Committed(), 0
    while lines:
        committed = msgspec.json.decode(lines[-1], type=Committed)
        if committed.results <= results and committed.wrong <= wrong:
            break
        lines.pop()
    else:
        committed = Committed()
    return committed, sum(len(line) + 1 for line in (first, *lines))
