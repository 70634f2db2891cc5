"""What is wrong with an installation, and what to do about it: each check finds facts and changes nothing."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

import msgspec
import redis
from packaging.requirements import Requirement
from redis.exceptions import NoPermissionError

from sb_api.auth.credentials import has_credentials, read_credentials
from sb_api.auth.gate import require_credentials
from sb_api.broker.connection import connect
from sb_api.broker.examination import examine as examine_redis
from sb_api.broker.examination import missing_rights
from sb_api.client.http import Client
from sb_api.config import Settings
from sb_api.errors import SbApiError, Unavailable
from sb_api.files import is_open_to_others
from sb_api.models.classifiers import CLASSIFIERS, Classifier, find_classifier
from sb_api.models.weights_store import WeightsStore
from sb_api.processes.redis_server import find_redis_server, read_version
from sb_api.versions import SLOTS
from sb_api.webhooks.endpoints import parse_endpoints
from sb_api.webhooks.signing import load_secrets

LEAST_PYTHON = (3, 11)
LEAST_SPACE = 2**30  # bytes
MOST_SKEW = 5.0  # seconds
PRIVATE = ("redis", "verdicts*.sqlite", "messages.sqlite", "*.log")  # of the state directory

RIGHTS_REMEDY = "give it the rights that docs/how-to-scale-out.md lists, with ACL SETUSER"

State = Literal["ok", "note", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """What a check found; `remedy` says what to do when it is not ok."""

    check: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """The installation that is examined. `expected`: somebody said that a service answers at `client`."""

    settings: Settings
    client: Client
    expected: bool


def examine(patient: Patient) -> Iterator[Finding]:
    """Every check in turn. One that fails itself is a finding too."""
    for check in CHECKS:
        try:
            yield from check(patient)
        except (SbApiError, OSError, redis.RedisError, subprocess.SubprocessError) as error:
            name = check.__name__.removeprefix("_").replace("_", " ")
            yield Finding(name, "wrong", getattr(error, "detail", str(error)), "mend what it says, and look again")


def _python(_: Patient) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    least = ".".join(map(str, LEAST_PYTHON))
    if sys.version_info[:2] >= LEAST_PYTHON:
        yield Finding("python", "ok", found)
    else:
        yield Finding("python", "wrong", f"{found} is older than {least}", f"install Python {least} and `make run`")


def _packages(_: Patient) -> Iterator[Finding]:
    wrong, learning, left_out = [], set(), set()
    for line in metadata.requires("sb_api") or ():
        wanted = Requirement(line)
        of_learning = wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})
        if of_learning and wanted.marker is not None and not wanted.marker.evaluate({"extra": "learning"}):
            continue
        if of_learning:
            learning.add(wanted.name)
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            left_out.add(wanted.name)
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found} is not {wanted.specifier}")
    if left_out != learning:
        wrong += [f"{name} is not there" for name in sorted(left_out)]
    if wrong:
        yield Finding("packages", "wrong", "; ".join(wrong), "`make clean run`, or pip install 'sb_api[learning]'")
    elif left_out:
        detail = "what learns is left out, so this installation serves alone: `web` and `worker`"
        yield Finding("packages", "note", detail, "for `run` and `trainer`, pip install 'sb_api[learning]'")
    else:
        yield Finding("packages", "ok", f"sb_api {metadata.version('sb_api')} has all that it needs")


def _state_directory(patient: Patient) -> Iterator[Finding]:
    state = patient.settings.state
    if not state.is_dir():
        yield Finding("state directory", "note", f"{state} is not there yet", "`sb-api run` makes it")
        return
    read_only = bool(os.statvfs(state).f_flag & os.ST_RDONLY)
    if read_only:
        detail = f"{state} is on a file system that is mounted to be read only: enough for `web`, `worker`, `webhooks`"
        yield Finding("state directory", "note", detail, "`run` and `trainer` need one to write to")
    for path in (state, state / "weights", state / "redis"):
        if not read_only and path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
            yield Finding("state directory", "wrong", f"{path} is not ours to write", "chown it to who runs sb_api")
    files = [path for pattern in PRIVATE for path in sorted(state.glob(pattern))]
    opened = [path for path in files if is_open_to_others(path.stat())]
    if opened and is_open_to_others(state.stat()):
        names = " ".join(map(str, opened))
        yield Finding("file modes", "wrong", f"others may read {names}", f"chmod go= {names}")
    elif state.stat().st_mode & stat.S_IWOTH and not read_only:
        yield Finding("file modes", "wrong", f"everybody may write to {state}", f"chmod o-w {state}")
    else:
        yield Finding("file modes", "ok", f"{state} and what is private in it")


def _disk_space(patient: Patient) -> Iterator[Finding]:
    place = patient.settings.state
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / 2**30:.1f} GiB free at {place}"
    if free < LEAST_SPACE:
        yield Finding("disk space", "wrong", detail, "make room: the queue and the weights must be written")
    else:
        yield Finding("disk space", "ok", detail)


def _redis(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    if not settings.redis_url:
        executable = find_redis_server()
        yield Finding("redis", "ok", f"{read_version(executable)} ({executable})")
        if not settings.redis_socket.exists():
            yield Finding("redis", "note", "the embedded Redis does not run", "`sb-api run` starts it")
            return
    try:
        with connect(settings) as client:
            about = examine_redis(client)
            missing = missing_rights(client)
            seconds, microseconds = client.time()
    except NoPermissionError as error:
        yield Finding("redis", "wrong", f"its user may not even ask for the time: {error}", RIGHTS_REMEDY)
        return
    except redis.RedisError as error:
        remedy = "start it, or correct SB_API_REDIS_URL" if settings.redis_url else "`sb-api run` starts it"
        yield Finding("redis", "wrong" if settings.redis_url else "note", f"cannot be reached: {error}", remedy)
        return
    faults = [*about.problems(), *about.warnings()]
    for fault in faults:
        yield Finding("redis", "wrong", *fault.split(": ", 1))
    if not faults:
        yield Finding("redis", "ok", f"{about.version or 'of a version that it does not name'} (the one in use)")
    for command in missing:
        yield Finding("redis rights", "wrong", f"its user may not send {command}", RIGHTS_REMEDY)
    skew = abs(time.time() - seconds - microseconds / 1e6)
    if skew > MOST_SKEW:
        yield Finding("clock", "wrong", f"{skew:.0f} s from that of Redis", "run an NTP client on both machines")
    else:
        yield Finding("clock", "ok", f"within {MOST_SKEW:.0f} s of that of Redis")


def _trained(store: WeightsStore, classifier: Classifier) -> Classifier:
    """The classifier with the network that the original's numbers are of, if these can be read."""
    try:
        return find_classifier(store.load("original").about)
    except (SbApiError, OSError):
        return classifier


def _weights(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    for name, classifier in CLASSIFIERS.items():
        store, check = WeightsStore.of(settings, name), f"weights of {name}"
        again = f"`sb-api bootstrap --model {name} --restore shipped`, or `sb-api bootstrap --model {name}`"
        try:
            fingerprint = _trained(store, classifier).load_vocabularies(settings).fingerprint
        except SbApiError as error:
            yield Finding(check, "wrong", error.detail, again)
            continue
        for slot in SLOTS:
            # Each by itself: the service falls back to another slot when one is damaged.
            if slot != "original" and not (settings.state / "weights" / f"{slot}_{name}.h5").exists():
                continue
            try:
                about = store.load(slot).about
                find_classifier(about)
            except (SbApiError, OSError) as error:
                # A service starts with another slot, and can be asked, but not without an original.
                back = again if slot == "original" else f"`sb-api rollback original --model {name}`, or {again}"
                yield Finding(check, "wrong", f"{slot}: {getattr(error, 'detail', error)}", back)
                continue
            if about.tokenizers != fingerprint:
                detail = f"{slot} was trained with the tokenizers {about.tokenizers}; here are {fingerprint}"
                yield Finding(check, "wrong", detail, f"bring both from one place; {again}")
            else:
                yield Finding(check, "ok", f"{slot} is {about.version}, whole, with its tokenizers {fingerprint}")


def _verdict_log(patient: Patient) -> Iterator[Finding]:
    if patient.settings.verdict_log == "off":
        yield Finding("verdict log", "ok", "off: no verdict is kept, and nothing can be replayed")
    elif find_spec("sqlalchemy") is not None:  # where only what serves is installed, nobody opens it
        from sb_api.verdicts.examination import examine_verdict_log

        yield Finding("verdict log", "ok", examine_verdict_log(patient.settings))


def _credentials(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    path = settings.credentials_file
    if not path.exists():
        require_credentials(settings)  # what serves refuses an open address without them
        detail = f"none: it listens on {settings.host} alone, and answers everybody there"
        yield Finding("credentials", "ok", detail)
    elif is_open_to_others(path.stat()):
        yield Finding("credentials", "wrong", f"others may read {path}", f"chmod 600 {path}")
    elif not has_credentials(path):
        yield Finding("credentials", "wrong", f"{path} lets nobody in", "`sb-api token add` lets someone in")
    else:
        yield Finding("credentials", "ok", f"{len(read_credentials(path))} in {path}")


def _webhooks(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    endpoints = parse_endpoints(settings)
    path = settings.webhook_secret_file
    if not endpoints:
        return
    if not path.exists():
        yield Finding("webhooks", "note", f"{path} is not there", "`sb-api webhooks test` makes the first")
        return
    load_secrets(path)
    if is_open_to_others(path.stat()):
        yield Finding("webhooks", "wrong", f"others may read {path}", f"chmod 600 {path}")
    names = ", ".join(endpoint.name for endpoint in endpoints)
    yield Finding("webhooks", "ok", f"to {names}; `sb-api webhooks test` tries them")


def _service(patient: Patient) -> Iterator[Finding]:
    client, settings = patient.client, patient.settings
    try:
        ready = client.look("/readyz", dict[str, Any])
    except SbApiError as error:
        if not patient.expected and _port_is_free(settings):
            yield Finding("service", "note", f"nothing listens at {client.url}", "`sb-api run` starts it")
        else:
            remedy = "start it there, or correct SB_API_URL"
            if not isinstance(error, Unavailable):
                remedy = "look what listens there; start sb_api on another port, or correct SB_API_URL"
            yield Finding("service", "wrong", error.detail, remedy)
        return
    for problem in ready.get("problems", []):
        yield Finding("service", "wrong", str(problem), "see the service's log")
    for note in ready.get("notes", []):
        yield Finding("service", "note", str(note), "see GET /readyz")
    if ready.get("success"):
        yield Finding("service", "ok", f"{client.url} is ready")


def _token(patient: Patient) -> Iterator[Finding]:
    try:
        patient.client.weights()
    except SbApiError as error:
        if error.status in (401, 403):
            yield Finding("token", "wrong", error.detail, "set SB_API_TOKEN; `sb-api token add` makes one")
        return
    yield Finding("token", "ok", "the service answers")


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    *(_python, _packages, _state_directory, _disk_space),
    *(_redis, _weights, _verdict_log, _credentials, _webhooks, _service, _token),
)


def _port_is_free(settings: Settings) -> bool:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError:
            return False
    return True
