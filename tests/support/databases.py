"""Private MariaDB and PostgreSQL servers for tests, each in a directory of its own and run by an unprivileged user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
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


@dataclass
class Database:
    """A server with a directory of its own, which may be killed and started again on the same data. `ready` is what it
    logs then, `end` the signal that ends it as a crash would."""

    url: str
    command: list[str]
    folder: Path
    ready: bytes
    end: signal.Signals
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        wait_until(lambda: self.ready in (self.folder / "log").read_bytes(), 60)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(self.end)
        self.process.wait(20)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Yields its URL."""
        self.start()
        try:
            yield self.url
        finally:
            assert self.process is not None
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def make_postgresql(folder: Path) -> Database:
    """A PostgreSQL server, not started yet."""
    user, data = as_nobody(folder), folder / "data"
    initdb, server = find("initdb"), find("postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
    subprocess.run([*user, initdb, "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8"], check=True, **quiet)
    options = ["-k", str(folder), "-h", "", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
    url = f"postgresql://tester@/postgres?host={folder}"
    # Killed outright, it would leave processes behind, with which it does not start again.
    command = [*user, server, "-D", str(data), *options]
    return Database(url, command, folder, b"ready to accept connections", signal.SIGQUIT)


@contextmanager
def musicbrainz(folder: Path) -> Iterator[str]:
    """Yields the URL of a PostgreSQL server with MusicBrainz's tables, an area and a gender, as a superuser; `scanner`
    may do what a scan needs, `stranger` nothing."""
    with postgresql(folder) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((Path(__file__).parent / "musicbrainz.sql").read_bytes())
            connection.execute("INSERT INTO musicbrainz.area VALUES (5, 'Réunion')")
            connection.execute("INSERT INTO musicbrainz.gender VALUES (1, 'Male')")
        yield url


def make_mariadb(folder: Path) -> Database:
    """A MariaDB server, not started yet."""
    user, data, socket = as_nobody(folder), folder / "data", folder / "socket"
    install, server = find("mariadb-install-db"), find("mariadbd")
    login = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    # Whichever starts removes what others have in the folder for temporary tables, if that is the same one.
    folders = [f"--datadir={data}", f"--tmpdir={folder}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
    subprocess.run([*user, install, "--no-defaults", *folders, *login], check=True, **quiet)
    options = [*folders, f"--socket={socket}", "--skip-networking", f"--pid-file={folder / 'pid'}"]
    url = f"mysql://root@localhost/mysql?unix_socket={socket}"
    command = [*user, server, "--no-defaults", *options]
    return Database(url, command, folder, b"ready for connections", signal.SIGKILL)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yields the URL of a PostgreSQL server."""
    with make_postgresql(folder).running() as url:
        yield url


@contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """Yields the URL of a MariaDB server."""
    with make_mariadb(folder).running() as url:
        yield url
