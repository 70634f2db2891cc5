"""Cookies are signed with a key that is kept, and end with their time or their credential."""

from __future__ import annotations

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sb_api.auth.credentials import Credential
from sb_api.auth.sessions import Sessions

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Credential(name="one", role="train", hash="secret hash", created=MOMENT)
KNOWN = {"one": ONE}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "session.key"


def test_what_was_signed_is_read(path: Path) -> None:
    session = Sessions(path, 60).read(Sessions(path, 60).sign(ONE), KNOWN)
    assert session is not None
    assert session.name == "one"


def test_every_session_has_a_csrf_token_of_its_own(path: Path) -> None:
    sessions = Sessions(path, 60)
    tokens = {session.csrf for _ in range(3) if (session := sessions.read(sessions.sign(ONE), KNOWN))}
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 43


def test_the_key_is_its_users_alone_and_the_same_for_all_who_start_at_once(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Sessions(path, 60), range(8)))
    value = made[0].sign(ONE)
    assert all(sessions.read(value, KNOWN) for sessions in made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert [each.name for each in path.parent.iterdir()] == ["session.key"]


def test_another_key_does_not_do(path: Path, tmp_path: Path) -> None:
    assert Sessions(path, 60).read(Sessions(tmp_path / "other.key", 60).sign(ONE), KNOWN) is None


@pytest.mark.parametrize("value", ["", "x", "..", "e30.x.y", "ä", "\x00"])
def test_anything_else_is_no_session(path: Path, value: str) -> None:
    assert Sessions(path, 60).read(value, KNOWN) is None


def test_one_changed_character_is_no_session(path: Path) -> None:
    sessions = Sessions(path, 60)
    value = sessions.sign(ONE)
    for position in range(0, len(value) - 1, 7):
        changed = value[:position] + ("A" if value[position] != "A" else "B") + value[position + 1 :]
        assert sessions.read(changed, KNOWN) is None


def test_it_is_over_after_its_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(path, 60)
    value = sessions.sign(ONE)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 59)
    assert sessions.read(value, KNOWN) is not None
    monkeypatch.setattr(time, "time", lambda: now + 62)
    assert sessions.read(value, KNOWN) is None


def test_it_ends_with_its_credential_also_when_the_name_is_given_again(path: Path) -> None:
    sessions = Sessions(path, 60)
    value = sessions.sign(ONE)
    assert sessions.read(value, {}) is None
    again = Credential(name="one", role="admin", hash="", created=MOMENT + timedelta(microseconds=1))
    assert sessions.read(value, {"one": again}) is None


def test_the_cookie_holds_no_hash(path: Path) -> None:
    assert "secret" not in Sessions(path, 60).sign(ONE)
