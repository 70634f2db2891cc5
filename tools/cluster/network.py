"""Hosts of a test: network namespaces, each with a network card on one switch, a host name and a folder of its own.

Needs root. A wire can be cut, in both directions or in one, and mended.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

NETWORK = "10.77.0."
NOWHERE = "02:00:00:00:00:fe"  # a hardware address that nobody has
CLONE_NEWNET = 0x40000000


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass
class Host:
    """One host. `folder` is all that it has."""

    name: str
    namespace: str
    number: int
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{NETWORK}{self.number}"

    def start(self, *command: str, log: str = "log", **variables: str) -> subprocess.Popen[bytes]:
        """Start a process on this host; what it writes goes to `log` in its folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_API_")}
        # A name of its own: processes of two hosts are told apart by it.
        named = f"hostname {self.name} && exec " + '"$0" "$@"'
        inside = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", named, *command]
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                inside, env=kept | variables, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


class Network:
    """A switch in a namespace of its own, so that nothing of it is seen on this machine, and the hosts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self._prefix = f"sb{os.getpid()}"
        self._switch = f"{self._prefix}-switch"

    @contextmanager
    def running(self) -> Iterator[Network]:
        with ExitStack() as stack:
            stack.callback(self._remove)
            run("ip", "netns", "add", self._switch)
            self._in(self._switch, "link", "add", "switch", "type", "bridge")
            self._in(self._switch, "link", "set", "switch", "up")
            yield self

    def _remove(self) -> None:
        for host in reversed(self.hosts.values()):
            host.stop()
        for namespace in [host.namespace for host in self.hosts.values()] + [self._switch]:
            with suppress(subprocess.CalledProcessError):
                run("ip", "netns", "delete", namespace)

    def add(self, name: str) -> Host:
        """A new host, which has nothing yet."""
        number = len(self.hosts) + 1
        host = Host(name, f"{self._prefix}-{name}", number, self.folder / name)
        host.folder.mkdir(parents=True)
        run("ip", "netns", "add", host.namespace)
        self.hosts[name] = host
        port = f"port{number}"
        self._in(self._switch, "link", "add", port, "type", "veth", "peer", "card", "netns", host.namespace)
        self._in(self._switch, "link", "set", port, "master", "switch", "up")
        self._in(host.namespace, "address", "add", f"{host.address}/24", "dev", "card")
        for link in ("lo", "card"):
            self._in(host.namespace, "link", "set", link, "up")
        return host

    def enter(self, host: Host) -> None:
        """Make this thread, and what it starts from now on, part of a host."""
        descriptor = os.open(f"/var/run/netns/{host.namespace}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns to {host.name}")
        finally:
            os.close(descriptor)

    @contextmanager
    def cut_off(self, host: Host) -> Iterator[None]:
        """Nothing leaves a host, and nothing reaches it."""
        self._in(self._switch, "link", "set", f"port{host.number}", "nomaster")
        try:
            yield
        finally:
            self._in(self._switch, "link", "set", f"port{host.number}", "master", "switch")

    @contextmanager
    def cut_one_way(self, sender: Host, receivers: Sequence[Host]) -> Iterator[None]:
        """What a host sends to some others is lost without a word; what they send to it arrives."""
        for receiver in receivers:
            self._in(
                sender.namespace,
                "neighbor",
                "replace",
                receiver.address,
                "lladdr",
                NOWHERE,
                "nud",
                "permanent",
                *("dev", "card"),
            )
        try:
            yield
        finally:
            for receiver in receivers:
                self._in(sender.namespace, "neighbor", "delete", receiver.address, "dev", "card")

    @staticmethod
    def _in(namespace: str, *arguments: str) -> None:
        run("ip", "-netns", namespace, *arguments)
