"""Security headers on every answer, and what counts as a request of this machine or of another site."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Request, Response

from sb_api.auth.headers import is_local, refuse_cross_site, secure
from sb_api.errors import Forbidden

EXPECTED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def answer(path: str = "/", **options: Any) -> Response:
    @Request.application
    def application(request: Request) -> Response:
        headers = {"Cache-Control": "max-age=60"} if request.path == "/cached" else None
        return Response("x", 404 if request.path == "/missing" else 200, headers)

    return Client(secure(application)).get(path, **options)


@pytest.mark.parametrize("path", ["/", "/missing"])
def test_every_answer_has_them(path: str) -> None:
    headers = answer(path).headers
    assert {name: headers[name] for name in EXPECTED} == EXPECTED


def test_scripts_and_styles_are_our_own_files_alone_and_nobody_frames_us() -> None:
    policy = dict(part.split(" ", 1) for part in answer().headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in str(policy)
    assert not {"script-src", "style-src"} & policy.keys()


def test_every_header_stands_once() -> None:
    """Two policies would both hold."""
    names = [name.lower() for name, _ in answer("/cached").headers]
    assert len(names) == len(set(names))


def test_an_answer_may_say_itself_how_long_it_is_cached() -> None:
    assert answer("/cached").headers.getlist("Cache-Control") == ["max-age=60"]


def test_browsers_are_bound_to_https_only_where_there_is_https() -> None:
    assert "Strict-Transport-Security" not in answer().headers
    secured = answer(base_url="https://sb.example")
    assert secured.headers["Strict-Transport-Security"].startswith("max-age=31536000")


def environ(remote: str = "127.0.0.1", method: str = "POST", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return EnvironBuilder(method=method, headers=named, environ_overrides={"REMOTE_ADDR": remote}).get_environ()


@pytest.mark.parametrize("host", ["127.0.0.1:4321", "localhost:4321", "LOCALHOST", "[::1]:4321", "127.3.2.1", "[::1]"])
def test_a_request_to_a_loopback_name_is_local(host: str) -> None:
    assert is_local(environ(Host=host), "127.0.0.1")


def test_a_request_to_the_name_it_listens_on_is_local() -> None:
    assert is_local(environ(Host="sb.localdomain:4321"), "sb.localdomain")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4321", "127.0.0.1.evil.example", "localhost.evil"])
def test_a_name_that_was_made_to_stand_for_loopback_is_not(host: str) -> None:
    """DNS rebinding: the browser says the name of the attacker's page."""
    assert not is_local(environ(Host=host), "127.0.0.1")


@pytest.mark.parametrize("remote", ["10.0.0.1", "::2", "", "unix:"])
def test_a_request_of_another_machine_is_not(remote: str) -> None:
    assert not is_local(environ(remote), "127.0.0.1")


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "Via"])
def test_what_a_proxy_passes_on_is_not(header: str) -> None:
    assert not is_local(environ(**{header: "10.0.0.1"}), "127.0.0.1")


@pytest.mark.parametrize("remote", ["::1", "::ffff:127.0.0.1"])
def test_ipv6_loopback_is_local(remote: str) -> None:
    """Also on an address that stands for all of them, by the name that `run` gives it."""
    assert is_local(environ(remote), "::1")
    assert is_local(environ(remote, Host="[::]:4321"), "::")
    assert not is_local(environ(remote, Host="[::2]:4321"), "::")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
    ids=str,
)
def test_a_change_by_another_sites_page_is_refused(headers: dict[str, str]) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "ANYTHING"):
        with pytest.raises(Forbidden, match="another site"):
            refuse_cross_site(environ(method=method, **headers))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}, {"Origin": "http://localhost"}],
    ids=str,
)
def test_our_own_page_and_whoever_is_no_browser_may(headers: dict[str, str]) -> None:
    refuse_cross_site(environ(**headers))


def test_looking_is_not_changing() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        refuse_cross_site(environ(method=method, Sec_Fetch_Site="cross-site"))
