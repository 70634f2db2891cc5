"""Who asks through a proxy, and who on the machine itself: a real web process, and a real nginx with the example."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from sb_api.auth.credentials import add_credential
from tests.conftest import wait_until
from tests.support.certificates import make_certificates
from tests.support.redis_servers import free_port
from tests.support.service import ROOT, clean_environment

EXAMPLE = ROOT / "deploy" / "nginx" / "sb_api.conf"
PLAIN = "server { listen 127.0.0.1:%d; location / { proxy_pass http://127.0.0.1:%d; } }"
# As another user asks: by the interpreter alone, which needs no file of ours.
ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/get-result/none")
print(connection.getresponse().status)
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def web(state: Path, **variables: str) -> Iterator[int]:
    """A web process without a Redis; its port."""
    port = free_port()
    command = [sys.executable, "-m", "sb_api", "web", "--port", str(port)]
    environment = clean_environment(
        SB_API_STATE_DIR=str(state), SB_API_REDIS_URL=f"unix://{state}/none.sock", SB_API_WEB_PROCESSES="1", **variables
    )
    with subprocess.Popen(command, env=environment, cwd=ROOT) as process:
        try:
            wait_until(lambda: listens(port), 60)
            yield port
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def nginx(folder: Path, server: str, port: int) -> Iterator[None]:
    """An nginx whose workers are of another user, with a part of a configuration."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not there; the Debian package nginx has it")
    folder.mkdir()
    user = "user nobody nogroup;" if os.geteuid() == 0 else ""
    start = f"{user} daemon off; pid nginx.pid; error_log error.log; events {{}}"
    (folder / "nginx.conf").write_text(f"{start} http {{ access_log off; {server} }}", "utf-8")
    with subprocess.Popen(["nginx", "-p", str(folder), "-c", "nginx.conf"], cwd=folder) as process:
        try:
            wait_until(lambda: listens(port), 20)
            yield
        finally:
            process.terminate()
            process.wait(20)


def status(address: str, path: str = "/get-result/none", **options: object) -> int:
    return requests.get(f"{address}{path}", timeout=20, **options).status_code  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask as another user")
def test_without_credentials_another_user_of_the_machine_may_do_nothing(tmp_path: Path) -> None:
    def ask(port: int, user: int | None) -> str:
        command = [Path("/usr/bin/python3") if user else sys.executable, "-c", ASK, str(port)]
        return subprocess.run(command, user=user, capture_output=True, text=True, check=True, cwd="/").stdout.strip()

    with web(tmp_path / "own") as port:
        assert (ask(port, None), ask(port, 65534)) == ("404", "403")
    with web(tmp_path / "all", SB_API_LOCAL_USERS="all") as port:
        assert (ask(port, None), ask(port, 65534)) == ("404", "404")


@pytest.mark.skipif(os.geteuid() != 0, reason="nginx's workers are of this user else")
def test_without_credentials_a_plain_proxy_makes_nobody_an_admin(tmp_path: Path) -> None:
    """`proxy_pass` alone says neither that it is a proxy nor who asks."""
    port = free_port()
    with web(tmp_path / "state") as behind, nginx(tmp_path / "nginx", PLAIN % (port, behind), port):
        assert status(f"http://127.0.0.1:{behind}") == 404
        for path in ("/get-result/none", "/metrics", "/weights"):
            assert status(f"http://127.0.0.1:{port}", path) == 403
        assert status(f"http://127.0.0.1:{port}", "/healthz") == 200


def test_a_proxy_that_does_not_say_who_asks_is_refused(tmp_path: Path) -> None:
    state, port = tmp_path / "state", free_port()
    token = add_credential(state / "credentials.json", "one", "admin")
    headers = {"Authorization": f"Bearer {token}"}
    with (
        web(state, SB_API_PROXIES="1") as behind,
        nginx(tmp_path / "nginx", PLAIN % (port, behind), port),
    ):
        for address in (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{behind}"):
            assert status(address, headers=headers) == 403
            assert status(address, "/metrics", headers=headers) == 403
            assert status(address, "/healthz") == 200


def test_behind_the_example_for_nginx_clients_are_known_and_figures_are_not_shown(tmp_path: Path) -> None:
    state, port = tmp_path / "state", free_port()
    token = add_credential(state / "credentials.json", "one", "admin")
    make_certificates(tmp_path / "tls", "127.0.0.1")
    with web(state, SB_API_PROXIES="1") as behind:
        server = EXAMPLE.read_text("utf-8")
        for before, after in (
            ("127.0.0.1:4321", f"127.0.0.1:{behind}"),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("/etc/ssl/sb_api.pem", f"{tmp_path}/tls/server.pem"),
            ("/etc/ssl/private/sb_api.key", f"{tmp_path}/tls/server.key"),
        ):
            assert before in server
            server = server.replace(before, after)
        with nginx(tmp_path / "nginx", server, port), requests.Session() as session:
            session.trust_env = False  # or a bundle of the environment would be used
            session.verify = str(tmp_path / "tls" / "ca.pem")
            address = f"https://127.0.0.1:{port}"
            session.headers["Authorization"] = f"Bearer {token}"
            answer = session.get(f"{address}/get-result/none", timeout=20)
            assert answer.status_code == 404
            assert "Strict-Transport-Security" in answer.headers  # X-Forwarded-Proto is believed
            assert session.get(f"{address}/metrics", timeout=20).status_code == 403
            # What a client says of itself is not.
            session.headers["Authorization"] = "Bearer one.wrong"
            codes = [
                session.get(f"{address}/weights", headers={"X-Forwarded-For": f"10.0.0.{n}"}, timeout=20).status_code
                for n in range(7)
            ]
            assert codes == [401] * 6 + [429]


def test_below_a_path_of_another_site_the_page_is_signed_in_to_and_shown(tmp_path: Path) -> None:
    """With the example for nginx, changed as it says."""
    state, port = tmp_path / "state", free_port()
    token = add_credential(state / "credentials.json", "one", "admin")
    part = EXAMPLE.read_text("utf-8").partition("    location / {")[2].partition("    }")[0]
    for before, after in (
        ('X-Forwarded-Prefix ""', "X-Forwarded-Prefix /tools/sb_api"),
        ("proxy_pass http://sb_api;", "proxy_pass http://sb_api/;"),
    ):
        assert before in part
        part = part.replace(before, after)
    with web(state, SB_API_PROXIES="1") as behind:
        server = (
            f"upstream sb_api {{ server 127.0.0.1:{behind}; keepalive 4; }} "
            f"server {{ listen 127.0.0.1:{port}; location /tools/sb_api/ {{ {part} }} }}"
        )
        with nginx(tmp_path / "nginx", server, port), requests.Session() as session:
            top = f"http://127.0.0.1:{port}/tools/sb_api"
            shown = session.get(f"{top}/", timeout=20)
            assert shown.url.startswith(f"{top}/page/sign-in?next=")
            named = set(re.findall(r'(?:src|href|action)="(/[^"]+)"', shown.text))
            assert len(named) >= 5
            assert {path for path in named if not path.startswith("/tools/sb_api/")} == set()
            for path in named:
                # Without a Redis some say so; none is nginx's 404.
                assert session.get(f"http://127.0.0.1:{port}{path}", timeout=20).status_code in (200, 405, 503), path
            form = {"name": "one", "secret": token, "next": "/tools/sb_api/docs"}
            signed_in = session.post(f"{top}/page/sign-in", data=form, timeout=20)
            assert (signed_in.status_code, signed_in.url) == (200, f"{top}/docs")
            assert [cookie.path for cookie in session.cookies] == ["/tools/sb_api"]
            document = session.get(f"{top}/openapi.json", timeout=20).json()
            assert document["servers"] == [{"url": "/tools/sb_api"}]
            for path in re.findall(r'(?:src|href)="([^"]+)"', signed_in.text):
                assert session.get(f"{top}/{path}", timeout=20).status_code == 200


def test_the_example_for_caddy_is_sound() -> None:
    text = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text("utf-8")
    if shutil.which("caddy") is not None:
        subprocess.run(["caddy", "validate", "--config", str(ROOT / "deploy" / "caddy" / "Caddyfile")], check=True)
    assert re.search(r"reverse_proxy 127\.0\.0\.1:4321\n", text)
    assert text.count("{") == text.count("}")
