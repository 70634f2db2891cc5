"""Settings: defaults, overlaid by the environment, strictly checked; and where files are kept."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from redis.connection import parse_url

import sb_api
from sb_api import create_app
from sb_api.auth.gate import require_credentials
from sb_api.config import PREFIX, Settings, describe_settings, load_settings
from sb_api.database_urls import parse_database_url
from sb_api.errors import InvalidSettings

FIELDS = Settings.__struct_fields__


def test_without_an_environment_the_defaults_hold() -> None:
    assert load_settings({}) == Settings()
    assert (Settings().host, Settings().port) == ("127.0.0.1", 4321)
    assert (Settings().max_records, Settings().max_body_bytes) == (10_000, 32 * 2**20)


def test_the_defaults_pass_their_own_checks() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()


@pytest.mark.parametrize("field", FIELDS)
def test_every_setting_can_be_set_from_the_environment(field: str) -> None:
    values = {"host": "::1", "redis_memory": "2gb", "redis_url": "unix:///somewhere"}
    values |= {"verdict_log": "sqlite:////somewhere", "messages_url": "postgres://u@host/somewhere"}
    values |= {"editors_url": "postgresql://u@host/somewhere", "mlflow_url": "https://host"}
    values |= {"review_band": "certain spam", "webhook_band": "unsure"}
    value = {**values, "log_level": "ERROR", "log_format": "json"}.get(field)
    if value is None:
        default = getattr(Settings(), field)
        switch = {"on": "off", "off": "on", "onnx": "keras", "own": "all"}.get(default, "/somewhere")
        value = switch if isinstance(default, str) else default / 2 if isinstance(default, float) else default + 1
    settings = load_settings({f"{PREFIX}{field.upper()}": str(value)})
    assert getattr(settings, field) == value
    assert msgspec.structs.replace(settings, **{field: getattr(Settings(), field)}) == Settings()


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB_API_PORT", "4399")
    assert load_settings().port == 4399


def test_overrides_win_over_the_environment_and_none_is_no_override() -> None:
    environment = {"SB_API_PORT": "4399", "SB_API_WEB_PROCESSES": "3"}
    settings = load_settings(environment, port=5000, web_processes=None)
    assert (settings.port, settings.web_processes) == (5000, 3)


def test_other_names_in_the_environment_do_not_matter() -> None:
    environment = {"PORT": "1", "sb_api_port": "2", "SB_APIPORT": "3", "XSB_API_PORT": "4", "SB_API_BENCH_SECONDS": "5"}
    assert load_settings(environment) == Settings()


def test_an_unknown_name_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings({"SB_API_PROT": "4321", "SB_API_PORT": "4321"})
    assert caught.value.detail.startswith("SB_API_PROT:")
    assert "SB_API_PORT" in caught.value.detail


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", "abc"),
        ("port", ""),
        ("port", "-1"),
        ("port", "65536"),
        ("port", "4321.5"),
        ("port", "true"),
        ("port", "9" * 400),
        ("web_processes", "-1"),
        ("web_processes", "65"),
        ("max_records", "0"),
        ("max_body_bytes", "1023"),
        ("slice_records", "0"),
        ("queue_limit", "-5"),
        ("predict_timeout", "0"),
        ("predict_timeout", "nan"),
        ("predict_timeout", "inf"),
        ("train_timeout", "inf"),
        ("lease", "0.4"),
        ("lease", "inf"),
        ("versions_kept", "1"),
        ("guard_tolerance", "1.5"),
        ("fp_budget", "0"),
        ("redis_memory", "lots"),
        ("redis_memory", "1gb\nport 1"),
        ("redis_memory", "1gb\n"),
        ("redis_memory", "0gb"),
        ("log_level", "debug"),
        ("log_level", "LOUD"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_setting(field: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"\$\.{field}\b"):
        load_settings({f"{PREFIX}{field.upper()}": value})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_addresses_may_be_listened_on(host: str) -> None:
    require_credentials(load_settings({"SB_API_HOST": host}))


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "0",
        "192.168.1.10",
        "10.0.0.1",
        "8.8.8.8",
        "fe80::1",
        "2001:db8::1",
        "",
        " ",
        "no such host",
        "host.invalid",
        "127.0.0.1:4321",
        "\x00",
        "a" * 300,
        "é" * 70,
    ],
)
def test_without_credentials_no_other_address_is_listened_on(host: str) -> None:
    with pytest.raises(InvalidSettings, match="loopback"):
        require_credentials(load_settings({"SB_API_HOST": host}))
    with pytest.raises(InvalidSettings, match="loopback"):
        create_app(load_settings({}, host=host))


def test_a_name_that_is_not_loopback_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server listens on what the name stands for; one public address among others is enough to be reached."""
    answers = [(2, 1, 6, "", ("127.0.0.1", 0)), (2, 1, 6, "", ("203.0.113.5", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: answers)
    with pytest.raises(InvalidSettings, match="loopback"):
        require_credentials(load_settings({"SB_API_HOST": "box.example"}))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: answers[:1])
    require_credentials(load_settings({"SB_API_HOST": "box.example"}))


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]


def test_a_checkout_keeps_its_state_in_static() -> None:
    static = Path(sb_api.__file__).parent.parent / "static"
    assert Settings().static == static
    assert Settings().state == static


def test_the_state_directory_can_be_put_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({"SB_API_STATE_DIR": str(tmp_path)}).state == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({"SB_API_STATE_DIR": "~/kept"}).state == tmp_path / "kept"
    monkeypatch.chdir(tmp_path)
    assert load_settings({"SB_API_STATE_DIR": "here"}).state == tmp_path / "here"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as it lies once installed: `static/` inside of it."""
    package = tmp_path / "site-packages" / "sb_api"
    (package / "static").mkdir(parents=True)
    monkeypatch.setattr("sb_api.config.__file__", str(package / "config.py"))
    return package


def test_installed_it_keeps_its_state_in_the_folder_of_the_user(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never among the installed files, which may be read-only and go with the next release."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert Settings().static == installed / "static"
    assert Settings().state == tmp_path / ".local/state/sb_api"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert Settings().state == tmp_path / "xdg/sb_api"
    assert Settings(state_dir=str(tmp_path / "own")).state == tmp_path / "own"


def test_a_kept_file_wins_over_the_shipped_one(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path))
    assert settings.find("reference/lodbrok.npz") == settings.static / "reference/lodbrok.npz"
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/lodbrok.npz").touch()
    assert settings.find("reference/lodbrok.npz") == tmp_path / "reference/lodbrok.npz"


def test_the_embedded_redis_lies_in_the_state_directory_unless_another_is_named(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path))
    assert settings.redis_socket.is_relative_to(tmp_path)
    assert settings.redis_address == f"unix://{settings.redis_socket}"
    assert Settings(redis_url="redis://queue:6379/1").redis_address == "redis://queue:6379/1"


@pytest.mark.parametrize(("cores", "processes"), [(1, 1), (2, 2), (64, 8), (None, 1)])
def test_there_are_a_web_and_a_classify_process_per_core(
    cores: int | None, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert (Settings().web_count, Settings().classify_count) == (processes, processes)
    settings = Settings(web_processes=5, classify_processes=3)
    assert (settings.web_count, settings.classify_count) == (5, 3)


def test_every_setting_is_described_by_its_variable_and_default() -> None:
    rows = describe_settings()
    assert [name for name, _, _ in rows] == [f"{PREFIX}{field.upper()}" for field in FIELDS]
    assert [default for _, default, _ in rows] == [str(getattr(Settings(), field)) for field in FIELDS]
    assert all(len(description) >= 10 for _, _, description in rows)
    assert len({description for _, _, description in rows}) == len(rows)


def test_the_names_of_the_client_side_are_no_settings() -> None:
    """Who has SB_API_URL and SB_API_TOKEN in the environment may run a service too."""
    names = {"SB_API_URL": "http://example.org", "SB_API_TOKEN": "x", "SB_API_TOKEN_FILE": "/x"}
    assert load_settings(names) == load_settings({})
    with pytest.raises(InvalidSettings, match="SB_API_TOKENS"):
        load_settings({"SB_API_TOKENS": "x"})


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("postgres://h/db", ("postgresql+psycopg", None, None, "h", None, "db", {})),
        ("postgresql://u:p@ss:w/rd#1@h:5433/db", ("postgresql+psycopg", "u", "p@ss:w/rd#1", "h", 5433, "db", {})),
        ("postgresql://u:p%40ss%3F%25@[::1]:5/db", ("postgresql+psycopg", "u", "p@ss?%", "::1", 5, "db", {})),
        ("mysql://u@/db?unix_socket=/a%20b", ("mysql+pymysql", "u", None, None, None, "db", {"unix_socket": "/a b"})),
        ("mariadb+pymysql://[::1]/db", ("mariadb+pymysql", None, None, "::1", None, "db", {})),
        ("sqlite:////var/a@b?#%20c.sqlite", ("sqlite", None, None, None, None, "/var/a@b?#%20c.sqlite", {})),
    ],
)
def test_a_database_url_is_read_whatever_its_password_is(url: str, parts: tuple[object, ...]) -> None:
    """`postgres://` is what many places hand out; of `p@ss` a part was taken for the host, and shown."""
    assert tuple(parse_database_url(url, "X")) == parts
    assert load_settings({"SB_API_VERDICT_LOG": url}).verdict_log == url


@pytest.mark.parametrize("name", ["SB_API_VERDICT_LOG", "SB_API_MESSAGES_URL"])
@pytest.mark.parametrize(
    "url",
    [
        *("none", "oracle://u:secret@h/x", "postgresql+secret://h/x", "postgresql://u:sec?ret@h/x"),
        *("postgresql://u:secret@h:port/x", "postgresql://h:70000/x", "postgresql:/u:secret@h/x"),
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://file"),
    ],
)
def test_a_database_url_that_does_not_fit_is_refused_at_the_start_without_its_password(name: str, url: str) -> None:
    """It was looked at by the train process alone, which died of it ten times, and took the service with it."""
    with pytest.raises(InvalidSettings, match=name) as caught:
        load_settings({name: url})
    assert "ret@" not in caught.value.detail
    assert ":sec" not in caught.value.detail


def test_the_address_of_the_embedded_redis_is_quoted() -> None:
    """Of a directory a#b only /a was taken, and no Redis was found."""
    state = load_settings({"SB_API_STATE_DIR": "/a#b?c%20d@e f"})
    assert parse_url(state.redis_address)["path"] == "/a#b?c%20d@e f/redis/redis.sock"


@pytest.mark.parametrize(("setting", "path"), [("STATE_DIR", "~nobody-of-that-name/x"), ("CREDENTIALS", "~nobody.x/y")])
def test_a_home_that_is_not_there_is_a_wrong_setting(setting: str, path: str) -> None:
    settings = load_settings({f"SB_API_{setting}": path})
    with pytest.raises(InvalidSettings, match=f"SB_API_{setting}"):
        assert settings.state and settings.credentials_file  # noqa: PT018


def test_of_a_setting_that_may_have_few_values_these_are_named() -> None:
    with pytest.raises(InvalidSettings, match='"keras" or "onnx"'):
        load_settings({"SB_API_ENGINE": "tensorflow"})


def test_without_a_home_the_state_directory_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run by a user whom it does not know; it was a RuntimeError."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    monkeypatch.setattr(Settings, "static", Path(sb_api.__file__).parent / "static")
    with pytest.raises(InvalidSettings, match="SB_API_STATE_DIR"):
        load_settings({}).state  # noqa: B018
    assert load_settings({"SB_API_STATE_DIR": str(tmp_path)}).credentials_file == tmp_path / "credentials.json"
