"""What anybody may send, without proof of who they are, costs next to nothing and leaves next to nothing behind."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.auth import gate
from sb_api.auth.access import OPEN_BODY_BYTES
from sb_api.auth.credentials import add_credential
from sb_api.config import load_settings

LARGE = 32 * 2**20


class Watched(io.BytesIO):
    """A body that knows how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.taken += len(piece)
        return piece

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = super().readinto(buffer)
        self.taken += count
        return count


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    settings = load_settings({}, redis_url=f"unix://{tmp_path}/none.sock", state_dir=str(tmp_path / "state"))
    settings.state.mkdir()
    add_credential(settings.credentials_file, "spamninja", "predict")
    return create_app(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("kind", [FORM, "multipart/form-data; boundary=b"])
def test_a_large_form_is_refused_unread_where_nobody_signs_in(app: Flask, client: FlaskClient, kind: str) -> None:
    for rule in app.url_map.iter_rules():
        if "POST" in (rule.methods or ()):
            body = Watched(b"a=" + b"x" * LARGE)
            response = client.post(
                rule.rule,
                input_stream=body,
                content_length=LARGE,
                headers={"Content-Type": kind, "Accept": "text/html"},
            )
            assert response.status_code in (401, 413), rule.rule
            assert body.taken <= OPEN_BODY_BYTES, rule.rule


def test_a_form_of_unknown_length_is_read_no_further_than_it_may_be(client: FlaskClient) -> None:
    body = Watched(b"name=" + b"x" * LARGE)
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    response = client.post("/page/sign-in", input_stream=body, content_type=FORM, environ_overrides=environ)
    assert response.status_code == 401
    assert body.taken <= OPEN_BODY_BYTES


@pytest.mark.parametrize("name", ["x" * 65, "x" * 15_000, "spam ninja", "spamninja\n", "\x1b[31m", ""])
def test_a_name_that_is_none_is_neither_hashed_nor_kept(
    app: Flask, client: FlaskClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "fits", None)
    for _ in range(3):
        if name != name.strip():
            response = client.get("/weights", auth=(name, "secret"))
        else:
            response = client.post("/page/sign-in", data=urlencode({"name": name, "secret": "x"}), content_type=FORM)
        assert response.status_code == 401
    keeper = app.extensions["sb_api.auth"]
    assert not keeper.by_name._records
    assert keeper.by_address._records["127.0.0.1"].failures == 3  # it counts all the same


def test_a_secret_longer_than_any_is_not_hashed(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "fits", None)
    assert client.get("/weights", auth=("spamninja", "x" * 5000)).status_code == 401


def test_what_is_kept_of_failures_is_small_whatever_addresses_are_claimed(app: Flask, client: FlaskClient) -> None:
    for number in range(30):
        address = f"{'x' * 5000}{number}"
        client.get("/weights", auth=("nobody", "x"), environ_overrides={"REMOTE_ADDR": address})
    assert list(app.extensions["sb_api.auth"].by_address._records) == ["unknown"]


@pytest.mark.parametrize(
    "wanted", ["//[", "/a\r\nX: y", "/\\evil.example", "https://evil.example", "http://[", "/a\x00b"]
)
def test_after_signing_in_one_goes_to_no_odd_address(client: FlaskClient, wanted: str) -> None:
    shown = client.get("/page/sign-in", query_string={"next": wanted})
    assert shown.status_code == 200
    assert 'name="next" value="/"' in shown.text


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "", "http://[v1.x]"])
def test_an_origin_that_is_no_address_is_of_another_site(client: FlaskClient, origin: str) -> None:
    assert client.post("/train", data=b"[]", headers={"Origin": origin}).status_code == 403
