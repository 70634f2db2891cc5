"""`make chaos`: faults under a steady load, faults beside a client that keeps a ledger, and overload; every answer
checked. Prints tables, writes bench/results/chaos.json, and exits 1 when a figure falls short.

Needs root, for disks of its own that can be full; the Debian package faketime, for a clock that can be set; and MariaDB
and PostgreSQL. The same seed injects the same faults at the same moments.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sb_api.config import load_settings
from sb_api.verdicts.verdict_log import open_verdict_log
from tests.conftest import wait_until
from tests.support.steady_load import SteadyLoad, Tally, Versions
from tests.support.tables import HEADER, describe_tally, fault_figures, figure, write_figures
from tools.faults import (
    DAMAGES,
    Fault,
    Target,
    cut_connections,
    damage,
    flush,
    full_disk,
    hang_up,
    kill,
    kill_supervisor,
    kill_two,
    kill_whole,
    load_slowly,
    out_of_memory,
    small_disks,
    stop,
    wait_warm,
)
from tools.ledger import Ledger
from tools.overload import measure_overload
from tools.surroundings import (
    DATABASES,
    EVICTING,
    cut_power,
    evict,
    fake_clock,
    log_in,
    restart,
    set_evicting,
    step_clock,
)

GIVE_UP = 60.0
BEFORE, AFTER = 2.0, 2.0  # seconds of load around a fault
VARIABLES = {
    "SB_API_CLASSIFY_PROCESSES": "2",
    "SB_API_WEB_PROCESSES": "2",
    "SB_API_TRAIN_TIMEOUT": "60",
    # Repeated kills are what is done here; by default they end the service.
    "SB_API_RESTART_LIMIT": "1000",
    # What is taught is nonsense, which the guard would refuse.
    "SB_API_GUARD_TOLERANCE": "1",
    "SB_API_FP_BUDGET": "0.05",
    "SB_API_REPORTER_DAY_CAP": "1000000",
    "SB_API_VERSIONS_KEPT": "30",
    "SB_API_TRAINER_IDLE": "86400",
}


def all_faults(seconds: float) -> list[Fault]:
    """Every fault; those that last do so for `seconds`."""
    return [
        *(kill(role) for role in ("classify", "train", "web", "redis")),
        kill_two("classify", "redis"),
        kill_two("web", "train"),
        kill_two("train", "redis"),
        Fault("kill -9 of the supervisor", kill_supervisor),
        Fault("kill -9 of the whole service", kill_whole),
        *(stop(role, seconds) for role in ("classify", "train", "web", "redis")),
        Fault("Redis emptied (FLUSHALL)", flush),
        load_slowly(500_000),
        out_of_memory(seconds),
        cut_connections(seconds / 2),
        hang_up(seconds / 2),
        full_disk("weights", seconds),
        full_disk("log", seconds, left=(0,)),
        full_disk("redis", seconds, left=(0,)),
        *(damage(kind) for kind in DAMAGES),
        *(damage(kind, forgotten=True) for kind in DAMAGES),
    ]


@dataclass(frozen=True)
class Scene:
    """Faults of one service: which those are, what is prepared before it is started (for its log, its clock), what is
    set once it is warm, and the client whose answers are checked meanwhile."""

    name: str
    faults: Sequence[Fault]
    client: Callable[[Callable[[], str], Versions, int], SteadyLoad | Ledger]
    variables: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Target], AbstractContextManager[Any]] = nullcontext
    settle: Callable[[Target], None] = lambda _: None


def all_scenes(seconds: float) -> list[Scene]:
    """Every scene, one service each."""
    return [
        Scene("faults", all_faults(seconds), SteadyLoad),
        Scene(
            "the ledger",
            [
                kill_two("classify", "train"),
                Fault("kill -9 of the supervisor (ledger)", kill_supervisor),
                *(cut_power(share) for share in (0.0, 0.3, 1.0)),
                full_disk("log", seconds / 2, left=(0, 1)),
            ],
            Ledger,
        ),
        Scene(
            "clock",
            [step_clock(-3600), step_clock(3600), step_clock(0, "classify"), step_clock(-3600, "train")],
            Ledger,
            prepare=fake_clock,
        ),
        Scene("eviction", [evict(seconds / 2)], partial(Ledger, trusting=True), EVICTING, settle=set_evicting),
        *(
            Scene(name, [restart(name, seconds / 2)], Ledger, prepare=partial(log_in, make=make))
            for name, make in DATABASES.items()
        ),
    ]


@contextmanager
def start_target(folder: Path, scene: Scene | None = None) -> Iterator[tuple[Target, Versions]]:
    """A warm service on disks of its own, and the versions that it makes."""
    target = Target(folder, VARIABLES | dict(scene.variables if scene else {}))
    with small_disks(target), scene.prepare(target) if scene else nullcontext(), target.stack:
        target.start()
        wait_warm(target.address())
        if scene:
            scene.settle(target)
        yield target, Versions(target.state / "weights" / "versions" / "lodbrok")


def run_fault(target: Target, versions: Versions, scene: Scene, fault: Fault, seed: int) -> tuple[Tally, float]:
    """What a fault does to a client, and the seconds from its end until all was normal."""
    chance = random.Random(seed)
    load = scene.client(target.address, versions, seed)
    with load.running():
        time.sleep(BEFORE + chance.random())
        fault.inject(target, chance)
        end = time.monotonic()
        try:
            wait_until(target.is_normal, GIVE_UP, interval=0.1)
        except AssertionError:
            load.tally.complain("wrong", f"not normal {GIVE_UP:g} s after the end of the fault")
        recovery = time.monotonic() - end
        time.sleep(AFTER)
    settings = load_settings({}, state_dir=str(target.state), verdict_log=target.variables["SB_API_VERDICT_LOG"])
    log = open_verdict_log(settings, "lodbrok")
    assert log is not None
    try:
        tally = load.judge(log)
    finally:
        log.close()
    try:
        fault.check(target)
    except AssertionError as error:
        tally.complain("wrong", f"it did not tell of it, or did not mend it: {str(error)[-300:]}")
    return tally, recovery


def bench_faults(
    target: Target, versions: Versions, scene: Scene, rounds: int, seed: int, until: float
) -> list[dict[str, Any]]:
    """The figures of every fault, injected `rounds` times, or less often when that would take longer than `until`."""
    tallies = {fault.name: Tally() for fault in scene.faults}
    slowest = dict.fromkeys(tallies, 0.0)
    times: Counter[str] = Counter()
    print(HEADER, flush=True)
    for turn in range(rounds):
        for number, fault in enumerate(scene.faults):
            if time.monotonic() > until:
                break
            tally, recovery = run_fault(target, versions, scene, fault, 1000 * seed + 100 * turn + number)
            for line in describe_tally(fault.name, 1, tally, recovery):
                print(line, flush=True)
            tallies[fault.name].add(tally)
            slowest[fault.name] = max(slowest[fault.name], recovery)
            times[fault.name] += 1
    if rounds > 1:
        print(f"\nall together\n{HEADER}")
        for name, total in tallies.items():
            print(next(describe_tally(name, times[name], total, slowest[name])))
    print(f"faults left out, for lack of time: {[name for name in tallies if not times[name]] or 'none'}", flush=True)
    return [line for name in times for line in fault_figures(name, times[name], tallies[name], slowest[name])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault is injected")
    parser.add_argument("--minutes", type=float, default=30.0, help="no fault is injected after so long")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long faults last")
    parser.add_argument("--overload", type=float, default=60.0, help="seconds of overload; 0: none")
    parser.add_argument("--only", default="", help="only the faults whose name this is found in (regular expression)")
    options = parser.parse_args()
    figures: list[Any] = []
    # So that an end from outside leaves no service and no disk behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    until = time.monotonic() + 60 * options.minutes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)))
        for number, scene in enumerate(all_scenes(options.seconds)):
            faults = [fault for fault in scene.faults if re.search(options.only, f"{scene.name}: {fault.name}")]
            if faults and time.monotonic() < until:
                print(f"\n{scene.name}", flush=True)
                with start_target(folder / str(number), scene) as (target, versions):
                    chosen = replace(scene, faults=faults)
                    figures += bench_faults(target, versions, chosen, options.rounds, options.seed, until)
        if options.overload and (not options.only or options.only == "overload"):
            with start_target(folder / "overload") as (target, _):
                figures += [figure(*row) for row in measure_overload(target, options.overload)]
    return write_figures(figures, None if options.only else "chaos")


if __name__ == "__main__":
    sys.exit(main())
