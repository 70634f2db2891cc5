"""How fast the service answers, beside what no service of its parts can pass."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.running import Target, run_service
from bench.speed import engine
from bench.speed.bare import expect_answers, load_model
from bench.speed.limits import OUR_WORKER, measure_judging, run_limit
from bench.speed.load import Load, Speed, make_load, run_open, run_wrk, write_expected, wrk_command
from bench.speed.original import run_original
from bench.table import Figure, alternate, at_least, at_most, median_ratio

SCAN_CONNECTIONS, OPEN_RATE = 4, 1000.0
SLOW = 30.0  # seconds for the original implementation, which may take ten for a request


@dataclass(frozen=True)
class Options:
    """`seconds` of each measurement, of which each figure has `rounds`; `held` are the seconds of the open loop,
    `count` the editors of the file; `folder` is for files that only live as long as the run."""

    seconds: float
    rounds: int
    held: float
    count: int
    folder: Path


def _wrk(target: Target, load: Load, connections: int, options: Options) -> Callable[[], Speed]:
    return lambda: run_wrk(target, load, connections, options.seconds)


def _note(speeds: list[Speed]) -> str:
    failed = sum(speed.failed for speed in speeds)
    return f"{failed} requests FAILED" if failed else ""


def bench_single(options: Options) -> Iterator[Figure]:
    """One editor a request."""
    load = make_load(options.folder, 1, 1000)
    with run_service() as service:
        redis = f"unix://{service.state}/redis/redis.sock"
        with (
            run_limit("constant_app", options.folder) as constant,
            run_limit("constant_app", options.folder, worker=OUR_WORKER) as ours,
            run_limit("exchange_app", options.folder, redis) as exchange,
        ):
            cases = {
                "64": _wrk(service, load, 64, options),
                "(c)": _wrk(constant, load, 64, options),
                "(c) ours": _wrk(ours, load, 64, options),
                "(d)": _wrk(exchange, load, 64, options),
                "1": _wrk(service, load, 1, options),
                "(c) 1": _wrk(constant, load, 1, options),
            }
            found = alternate(cases, options.rounds)
        rates = {name: [speed.rate for speed in speeds] for name, speeds in found.items()}
        middle = {name: median(values) for name, values in rates.items()}
        yield Figure("limit (c): Flask + gunicorn, a constant, 64 connections", middle["(c)"], "req/s")
        yield Figure("the same on the service's own worker", middle["(c) ours"], "req/s")
        yield Figure("limit (d): as (c), with one Redis round trip", middle["(d)"], "req/s")
        against = f"(c) {middle['(c)']:,.0f}, (d) {middle['(d)']:,.0f}"
        yield at_least("one editor a request, 64 connections", middle["64"], "req/s", 6500, against)
        yield at_least("the same over (c)", median_ratio(rates["64"], rates["(c)"]), "", 0.6, "(c), round by round")
        yield Figure("the same over (d)", median_ratio(rates["64"], rates["(d)"]), "", "(d), round by round")
        yield at_most("the same: p99", median(each.p99 for each in found["64"]), "ms", 25, _note(found["64"]))
        against = f"(c) {median(each.p50 for each in found['(c) 1']):.2f} ms, {_note(found['1'])}".rstrip(", ")
        yield at_most("one editor a request, 1 connection: p50", median(s.p50 for s in found["1"]), "ms", 0.8, against)
        against = f"(c) {median(each.p99 for each in found['(c) 1']):.2f} ms"
        yield at_most("one editor a request, 1 connection: p99", median(s.p99 for s in found["1"]), "ms", 2, against)
        yield from _check_answers(service, load, 64, options)


def _check_answers(service: Target, load: Load, connections: int, options: Options) -> Iterator[Figure]:
    """All answers of one measurement at full load are compared with the bare model's; the weights must be the shipped
    ones."""
    model = load_model()
    answers = [expect_answers(model, editors) for editors in load.editors]
    expected = write_expected(options.folder / f"expected-{load.size}", answers), model.version
    speed = run_wrk(service, load, connections, options.seconds, expected=expected)
    unlike = speed.wrong + speed.failed if speed.checked else None
    editors = f"{load.size:,} editor{'s' * (load.size > 1)} a request"
    against = f"all {speed.checked:,} answers under full load ({connections} connections of wrk)"
    yield at_most(f"answers unlike the bare model's, {editors}", unlike, "", 0, against)


@contextmanager
def _in_background(service: Target, load: Load, connections: int, seconds: float) -> Iterator[None]:
    """wrk beside what is measured."""
    command = wrk_command(service, load, connections, seconds, "/predict")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait()


def bench_hundred(options: Options) -> Iterator[Figure]:
    """100 editors a request."""
    load = make_load(options.folder, 100, 40)
    with run_service() as service:
        cases = {"ours": lambda: run_wrk(service, load, 8, options.seconds).rate * 100}
        cases |= {"(b)": lambda: measure_judging(1, options.seconds)}
        found = alternate(cases, options.rounds)
        against = f"(b) {median(found['(b)']):,.0f} in one process"
        yield at_least("100 editors a request, 8 connections", median(found["ours"]), "editors/s", 75_000, against)
        yield from _check_answers(service, load, 8, options)


def bench_thousand(options: Options) -> Iterator[Figure]:
    """1,000 editors a request, two classify processes."""
    alone = engine.measure("onnx", "lodbrok")
    against = f"one core, in batches of {alone['best']}"
    yield Figure("limit (a): the network alone", alone["rate"], "editors/s", against)
    load = make_load(options.folder, 1000, 10)
    with run_service(SB_API_CLASSIFY_PROCESSES="2") as service:
        cases = {
            "ours": lambda: run_wrk(service, load, 4, options.seconds).rate * 1000,
            "(b) 2": lambda: measure_judging(2, options.seconds),
            "(b) 1": lambda: measure_judging(1, options.seconds),
        }
        found = alternate(cases, options.rounds)
        middle = {name: median(rates) for name, rates in found.items()}
        yield Figure("limit (b): preprocess + predict, one process", middle["(b) 1"], "editors/s")
        yield Figure("limit (b): preprocess + predict, two processes", middle["(b) 2"], "editors/s")
        name = "1,000 editors a request, 4 connections, two classify processes"
        yield at_least(name, middle["ours"], "editors/s", 90_000, f"(b) {middle['(b) 2']:,.0f}")
        ratio = median_ratio(found["ours"], found["(b) 2"])
        yield at_least("the same over (b)", ratio, "", 0.65, "(b) on two cores, round by round")
        yield from _check_answers(service, load, 4, options)


def bench_scan(options: Options) -> Iterator[Figure]:
    """One editor a request while a scan runs at full rate."""
    single, bulk = make_load(options.folder, 1, 1000), make_load(options.folder, 1000, 10)
    with run_service() as service:

        def beside() -> Speed:
            with _in_background(service, bulk, SCAN_CONNECTIONS, options.seconds + 2):
                return run_wrk(service, single, 1, options.seconds)

        found = alternate({"idle": _wrk(service, single, 1, options), "beside": beside}, options.rounds)
    ratio = median_ratio([speed.p99 for speed in found["beside"]], [speed.p99 for speed in found["idle"]])
    idle, loaded = (median(speed.p99 for speed in found[name]) for name in ("idle", "beside"))
    against = f"{idle:.2f} ms idle, {loaded:.2f} ms beside {SCAN_CONNECTIONS} connections of 1,000 editors"
    yield at_most("one editor a request beside a full scan: p99 over idle", ratio, "", 3, against)


def bench_open(options: Options) -> Iterator[Figure]:
    """1,000 requests a second, held."""
    import psutil

    load = make_load(options.folder, 1, 1000)
    cores = psutil.cpu_count() or 1
    with run_service() as service:
        begin, used = time.monotonic(), service.cpu_seconds()
        found = run_open(service, load, OPEN_RATE, options.held)
        share = (service.cpu_seconds() - used) / (time.monotonic() - begin) / cores
    against = f"{found['requests']:,.0f} requests in {options.held:g} s, {found['rate']:,.0f} req/s"
    yield at_most("1,000 req/s held open-loop: errors", found["failed"], "", 0, against)
    against = f"p50 {found['p50']:.2f} ms; the client was {found['late']:.2f} ms late (p99), included"
    yield at_most("1,000 req/s held open-loop: p99", found["p99"], "ms", 10, against)
    against = f"without the client, which took {100 * found['cpu'] / cores:.0f}%"
    yield at_most(f"1,000 req/s held open-loop: share of {cores} cores", 100 * share, "%", 40, against)


def bench_original(options: Options) -> Iterator[Figure]:
    """The original implementation."""
    one, hundred = make_load(options.folder, 1, 1000), make_load(options.folder, 100, 40)
    with run_service() as service, run_original(options.folder) as original:

        def once(load: Load) -> float:
            """Editors a second of one request after the other, by wrk's own clock."""
            return run_wrk(original, load, 1, max(options.seconds, SLOW)).rate * load.size

        once(one)
        cases = {
            "ours 1": lambda: run_wrk(service, one, 64, options.seconds).rate,
            "theirs 1": lambda: once(one),
            "ours 100": lambda: run_wrk(service, hundred, 8, options.seconds).rate * 100,
            "theirs 100": lambda: once(hundred),
        }
        found = alternate(cases, options.rounds)
    for size in (1, 100):
        theirs = median(found[f"theirs {size}"])
        yield Figure(f"the original implementation, {size} editors a request", theirs, "editors/s")
    ratio = median_ratio(found["ours 1"], found["theirs 1"])
    yield Figure(
        "ours over it at 1 editor, 64 connections", ratio, "", f"it: {median(found['theirs 1']):.1f} editors/s"
    )
    ratio = median_ratio(found["ours 100"], found["theirs 100"])
    against = f"it: {median(found['theirs 100']):.1f} editors/s"
    yield at_least("ours over it at 100 editors, 8 connections", ratio, "", 3000, against)


def bench_training_beside(options: Options) -> Iterator[Figure]:
    """Predictions while training runs without pause."""
    from bench.learning.training import train_without_pause

    load = make_load(options.folder, 1, 1000)
    with run_service() as service:

        def beside() -> float:
            over = threading.Event()
            trainer = threading.Thread(target=train_without_pause, args=(service, over, counts))
            trainer.start()
            try:
                return run_wrk(service, load, 64, options.seconds).rate
            finally:
                over.set()
                trainer.join()

        counts: list[int] = []
        found = alternate(
            {"idle": lambda: run_wrk(service, load, 64, options.seconds).rate, "beside": beside}, options.rounds
        )
    against = f"{median(found['idle']):,.0f} req/s idle, {median(found['beside']):,.0f} beside {len(counts)} trainings"
    yield at_least(
        "predictions while training without pause, over idle",
        median_ratio(found["beside"], found["idle"]),
        "",
        0.7,
        against,
    )
