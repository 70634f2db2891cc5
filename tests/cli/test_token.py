"""`sb-api token`: what it makes lets one in, is shown once, and holds without a restart."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.auth.credentials import read_credentials
from sb_api.cli import main
from sb_api.config import load_settings

PASSWORD = "correct horse battery staple"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Open to others: what would be refused without a credential must not keep one from being made.
    monkeypatch.setenv("SB_API_HOST", "0.0.0.0")
    monkeypatch.setenv("SB_API_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def client(state: Path) -> FlaskClient:
    """A service that runs all the time."""
    return create_app(load_settings({}, state_dir=str(state))).test_client()


def token(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, ["token", *arguments], **options)


def ask(client: FlaskClient, secret: str) -> int:
    return client.get("/get-result/none", headers={"Authorization": f"Bearer {secret}"}).status_code


def test_a_token_lets_in_until_it_is_revoked(client: FlaskClient, state: Path) -> None:
    made = token("add", "spamninja", "--role", "predict")
    assert made.exit_code == 0
    secret = made.stdout.strip()
    assert ask(client, secret) == 404
    revoked = token("revoke", "spamninja")
    assert (revoked.exit_code, revoked.stdout) == (0, "spamninja is let in no longer.\n")
    assert f"nobody is let in. To go without credentials, remove {state / 'credentials.json'}" in revoked.stderr
    assert ask(client, secret) == 401


def test_stdout_is_the_token_alone_so_that_a_script_can_keep_it(state: Path) -> None:
    made = token("add", "spamninja", "--role", "predict")
    assert made.stdout.startswith("spamninja.")
    assert made.stdout.count("\n") == 1
    assert made.stdout.strip() not in made.stderr
    assert made.stdout.strip() not in (state / "credentials.json").read_text()
    assert stat.S_IMODE((state / "credentials.json").stat().st_mode) == 0o600


def test_json_of_what_is_made_and_taken_away(state: Path) -> None:
    made = json.loads(token("add", "cron", "--role", "predict", "--json").stdout)
    assert made.pop("token").startswith("cron.")
    assert made == {"success": True, "name": "cron", "role": "predict"}
    chosen = token("add", "moderator", "--role", "train", "--password", "--json", input=f"{PASSWORD}\n")
    assert json.loads(chosen.stdout) == {"success": True, "name": "moderator", "role": "train"}
    assert json.loads(token("revoke", "cron", "--json").stdout) == {"success": True, "name": "cron", "left": 1}
    assert "no credential 'cron'" in json.loads(token("revoke", "cron", "--json").stderr)["detail"]


def test_a_chosen_password_comes_from_a_pipe_and_is_shown_nowhere(client: FlaskClient) -> None:
    made = token("add", "moderator", "--role", "train", "--password", input=f"{PASSWORD}\n")
    assert (made.exit_code, made.stdout) == (0, "")
    assert PASSWORD not in made.output
    assert client.get("/get-result/none", auth=("moderator", PASSWORD)).status_code == 404


def test_the_list_shows_names_and_roles_and_no_hashes(state: Path) -> None:
    token("add", "one", "--role", "predict")
    token("add", "two", "--role", "admin")
    shown = token("list")
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [["one", "predict"], ["two", "admin"]]
    listed = json.loads(token("list", "--json").stdout)
    assert [(each["name"], each["role"], set(each)) for each in listed] == [
        ("one", "predict", {"name", "role", "created"}),
        ("two", "admin", {"name", "role", "created"}),
    ]
    assert "argon2" not in shown.output


def test_without_credentials_the_list_is_empty_and_says_what_that_means(state: Path) -> None:
    shown = token("list", "--json")
    assert json.loads(shown.stdout) == []
    assert "its own machine alone" in shown.stderr
    assert not state.exists()


def test_the_list_tells_that_nobody_comes_in_without_the_file_that_the_settings_name(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SB_API_CREDENTIALS", str(state / "elsewhere.json"))
    assert token("list").stderr == f"There is no {state / 'elsewhere.json'}, so nobody is let in.\n"
    token("add", "one", "--role", "predict")
    assert list(read_credentials(state / "elsewhere.json")) == ["one"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "a.b", "--role", "predict"), "'a.b' is no name"),
        (("add", "../a", "--role", "predict"), "'../a' is no name"),
        (("add", "mod", "--role", "train", "--password"), "12 characters"),
        (("revoke", "nobody"), "There is no credential 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(state: Path, arguments: tuple[str, ...], told: str) -> None:
    ended = token(*arguments, input="short\n")
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: ")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_role_that_is_none_is_wrong_usage(state: Path) -> None:
    assert token("add", "one", "--role", "root").exit_code == 2
    assert token("add", "one").exit_code == 2


def test_who_may_name_reporters_is_told_and_what_was_changed_is_in_the_audit_log(state: Path) -> None:
    token("add", "ninja", "--role", "train", "--may-name-reporters")
    assert "may name reporters" in token("list").stdout
    assert json.loads(token("list", "--json").stdout)[0]["may_name_reporters"] is True
    token("revoke", "ninja")
    told = CliRunner().invoke(main, ["audit"]).stdout
    revoked, added = told.splitlines()
    assert re.search(r"token revoked, by .* from this machine: ninja$", revoked)
    assert added.endswith("ninja, in the role train, may name reporters")
