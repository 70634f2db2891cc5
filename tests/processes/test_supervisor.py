"""Child processes are restarted when they die, ever later, and a limit ends the service; real processes throughout."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sb_api.errors import CannotStart
from sb_api.processes import supervisor
from sb_api.processes.supervisor import Process, Stop, supervise
from tests.conftest import wait_until

FOR_EVER = "import signal; signal.pause()"


def child(name: str, code: str) -> Process:
    return Process(name, [sys.executable, "-S", "-E", "-c", code], {})


def pids(processes: Sequence[Process]) -> list[int]:
    return [process.popen.pid for process in processes if process.popen is not None]


def test_what_dies_is_started_again_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    one, stop = child("one", FOR_EVER), Stop()
    with supervise([one], stop, limit=5, drain=5.0):
        first = pids([one])[0]
        one.signal(9)
        wait_until(lambda: pids([one]) != [first])
        assert not stop.event.is_set()
    assert f"one (process {first}) ended with -9; restarting in 0 s (1 of 5)" in caplog.text


def test_what_keeps_dying_is_started_ever_later_and_ends_the_service_at_the_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As many starts as the limit has, the pauses between them growing; the failure names the process and its code."""
    starts = tmp_path / "starts"
    code = f"import time; open({str(starts)!r}, 'a').write(f'{{time.monotonic()}}\\n'); raise SystemExit(7)"
    stop = Stop()
    with supervise([child("mayfly", code), child("other", FOR_EVER)], stop, limit=3, drain=5.0):
        wait_until(stop.event.is_set)
        moments = [float(line) for line in starts.read_text().split()]
    assert len(moments) == 3
    assert moments[2] - moments[1] >= supervisor.RESTART_PAUSES[1]
    assert stop.failure.startswith("mayfly (process ")
    assert stop.failure.endswith("ended with 7, for the 3. time in a row.")
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR, logging.CRITICAL]
    assert starts.read_text().count("\n") == 3


def test_what_the_others_can_do_without_is_tried_again_and_never_ends_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The train process, say: with a log that cannot be read it took judging down with it."""
    monkeypatch.setattr(supervisor, "LONG_PAUSE", 0.05)
    one, other, stop = child("one", "raise SystemExit(7)"), child("other", FOR_EVER), Stop()
    one.is_vital = False
    with supervise([one, other], stop, limit=1, drain=5.0):
        wait_until(lambda: one.deaths == 3)
        assert not stop.event.is_set()
        assert other.deaths == 0
    assert "ended with 7, for the 2. time in a row; the others go on without it, and it is tried again" in caplog.text


def test_a_death_after_a_steady_life_counts_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STEADY", 0.1)
    one, stop = child("one", FOR_EVER), Stop()
    with supervise([one], stop, limit=2, drain=5.0):
        for _ in range(3):
            before = pids([one])
            wait_until(lambda: time.monotonic() - one.started > 0.15)
            one.signal(9)
            wait_until(lambda: pids([one]) != before)  # noqa: B023
            assert one.deaths == 1
        assert not stop.event.is_set()


def test_nothing_is_restarted_once_the_end_is_asked_for() -> None:
    one, stop = child("one", FOR_EVER), Stop()
    with supervise([one], stop, limit=5, drain=5.0):
        stop.event.set()
        first = pids([one])
        one.signal(9)
        wait_until(lambda: one.popen is not None and one.popen.poll() is not None)
        wait_until(lambda: time.monotonic() - one.started > 4 * supervisor.LOOK)
        assert pids([one]) == first


def test_the_first_is_stopped_first_and_one_that_will_not_stop_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    deaf = child(
        "deaf", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    )
    other = child("other", FOR_EVER)
    with supervise([deaf, other], Stop(), limit=5, drain=0.5):
        assert deaf.popen is not None
        # It has to have set its ears before the end.
        status = Path(f"/proc/{deaf.popen.pid}/status")
        wait_until(lambda: any(_ignores_sigterm(line) for line in status.read_text().splitlines()))
    assert "deaf did not stop in time and is killed" in caplog.text
    assert other.popen is not None
    assert (deaf.popen.returncode, other.popen.returncode) == (-9, -15)


def _ignores_sigterm(line: str) -> bool:
    return line.startswith("SigIgn:") and bool(int(line.split()[1], 16) & 1 << 14)


def test_a_command_that_is_not_there_is_told() -> None:
    with (
        pytest.raises(CannotStart, match="nonexistent"),
        supervise([Process("one", ["/nonexistent"], {})], Stop(), limit=5, drain=1.0),
    ):
        pass


def test_a_command_that_goes_away_ends_the_service(tmp_path: Path) -> None:
    """An upgrade that took the interpreter away must not leave a service without its workers."""
    command = tmp_path / "command"
    command.symlink_to(sys.executable)
    one, stop = Process("one", [str(command), "-S", "-E", "-c", FOR_EVER], {}), Stop()
    with supervise([one], stop, limit=5, drain=5.0):
        command.unlink()
        one.signal(9)
        wait_until(stop.event.is_set)
    assert stop.failure.startswith("one cannot be restarted: ")


@pytest.mark.parametrize(
    ("code", "number", "is_kill"),
    [
        (FOR_EVER, 9, True),
        (FOR_EVER, 15, True),
        (FOR_EVER, 11, False),
        ("raise SystemExit(3)", 0, False),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGSEGV", "an error"],
)
def test_who_stands_in_for_a_process_is_told_when_that_was_killed_from_outside(
    code: str, number: int, is_kill: bool
) -> None:
    """It then knows that the jobs of that one did not kill it."""
    one = child("one", code)
    one.asks_for_kills = True
    with supervise([one], Stop(), limit=5, drain=5.0):
        first = pids([one])[0]
        one.signal(number)
        wait_until(lambda: pids([one]) != [first])
        assert one.popen is not None
        assert isinstance(one.popen.args, list)
        assert one.popen.args[-2:] == (["--after-kill", str(first)] if is_kill else ["-c", code])


def test_a_process_killed_because_memory_was_short_was_not_killed_from_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = iter(range(100))
    monkeypatch.setattr(supervisor, "count_out_of_memory", lambda: next(counts))
    one = child("one", FOR_EVER)
    one.asks_for_kills = True
    with supervise([one], Stop(), limit=5, drain=5.0):
        first = pids([one])[0]
        one.signal(9)
        wait_until(lambda: pids([one]) != [first])
        assert one.killed == 0


AS_PROCESS_1 = """
import ctypes, os, sys, threading, time
from sb_api.processes.supervisor import Process, Stop, supervise

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
leave = "import os, subprocess, sys; [subprocess.Popen([sys.executable, '-S', '-E', '-c', 'pass']) for _ in range(3)]"
stop = Stop()
processes = [Process(name, [sys.executable, "-S", "-E", "-c", code], {}) for name, code in (
    ("one", f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-E', '-c', {leave!r}]);"
            "import signal; signal.pause()"),
    ("mayfly", "raise SystemExit(7)"),
)]
with supervise(processes, stop, limit=3, drain=5.0):
    stop.event.wait(30)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = os.popen(f"ps -o stat=,comm= --ppid {os.getpid()}").read()
        if sum("python" in line for line in listed.splitlines() if line.startswith("Z")) <= 1:
            break
        time.sleep(0.1)
print(stop.failure)
print(listed)
"""


def test_dead_processes_that_are_left_to_it_are_let_go_of_and_its_own_are_counted() -> None:
    """As process 1 of a container without an init it kept them all as zombies."""
    done = subprocess.run([sys.executable, "-c", AS_PROCESS_1], capture_output=True, text=True, timeout=60, check=True)
    failure, *listed = done.stdout.splitlines()
    assert failure.startswith("mayfly (process ")
    assert failure.endswith("ended with 7, for the 3. time in a row.")
    # At the most the mayfly, which is started no more.
    assert sum(line.startswith("Z") for line in listed) <= 1
