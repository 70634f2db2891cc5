"""What the commands show on a terminal, seen through a real one: a bar that moves, a screen that lives."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import wait_until
from tests.support.service import ROOT, Service, clean_environment, make_editors


class Terminal:
    """A command on a terminal of its own, and all that it has written there."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self._screen = screen
        self._written = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                block = os.read(self._screen, 2**16)
            except OSError:  # what Linux says when the other end is closed
                return
            if not block:
                return
            self._written += block

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._written.decode("utf-8", "replace"))

    @property
    def codes(self) -> str:
        return self._written.decode("utf-8", "replace")

    def wait(self) -> int:
        code = self.process.wait(60)
        self._reader.join(10)
        return code


@contextmanager
def terminal(service: Service, *arguments: object) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    environment = clean_environment(SB_API_URL=service.address, TERM="xterm", COLUMNS="120", LINES="40")
    process = subprocess.Popen(
        # Who runs tests in the background has SIGINT ignored, and passes that on.
        ["env", "--default-signal=INT", sys.executable, "-m", "sb_api", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = Terminal(process, ours)
    try:
        yield shown
    finally:
        process.kill()
        shown.wait()
        os.close(ours)


def test_a_scan_shows_a_bar_with_the_rate_and_the_time_left(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"".join(json.dumps(editor).encode() + b"\n" for editor in make_editors(3000)))
    with terminal(service, "predict", file, "-o", tmp_path / "out", "--rows", 10, "--in-flight", 1) as shown:
        assert shown.wait() == 0
        moving = re.findall(r"(\d+)% ([\d,]+) judged, 0 wrong, ([\d,]+)/s\s+(\d+:\d\d:\d\d) left", shown.text)
    shares = [int(share) for share, *_ in moving]
    judged = [int(number.replace(",", "")) for _, number, *_ in moving]
    assert shares == sorted(shares)
    assert len(set(shares)) > 2  # though the whole file is read at once, it is not done at once
    assert all(abs(share - 100 * number / 3000) < 5 for share, number in zip(shares, judged, strict=True))
    assert "3000 judged." in shown.text


def test_top_is_a_screen_that_is_drawn_anew_until_ctrl_c(service: Service) -> None:
    with terminal(service, "top", "--interval", 0.1) as shown:
        wait_until(lambda: shown.text.count("requests a second") >= 3, 60)
        shown.process.send_signal(signal.SIGINT)
        assert shown.wait() == 0
        assert "\x1b[?1049h" in shown.codes  # a screen of its own, which is
        assert "\x1b[?1049l" in shown.codes  # gone afterwards
        assert "Traceback" not in shown.text
