"""`make bench-peers`: the service beside general model servers with the same network, preprocessing and editors.

Each peer lives in a virtual environment of its own (`.venv-peers/`), and runs in several settings, of which its best
counts. All take turns in one run, in which nobody else is awake; the service has its queue, its embedded Redis and its
credentials, the peers have neither. A run with at least 5 rounds writes `results/peers.json`. Exits 1 when a figure
misses its goal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.running import Target, free_port, run_server, run_service
from bench.speed.bare import ROUNDING, expect_answers, load_model
from bench.speed.load import Connection, Load, Speed, make_load, require_wrk, run_wrk
from bench.table import Figure, alternate, at_least, median_ratio, print_figures, write_figures

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENVS = ROOT / ".venv-peers"
READY = 60.0  # seconds that a peer has until it answers
WARMING = 10  # seconds of load at most until a server answers that slept
SETTLING = 0.5  # seconds for what falls due when a server wakes
SILENT = Speed(rate=0.0, p50=math.inf, p99=math.inf, failed=0, checked=0, wrong=0)  # of who answers nothing
# What the code of sb_api that they share needs.
SHARED = ("numpy", "onnx", "onnxruntime", "msgspec", "h5py", "publicsuffixlist", "confusable-homoglyphs", "idna")


@dataclass(frozen=True)
class Peer:
    """A server: how it is installed, started (`bin` of its environment, port, workers), asked, and understood.

    `body` turns editors into its request, `scores` its answer into P(spam), in order."""

    name: str
    packages: Sequence[str]
    command: Callable[[Path, int, int, Path], list[str]]
    workers: Sequence[int] = (1, 2)
    batching: bool = True
    path: str = "/predict"
    body: Callable[[list[dict[str, Any]]], Any] = lambda editors: {str(key): each for key, each in enumerate(editors)}
    scores: Callable[[Any], list[float]] = lambda answer: list(answer["scores"].values())


def _fastapi(binaries: Path, port: int, workers: int, _: Path) -> list[str]:
    options = ["--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    return [str(binaries / "uvicorn"), "fastapi_server:app", *options, "--loop", "uvloop", "--http", "httptools"]


def _litserve(binaries: Path, port: int, workers: int, _: Path) -> list[str]:
    return [str(binaries / "python"), str(HERE / "litserve_server.py"), str(port), str(workers)]


def _bentoml(binaries: Path, port: int, *_: Any) -> list[str]:
    # How many processes its service has, it reads from PEER_WORKERS.
    serve = [str(binaries / "bentoml"), "serve", "bentoml_server:Service", "--working-dir", str(HERE)]
    return [*serve, "--host", "127.0.0.1", "--port", str(port)]


def _mlserver(binaries: Path, port: int, _: int, folder: Path) -> list[str]:
    folder.mkdir()
    # No process beside the web process, so that nothing travels between processes; one beside it ended at its start.
    settings = {"debug": False, "host": "127.0.0.1", "http_port": port, "grpc_port": free_port()}
    settings |= {"metrics_endpoint": None, "parallel_workers": 0, "gzip_enabled": False}
    model = {"name": "lodbrok", "implementation": "mlserver_server.EditorModel"}
    model |= {"max_batch_size": 64, "max_batch_time": 0.001}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(binaries / "mlserver"), "start", str(folder)]


def _tensor(editors: list[dict[str, Any]]) -> Any:
    data = [msgspec.json.encode(editor).decode() for editor in editors]
    return {"inputs": [{"name": "editors", "shape": [len(data), 1], "datatype": "BYTES", "data": data}]}


PEERS = (
    Peer("FastAPI in process", ["fastapi", "uvicorn[standard]"], _fastapi, batching=False),
    Peer("LitServe", ["litserve>=0.2.19"], _litserve),
    Peer(
        "BentoML",
        ["bentoml>=1.4.39"],
        _bentoml,
        body=lambda editors: {"editors": editors},
        scores=lambda answer: [each["score"] for each in answer],
    ),
    Peer(
        "MLServer",
        ["mlserver>=1.7.1"],
        _mlserver,
        workers=(1,),
        path="/v2/models/lodbrok/infer",
        body=_tensor,
        scores=lambda answer: answer["outputs"][0]["data"],
    ),
)


@dataclass(frozen=True)
class Contestant:
    """A running server with its own wording of the same requests, by editors a request."""

    name: str
    peer: Peer | None
    target: Target
    path: str
    loads: dict[int, Load]

    def speed(self, size: int, connections: int, seconds: float) -> Speed:
        """Measured while it alone is awake: a server that polls when nothing comes would slow the others down."""
        self.wake()
        try:
            time.sleep(SETTLING)
            # BentoML takes its sleep for the time that a batch takes, and refuses all until it has measured others.
            for _ in range(WARMING):
                with suppress(SystemExit):
                    run_wrk(self.target, self.loads[size], connections, 1, self.path)
                    break
            return run_wrk(self.target, self.loads[size], connections, seconds, self.path)
        except SystemExit as error:
            print(f"{self.name}: {error}", file=sys.stderr, flush=True)
            if self.peer is None:
                raise
            return SILENT
        finally:
            self.sleep()

    async def ask(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of its answer to one request. Raises OSError or EOFError when it hangs up."""
        connection = Connection(self.target.url, self.target.token)
        try:
            return await connection.post(self.path, body)
        finally:
            connection.close()

    def sleep(self) -> None:
        for process in self.target.processes:
            process.suspend()

    def wake(self) -> None:
        """Those who watch over others last: gunicorn kills a process from which it has heard nothing for 30 s."""
        processes = self.target.processes
        watching = [process for process in processes if process.children()]
        for process in processes:
            if process not in watching:
                process.resume()
        time.sleep(SETTLING)
        for process in watching:
            process.resume()


def install(peer: Peer) -> Path:
    """The directory of executables of a peer's environment. Raises CalledProcessError when it cannot be installed."""
    folder = VENVS / peer.packages[0].partition(">")[0]
    marker = folder / "installed"
    if not marker.exists():
        print(f"installing {peer.name} in {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *peer.packages, *SHARED], check=True)
        marker.touch()
    return folder / "bin"


def reword(peer: Peer, load: Load, folder: Path) -> Load:
    """The same requests as a peer wants them."""
    bodies = [msgspec.json.encode(peer.body(group)) for group in load.editors]
    folder.mkdir(exist_ok=True)
    file = folder / f"bodies-{load.size}"
    file.write_bytes(b"\n".join(bodies) + b"\n")
    return Load(load.size, load.editors, bodies, file)


@contextmanager
def run_peer(peer: Peer, workers: int, loads: dict[int, Load], folder: Path) -> Iterator[Contestant]:
    """A peer that answers. Raises SystemExit when it does not, CalledProcessError when it cannot be installed."""
    port, place = free_port(), folder / f"{peer.packages[0][:4]}-{workers}"
    command = peer.command(install(peer), port, workers, place)
    own = {size: reword(peer, load, folder / f"bodies-{port}") for size, load in loads.items()}
    paths = f"{ROOT}:{HERE}"
    environment = {"PYTHONPATH": paths, "PEER_WORKERS": str(workers), "BENTOML_DO_NOT_TRACK": "true"}
    with run_server(command, port, folder, **environment) as target:
        yield Contestant(f"{peer.name}, {workers} process{'es' * (workers > 1)}", peer, target, peer.path, own)


def check(contestant: Contestant) -> str:
    """What is wrong with a contestant's answers to some of the requests; "" when they are the bare model's."""
    model = load_model()
    scores = contestant.peer.scores if contestant.peer else lambda answer: list(answer["scores"].values())

    async def ask() -> str:
        for load in contestant.loads.values():
            for editors, body in list(zip(load.editors, load.bodies, strict=True))[:10]:
                status, answer = 0, b"no answer"
                deadline = time.monotonic() + READY
                # It listens before it is ready.
                while status != 200 and time.monotonic() < deadline:
                    with suppress(OSError, EOFError):
                        status, answer = await contestant.ask(body)
                    if status != 200:
                        await asyncio.sleep(0.1)
                if status != 200:
                    return f"status {status}: {answer[:300]!r}"
                expected = list(expect_answers(model, editors)["scores"].values())
                found = scores(msgspec.json.decode(answer))
                if len(found) != len(expected) or any(
                    abs(a - b) > ROUNDING for a, b in zip(found, expected, strict=True)
                ):
                    return "its scores are not the bare model's"
        return ""

    return asyncio.run(ask())


CASES = ((1, 64, "req/s", 2.4), (1, 1, "req/s", None), (100, 8, "editors/s", 1.4))


def compare(contestants: Sequence[Contestant], seconds: float, rounds: int) -> Iterator[Figure]:
    for size, connections, unit, goal in CASES:

        def measure(contestant: Contestant, size: int = size, connections: int = connections) -> Speed:
            return contestant.speed(size, connections, seconds)

        cases = {each.name: (lambda each=each: measure(each)) for each in contestants}
        found = alternate(cases, rounds)
        rates = {name: [speed.rate * size for speed in speeds] for name, speeds in found.items()}
        what = f"{size} editor{'s' * (size > 1)} a request, {connections} connection{'s' * (connections > 1)}"
        for name, speeds in found.items():
            p50, p99 = median(each.p50 for each in speeds), median(each.p99 for each in speeds)
            failed, silent = sum(each.failed for each in speeds), speeds.count(SILENT)
            against = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms" + (f", {failed} FAILED" if failed else "")
            against += f", {silent} of {len(speeds)} rounds WITHOUT AN ANSWER" if silent else ""
            yield Figure(f"{what}: {name}", median(rates[name]), unit, against)
        batching = [each.name for each in contestants if each.peer and each.peer.batching]
        best = max(batching, key=lambda name: median(rates[name]), default="")
        ratio = median_ratio(rates["sb_api"], rates[best]) if best else None
        name = f"{what}: sb_api over the best batching server"
        yield at_least(name, ratio, "", goal, best) if goal else Figure(name, ratio, "", best)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (whole ones)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each figure")
    given = parser.parse_args()
    require_wrk()
    missing = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb_api-peers-")))
        loads = {1: make_load(folder, 1, 1000), 100: make_load(folder, 100, 40)}
        ours = Contestant("sb_api", None, stack.enter_context(run_service()), "/predict", loads)
        contestants = [ours]
        for peer in PEERS:
            for workers in peer.workers:
                try:
                    contestant = stack.enter_context(run_peer(peer, workers, loads, folder))
                    fault = check(contestant)
                except (SystemExit, subprocess.CalledProcessError) as error:
                    fault = str(error)
                else:
                    contestants += [] if fault else [contestant]
                if fault:
                    missing.append(f"{peer.name} ({workers})")
                    print(f"LEFT OUT: {peer.name} with {workers} processes: {fault}", file=sys.stderr)
        for contestant in contestants:
            contestant.sleep()
            stack.callback(contestant.wake)  # or it could not be ended
        figures = list(compare(contestants, given.seconds, given.rounds))
    print_figures("peers", figures)
    if missing:
        print(f"LEFT OUT, so the ratios say nothing of them: {', '.join(missing)}")
    if given.rounds >= 5:
        write_figures("peers", figures)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
