"""Headers of proxies: believed from those that are named, and only when they say who asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sb_api import create_app
from sb_api.auth.credentials import add_credential
from sb_api.auth.headers import UNKNOWN_CLIENT, trust_proxies
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidSettings
from tests.support.service import assert_problem


def seen(peer: str, count: int = 1, addresses: str = "127.0.0.1,::1", **headers: str) -> dict[str, Any]:
    """The environment that an application behind `count` proxies is given."""
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "here", "SCRIPT_NAME": ""}
    given: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], _: Any) -> list[bytes]:
        given.append(environ)
        return []

    trust_proxies(application, count, addresses)({**environ, **headers}, lambda *_: lambda _: None)
    return given[0]


@pytest.mark.parametrize(
    ("forwarded", "count", "client"),
    [
        ("10.0.0.1", 1, "10.0.0.1"),
        ("10.0.0.1:4711", 1, "10.0.0.1"),
        ("[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("::ffff:10.0.0.1", 1, "10.0.0.1"),
        ("6.6.6.6, 10.0.0.1", 1, "10.0.0.1"),
        ("nonsense, 10.0.0.1", 1, "10.0.0.1"),
        ("6.6.6.6, 10.0.0.2, 10.0.0.1", 2, "10.0.0.2"),
    ],
)
def test_the_client_is_who_the_outermost_proxy_saw(forwarded: str, count: int, client: str) -> None:
    environ = seen("127.0.0.1", count, HTTP_X_FORWARDED_FOR=forwarded)
    assert environ["REMOTE_ADDR"] == client
    assert UNKNOWN_CLIENT not in environ


@pytest.mark.parametrize(
    ("forwarded", "count"), [("", 1), ("unknown", 1), ("10.0.0.1,", 1), ("10.0.0.1", 2), ("a,b", 2)]
)
def test_a_proxy_that_does_not_say_who_asks_asks_for_nobody(forwarded: str, count: int) -> None:
    assert seen("127.0.0.1", count, HTTP_X_FORWARDED_FOR=forwarded)[UNKNOWN_CLIENT]


def test_nobody_else_is_believed() -> None:
    headers = {
        "HTTP_X_FORWARDED_FOR": "10.0.0.1",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "evil.example",
    }
    environ = seen("10.9.9.9", **headers)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("10.9.9.9", "http", "here")
    for named in ("10.9.9.9", "10.9.0.0/16, ::1"):
        environ = seen("10.9.9.9", addresses=named, **headers)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("10.0.0.1", "https")
    assert seen("127.0.0.1", count=0, **headers)["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "count", "prefix"),
    [
        ("/sb_api", 1, "/sb_api"),
        ("/tools/sb_api/", 1, "/tools/sb_api"),
        ("/evil, /sb_api", 1, "/sb_api"),
        ("/tools/sb_api, /sb_api", 2, "/tools/sb_api"),
        ("/sb_api", 2, "/sb_api"),
        *((wrong, 1, "") for wrong in ("", "/", "sb_api", "//evil.example", "/a//evil.example", "/..", "/a/../b")),
        *(
            (wrong, 1, "")
            for wrong in ("/a b", "/a\\b", "/a?b", "/a%2fb", "/a\r\nb", "https://evil.example", "/\u00e4")
        ),
    ],
)
def test_a_proxy_names_the_path_below_which_the_application_stands(given: str, count: int, prefix: str) -> None:
    """Of this site alone: never another host's, and nothing that could end a header."""
    headers = {"HTTP_X_FORWARDED_FOR": "10.0.0.1, 10.0.0.2", "HTTP_X_FORWARDED_PREFIX": given}
    assert seen("127.0.0.1", count, **headers)["SCRIPT_NAME"] == prefix
    assert seen("10.9.9.9", count, **headers)["SCRIPT_NAME"] == ""
    assert seen("127.0.0.1", 0, **headers)["SCRIPT_NAME"] == ""


def test_below_a_path_everything_points_there(tmp_path: Path, settings: Settings) -> None:
    """Page, cookie, `Location` and the servers of the document: they pointed to the site above."""
    token = add_credential(Path(settings.state_dir) / "credentials.json", "one", "admin")
    client = create_app(msgspec.structs.replace(settings, proxies=1)).test_client()
    options: Any = {"headers": {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Prefix": "/tools/sb_api"}}
    sent = client.get("/page/weights?model=intent", **options)
    assert sent.headers["Location"] == "/tools/sb_api/page/sign-in?next=/tools/sb_api/page/weights?model%3Dintent"
    form = {"name": "one", "secret": token, "next": "/tools/sb_api/page/weights"}
    signed_in = client.post("/page/sign-in", data=form, **options)
    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/tools/sb_api/page/weights")
    assert "Path=/tools/sb_api;" in signed_in.headers["Set-Cookie"]
    page = client.get("/page/sign-in", **options).get_data(as_text=True)
    named = re.findall(r'(?:src|href|action)="([^"#]+)"', page)
    assert len(named) > 5
    assert [address for address in named if not address.startswith("/tools/sb_api/")] == []
    assert client.get("/openapi.json", **options).get_json()["servers"] == [{"url": "/tools/sb_api"}]
    options["headers"]["Authorization"] = f"Bearer {token}"
    accepted = client.post("/classify", json={"model": "lodbrok", "data": [{"id": 1}]}, **options)
    assert accepted.headers["Location"] == f"/tools/sb_api/get-result/{accepted.get_json()['task_id']}"
    # What another server mounts below a path says so by SCRIPT_NAME alone.
    mounted = create_app(settings).test_client().get("/openapi.json", environ_overrides={"SCRIPT_NAME": "/mounted"})
    assert mounted.get_json()["servers"] == [{"url": "/mounted"}]


@pytest.mark.parametrize("prefix", ["HTTP_X_FORWARDED_PREFIX", "HTTP_SCRIPT_NAME", "HTTP_X_SCRIPT_NAME"])
def test_a_proxy_does_not_move_the_application(prefix: str) -> None:
    assert seen("127.0.0.1", HTTP_X_FORWARDED_FOR="10.0.0.1", **{prefix: "//evil.example"})["SCRIPT_NAME"] == ""


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/99", "*"])
def test_an_address_that_is_none_is_a_wrong_setting(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InvalidSettings, match="PROXY_ADDRESSES"):
        create_app(load_settings({}, proxies=1, proxy_addresses=wrong, state_dir=str(tmp_path)))


def test_figures_are_open_only_when_the_settings_say_so(tmp_path: Path) -> None:
    shared = {"redis_url": f"unix://{tmp_path}/none.sock", "state_dir": str(tmp_path)}
    token = add_credential(tmp_path / "credentials.json", "prometheus", "predict")
    closed = create_app(load_settings({}, **shared)).test_client()
    assert_problem(closed.get("/metrics"), 401, "unauthenticated")
    assert closed.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    through = {"X-Forwarded-For": "127.0.0.1"}
    behind = create_app(load_settings({}, proxies=1, **shared)).test_client()
    assert_problem(behind.get("/metrics", headers=through), 401, "unauthenticated")
    opened = create_app(load_settings({}, open_metrics="on", **shared)).test_client()
    assert opened.get("/metrics", environ_overrides={"REMOTE_ADDR": "10.0.0.1"}).status_code == 200
