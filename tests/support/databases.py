"""Private MariaDB and PostgreSQL servers for tests, each in a directory of its own and run by an unprivileged user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import wait_until


def find(program: str) -> str:
    """The program, else the test is skipped (with CI=true: fails)."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/sbin")]
    found = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *map(str, places)]))
    if found is None:
        pytest.skip(f"there is no {program}: apt-get install mariadb-server postgresql")
    return found


def as_nobody(folder: Path) -> list[str]:
    """What runs a command as a user who may start a database: they refuse root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "nobody", "nogroup")
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yields the URL of a PostgreSQL server."""
    user, data = as_nobody(folder), folder / "data"
    initdb, server = find("initdb"), find("postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
    subprocess.run([*user, initdb, "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8"], check=True, **quiet)
    options = ["-k", str(folder), "-h", "", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
    with run([*user, server, "-D", str(data), *options], folder):
        wait_until(lambda: b"ready to accept connections" in (folder / "log").read_bytes(), 60)
        yield f"postgresql://tester@/postgres?host={folder}"


@contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """Yields the URL of a MariaDB server."""
    user, data, socket = as_nobody(folder), folder / "data", folder / "socket"
    install, server = find("mariadb-install-db"), find("mariadbd")
    login = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
    subprocess.run([*user, install, "--no-defaults", f"--datadir={data}", *login], check=True, **quiet)
    options = [f"--datadir={data}", f"--socket={socket}", "--skip-networking", f"--pid-file={folder / 'pid'}"]
    with run([*user, server, "--no-defaults", *options], folder):
        wait_until(lambda: b"ready for connections" in (folder / "log").read_bytes(), 60)
        yield f"mysql://root@localhost/mysql?unix_socket={socket}"


@contextmanager
def run(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
