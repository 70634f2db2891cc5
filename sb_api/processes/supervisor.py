"""Child processes: started, restarted when they die, and stopped in order. One that keeps dying ends them all, unless
the others can do without it."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sb_api.errors import CannotStart

logger = logging.getLogger(__name__)

RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)  # seconds before each restart of a process that keeps dying
PYTHON = (sys.executable, "-P", "-m")  # of all processes: nothing is imported from the working directory
LONG_PAUSE = 60.0  # seconds before each further one, when the others can do without it
STEADY = 30.0  # seconds after which a process counts as sound again
LOOK = 0.1  # seconds between two looks at the processes
PR_SET_PDEATHSIG = 1
KILLS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})  # that come from outside


def ends() -> list[signal.Signals]:
    """The signals that end a process in order. A hang-up is one of them, unless `nohup` has it ignored."""
    hang_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hang_up]


@dataclass
class Stop:
    """The end of the service: whether it is asked for, and what failed when it is not by a signal."""

    event: threading.Event = field(default_factory=threading.Event)
    failure: str = ""
    processes: list[Process] = field(default_factory=list)  # all that are supervised until then

    def children(self) -> set[int]:
        """The numbers of the processes that are supervised."""
        return {process.popen.pid for process in self.processes if process.popen is not None}

    def fail(self, failure: str) -> None:
        self.failure = self.failure or failure
        self.event.set()


@dataclass
class Process:
    """One child: how it is started, and how often it has died in a row."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    is_vital: bool = True  # when it keeps dying, the service stops; else it is started again after LONG_PAUSE
    asks_for_kills: bool = False  # its command takes `--after-kill PID`
    killed: int = 0  # the number of the process before, when it was killed from outside
    out_of_memory: int = 0  # processes that the system had killed for memory when this one was started
    deaths: int = 0
    started: float = 0.0
    restart_at: float = 0.0
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        self.started = time.monotonic()
        self.out_of_memory = count_out_of_memory()
        after = ["--after-kill", str(self.killed)] if self.asks_for_kills and self.killed else []
        self.popen = subprocess.Popen(
            [*self.command, *after],
            env=self.environment,
            pass_fds=self.descriptors,
            stdin=subprocess.DEVNULL,
            # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
            process_group=0,
            umask=0o077,  # the queue and the logs hold editors' details
            preexec_fn=_die_with_parent,
        )

    def signal(self, number: int) -> None:
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(number)

    def wait(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic), then kill."""
        if self.popen is None:
            return
        try:
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop in time and is killed", self.name)
            self.popen.kill()
            self.popen.wait()


def count_out_of_memory() -> int:
    """How many processes the system has killed because memory was short; -1 where it does not say."""
    try:
        found = re.search(r"^oom_kill (\d{1,19})$", Path("/proc/vmstat").read_text("ascii"), re.MULTILINE)
    except OSError:
        return -1
    return int(found[1]) if found else -1


def _is_from_outside(process: Process, code: int) -> bool:
    """Whether a process was ended by somebody, and not by what it did: it would crash by another signal, or take all
    memory."""
    return -code in KILLS and 0 <= process.out_of_memory == count_out_of_memory()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def supervise(processes: Sequence[Process], stop: Stop, limit: int, drain: float) -> Iterator[None]:
    """Start processes and restart those that die; at the end stop them, the first given first, within `drain` s.

    A vital one that dies `limit` times in a row, never steady in between, sets `stop` with what failed. Raises
    CannotStart.
    """
    stop.processes += processes
    over = threading.Event()
    ready = threading.Event()
    failed: list[BaseException] = []

    def watch() -> None:
        # The thread that starts a child must outlive it: the system signals a child when its parent thread ends.
        try:
            for process in processes:
                process.start()
        except OSError as error:
            failed.append(error)
        ready.set()
        suspect = 0
        while not over.wait(LOOK):
            for process in processes:
                if not stop.event.is_set():
                    _restart_dead(process, stop, limit)
            suspect = reap_orphan(stop.children(), suspect)
        deadline = time.monotonic() + drain
        # The first answers to clients, and needs the others for it.
        for group in (processes[:1], processes[1:]):
            for process in group:
                process.signal(signal.SIGTERM)
            for process in group:
                process.wait(deadline)

    watcher = threading.Thread(target=watch, name="supervisor")
    watcher.start()
    try:
        ready.wait()
        if failed:
            raise CannotStart(f"A process cannot be started: {failed[0]}.")
        yield
    finally:
        over.set()
        watcher.join()


def reap_orphan(children: Set[int], suspect: int) -> int:
    """Let go of a dead process that was left to this one, as they all are to process 1 of a container: nobody else asks
    how it ended. `children` are looked after elsewhere.

    Returns its number when it is seen for the first time, to be called with as `suspect` the next time: by then whoever
    has just started it would have it among the children. 0 without any.
    """
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    if dead is None or dead.si_pid in children:
        return 0
    if dead.si_pid == suspect:
        os.waitpid(dead.si_pid, 0)
        return 0
    return dead.si_pid


def _restart_dead(process: Process, stop: Stop, limit: int) -> None:
    if process.popen is None:
        return
    code = process.popen.poll()
    if code is None:
        return
    now = time.monotonic()
    if not process.restart_at:
        process.deaths = 1 if now - process.started > STEADY else process.deaths + 1
        process.killed = process.popen.pid if _is_from_outside(process, code) else 0
        ended = f"{process.name} (process {process.popen.pid}) ended with {code}"
        if process.deaths >= limit and process.is_vital:
            logger.critical("%s, for the %d. time in a row; the service stops", ended, process.deaths)
            stop.fail(f"{ended}, for the {process.deaths}. time in a row.")
            return
        pause = RESTART_PAUSES[min(process.deaths, len(RESTART_PAUSES)) - 1] if process.deaths < limit else LONG_PAUSE
        process.restart_at = now + pause
        if process.deaths < limit:
            logger.error("%s; restarting in %g s (%d of %d)", ended, pause, process.deaths, limit)
        else:
            times = f"for the {process.deaths}. time in a row; the others go on without it"
            logger.critical("%s, %s, and it is tried again in %g s", ended, times, pause)
    if now >= process.restart_at:
        process.restart_at = 0.0
        try:
            process.start()
        except OSError as error:
            logger.critical("%s cannot be restarted: %s; the service stops", process.name, error)
            stop.fail(f"{process.name} cannot be restarted: {error}.")
