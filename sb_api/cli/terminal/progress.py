"""How far a scan is: a bar with rate and time left on a terminal, else a line now and then; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import BinaryIO

import click

from sb_api.client.bulk import Committed
from sb_api.readers.batches import RecordFile

LINE_EVERY = 10.0  # seconds between two lines where there is no terminal


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a file of `size` bytes is done; its size is None where it has none, as a pipe;
    the source is where it is no file."""

    source: BinaryIO | None
    size: int | None
    records: RecordFile

    def of(self, committed: Committed) -> float | None:
        """From 0 to 1: of what was read, some still waits. None where it is not known."""
        if self.records.columns is not None and self.records.columns.rows:
            return committed.line / self.records.columns.rows
        if self.source is None or not self.size:
            return None
        read = self.source.tell() / self.size
        # A JSON document is counted in records alone: there what was read has to do.
        unpacked = self.records.unpacked
        done = committed.offset / unpacked if committed.offset and unpacked else 1.0
        return min(1.0, read * done)


@dataclass(slots=True)
class Pace:
    """How fast a scan is since it was begun, or taken up again."""

    share: Share
    begun: Committed
    started: float = field(default_factory=time.monotonic)
    share_at_start: float | None = None
    last_line: float = field(default_factory=time.monotonic)

    def describe(self, committed: Committed) -> tuple[str, float, str]:
        """How many are done and how fast, the share that is, and the time left."""
        now, elapsed = self.share.of(committed), max(1e-9, time.monotonic() - self.started)
        if self.share_at_start is None:
            self.share_at_start = (self.share.of(self.begun) or 0.0) if self.begun.line else 0.0
        done = committed.judged + committed.faults - self.begun.judged - self.begun.faults
        speed = f"{committed.judged:,} judged, {committed.faults:,} wrong, {done / elapsed:,.0f}/s"
        if now is None or now <= self.share_at_start:
            return speed, now or 0.0, ""
        left = timedelta(seconds=round(elapsed * (1 - now) / (now - self.share_at_start)))
        return speed, now, f"{left} left"

    def print_line(self, committed: Committed) -> None:
        """Print a line, if the last one is some time ago."""
        if time.monotonic() - self.last_line < LINE_EVERY:
            return
        self.last_line = time.monotonic()
        speed, _, left = self.describe(committed)
        click.echo(f"{speed}, {left}" if left else speed, err=True)


@contextmanager
def progress(share: Share, begun: Committed) -> Iterator[Callable[[Committed], None]]:
    """Yields what is to be called after each batch."""
    pace = Pace(share, begun)
    if not sys.stderr.isatty():
        yield pace.print_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0 if share.of(begun) is not None else None)

        def draw(committed: Committed) -> None:
            speed, done, left = pace.describe(committed)
            bar.update(task, completed=done, description=f"{speed}  {left}")

        yield draw
