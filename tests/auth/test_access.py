"""Who may do what over HTTP: roles, tokens, Basic, cookies, and wrong secrets that are counted and slowed."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sb_api import create_app
from sb_api.auth import access, gate
from sb_api.auth.credentials import ROLES, Role, add_credential, read_credentials, revoke_credential
from sb_api.auth.gate import COOKIE, CSRF_HEADER, Gate
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidCredentials, SbApiError
from tests.support.service import MALFORMED_BODIES, assert_problem

PASSWORD = "correct horse battery staple"
NO_TASK = "/get-result/no-task"  # answered 404 without a look at Redis
# What each route needs. One that is not here, nor among OPEN, fails the test below.
NEEDED: dict[tuple[str, str], Role] = {
    ("POST", "/predict"): "predict",
    ("POST", "/intents/predict"): "predict",
    ("POST", "/sentiments/predict"): "predict",
    ("POST", "/classify"): "predict",
    ("GET", "/get-result/no-task"): "predict",
    ("GET", "/weights"): "predict",
    ("GET", "/quality"): "predict",
    ("GET", "/verdicts"): "train",
    ("POST", "/verdicts/undo"): "train",
    ("GET", "/editors"): "train",
    ("GET", "/review"): "train",
    ("POST", "/review"): "train",
    ("POST", "/train"): "train",
    ("POST", "/intents/train"): "train",
    ("POST", "/sentiments/train"): "train",
    ("POST", "/train?force=true"): "admin",
    ("POST", "/intents/train?force=true"): "admin",
    ("POST", "/rollback"): "admin",
    ("POST", "/let-back"): "admin",
    ("GET", "/weights/staged"): "train",
    ("POST", "/weights/stage"): "admin",
    ("POST", "/weights/promote"): "admin",
    ("POST", "/weights/drop"): "admin",
    ("POST", "/weights/rename-class"): "admin",
    ("POST", "/replay"): "admin",
    ("POST", "/replay?force=true"): "admin",
}
OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs", "/docs/<name>", "/assets/<path:filename>", "/page/sign-in")
FORMS = ("/page/sign-out",)  # of whoever has a session, whatever the role


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file with a credential of every role and one with a password, and their secrets; hashing takes its time."""
    file = tmp_path_factory.mktemp("made") / "credentials.json"
    secrets = {role: add_credential(file, role, role) for role in ROLES}
    return file, {**secrets, "moderator": add_credential(file, "moderator", "train", PASSWORD)}


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """Settings of a service without a Redis."""
    return load_settings({}, redis_url=f"unix://{tmp_path}/none.sock", state_dir=str(tmp_path / "state"))


@pytest.fixture
def tokens(own: Settings, made: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The secrets of the credentials that the application has."""
    own.state.mkdir()
    shutil.copy(made[0], own.credentials_file)
    return made[1]


@pytest.fixture
def app(own: Settings) -> Flask:
    return create_app(own)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(client: FlaskClient, **headers: str) -> int:
    return client.get(NO_TASK, headers=headers).status_code


# Roles


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_table_says_and_nothing_else(
    client: FlaskClient, tokens: dict[str, str], role: Role
) -> None:
    for (method, path), needed in NEEDED.items():
        response = client.open(path, method=method, headers=bearer(tokens[role]), data=b"x")
        if ROLES.index(role) >= ROLES.index(needed):
            assert response.status_code in (400, 404, 503), path
        else:
            problem = assert_problem(response, 403, "forbidden")
            assert ROLES.index(role) < ROLES.index(problem["role"]) <= ROLES.index(needed)
            assert f"needs the role {problem['role']}" in problem["detail"]


def test_without_a_credential_nothing_but_the_open_routes_answers(client: FlaskClient, tokens: dict[str, str]) -> None:
    for method, path in NEEDED:
        response = client.open(path, method=method, data=b"x")
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="sb_api", Basic realm="sb_api"'
    for path in OPEN:
        with client.get(path.replace("<name>", "start.js").replace("<path:filename>", "page.js")) as response:
            assert response.status_code in (200, 503)


def test_every_route_says_who_may_use_it(app: Flask) -> None:
    """A new one that forgets to is found here."""
    silent = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "role") and rule.rule not in OPEN + FORMS
    }
    assert silent == set()


def test_the_document_tells_the_same_roles(app: Flask) -> None:
    paths = app.test_client().get("/openapi.json").get_json()["paths"]
    told = {
        (method.upper(), path.replace("{task_id}", "no-task")): operation["security"][0]["bearer"][0]
        for path, operations in paths.items()
        for method, operation in operations.items()
        if operation["security"] and {} not in operation["security"]  # or none is needed on the machine itself
    }
    assert told == {place: role for place, role in NEEDED.items() if "force" not in place[1]}


def test_a_browser_is_not_asked_for_basic(client: FlaskClient, tokens: dict[str, str]) -> None:
    """It would keep the secret, and send it with whatever request any page makes."""
    response = client.get(NO_TASK, headers={"Sec-Fetch-Site": "same-origin"})
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="sb_api"'


def test_nothing_is_read_of_a_body_before_it_is_known_who_sent_it(client: FlaskClient, tokens: dict[str, str]) -> None:
    for body in MALFORMED_BODIES.values():
        assert client.post("/predict", data=body).status_code == 401


# How a secret is sent


def test_basic_takes_the_token_or_the_password(client: FlaskClient, tokens: dict[str, str]) -> None:
    assert client.get(NO_TASK, auth=("predict", tokens["predict"])).status_code == 404
    assert client.get(NO_TASK, auth=("moderator", PASSWORD)).status_code == 404


def test_a_secret_does_for_its_own_name_alone(client: FlaskClient, tokens: dict[str, str]) -> None:
    assert client.get(NO_TASK, auth=("admin", tokens["predict"])).status_code == 401
    assert ask(client, **bearer(tokens["predict"].replace("predict.", "admin."))) == 401
    assert ask(client, **bearer(PASSWORD)) == 401
    assert ask(client, **bearer(f"moderator.{PASSWORD}")) == 401


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", "Basic", "Basic x", "Basic eA==", "Digest username=x", "Bearer .", "Bearer \xff"),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b":").decode(),
        "Bearer " + "x" * 4000,
    ],
)
def test_any_other_header_is_a_401(client: FlaskClient, tokens: dict[str, str], header: str) -> None:
    assert_problem(client.get(NO_TASK, headers={"Authorization": header}), 401, "unauthenticated")


def test_a_secret_is_hashed_once_and_remembered(
    client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = count_hashing(monkeypatch)
    for _ in range(5):
        assert ask(client, **bearer(tokens["predict"])) == 404
    assert checked == ["predict"]


def test_many_who_come_with_one_new_secret_wait_for_one_hashing(
    app: Flask, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "HASHING", 1)
    app.extensions["sb_api.auth"] = Gate(app.extensions["sb_api"].settings)
    checked = count_hashing(monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(app.test_client(), **bearer(tokens["train"])), range(8)))
    assert answers == [404] * 8
    assert len(checked) == 1


def test_what_is_remembered_is_bounded(
    app: Flask, client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MOST_VERIFIED", 2)
    monkeypatch.setattr(gate, "fits", lambda *_: True)
    for number in range(5):
        assert ask(client, **bearer(f"predict.{number}")) == 404
        assert len(app.extensions["sb_api.auth"].snapshot().verified) <= 2


def count_hashing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    checked: list[str] = []
    real = gate.fits

    def counted(secret: str, hashed: str) -> bool:
        checked.append(secret.partition(".")[0])
        return real(secret, hashed)

    monkeypatch.setattr(gate, "fits", counted)
    return checked


def test_an_unknown_name_costs_as_much_as_a_known_one(
    client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the time would tell which names there are; nor does the answer's text."""
    checked = count_hashing(monkeypatch)
    known, unknown = (client.get(NO_TASK, auth=(name, "x")).get_json() for name in ("admin", "nobody"))
    assert len(checked) == 2
    assert {**known, "instance": None} == {**unknown, "instance": None}


# Changes of the file hold at once


def test_a_revoked_credential_is_out_at_once_and_the_others_stay(
    client: FlaskClient, own: Settings, tokens: dict[str, str]
) -> None:
    assert ask(client, **bearer(tokens["predict"])) == 404
    revoke_credential(own.credentials_file, "predict")
    assert ask(client, **bearer(tokens["predict"])) == 401
    assert ask(client, **bearer(tokens["train"])) == 404


def test_a_new_credential_is_in_at_once(client: FlaskClient, own: Settings, tokens: dict[str, str]) -> None:
    assert ask(client) == 401
    new = add_credential(own.credentials_file, "new", "predict")
    assert ask(client, **bearer(new)) == 404


def test_the_first_credential_ends_the_time_without(client: FlaskClient, own: Settings) -> None:
    assert ask(client) == 404
    add_credential(own.credentials_file, "new", "predict")
    assert ask(client) == 401


def test_the_last_one_revoked_lets_nobody_in(client: FlaskClient, own: Settings, tokens: dict[str, str]) -> None:
    """To open the service is another thing, which takes the file away."""
    for name in list(read_credentials(own.credentials_file)):
        revoke_credential(own.credentials_file, name)
    assert ask(client) == 401
    own.credentials_file.unlink()
    assert ask(client) == 404


def test_a_file_that_the_settings_name_and_is_not_there_lets_nobody_in(own: Settings, tmp_path: Path) -> None:
    named = msgspec.structs.replace(own, credentials=str(tmp_path / "elsewhere.json"))
    client = create_app(named).test_client()
    assert ask(client) == 401
    token = add_credential(tmp_path / "elsewhere.json", "new", "predict")
    assert ask(client, **bearer(token)) == 404


def test_a_damaged_file_lets_nobody_in_and_is_told_in_the_log(
    client: FlaskClient, own: Settings, tokens: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(client, **bearer(tokens["predict"])) == 404
    whole = own.credentials_file.read_bytes()
    own.credentials_file.write_bytes(whole[:-20])
    for _ in range(3):
        problem = assert_problem(client.get(NO_TASK, headers=bearer(tokens["predict"])), 503, "unavailable")
        assert str(own.state) not in str(problem)
    assert [record.levelname for record in caplog.records if "nobody can come in" in record.message] == ["ERROR"]
    own.credentials_file.write_bytes(whole)
    assert ask(client, **bearer(tokens["predict"])) == 404


# Without credentials


def test_without_credentials_its_own_machine_may_do_everything(client: FlaskClient) -> None:
    for method, path in NEEDED:
        assert client.open(path, method=method, data=b"x").status_code in (400, 404, 503), path


def test_without_credentials_no_other_machine_may_do_anything(client: FlaskClient) -> None:
    """Also behind a server of the web part alone that was told to listen everywhere."""
    for method, path in NEEDED:
        response = client.open(path, method=method, data=b"x", environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
        assert_problem(response, 403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:4321", "Origin": "http://evil.example:4321"},
        {"X-Forwarded-For": "10.0.0.1"},
    ],
    ids=["a form of another site", "a script of another site", "a rebound name", "through a proxy"],
)
def test_without_credentials_no_web_page_may_use_a_browser_of_this_machine(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    assert_problem(client.post("/train", data=b"[]", headers=headers), 403, "forbidden")


def test_an_open_address_wants_a_credential(tmp_path: Path, made: tuple[Path, dict[str, str]]) -> None:
    settings = load_settings({}, host="0.0.0.0", state_dir=str(tmp_path))
    with pytest.raises(SbApiError, match="without credentials"):
        create_app(settings)
    shutil.copy(made[0], tmp_path / "credentials.json")
    gate.require_credentials(settings)
    for name in list(read_credentials(tmp_path / "credentials.json")):
        revoke_credential(tmp_path / "credentials.json", name)
    with pytest.raises(SbApiError, match="without credentials"):
        gate.require_credentials(settings)
    (tmp_path / "credentials.json").write_bytes(b"{")
    with pytest.raises(InvalidCredentials):
        gate.require_credentials(settings)


# Wrong secrets


def test_wrong_secrets_are_slowed_and_what_is_remembered_is_not(client: FlaskClient, tokens: dict[str, str]) -> None:
    assert ask(client, **bearer(tokens["train"])) == 404
    codes = [ask(client, **bearer("predict.wrong")) for _ in range(8)]
    assert codes[:6] == [401] * 6
    assert codes[6:] == [429] * 2
    response = client.get(NO_TASK, headers=bearer(tokens["predict"]))
    assert_problem(response, 429, "too-many-failures")
    assert int(response.headers["Retry-After"]) >= 1
    assert ask(client, **bearer(tokens["train"])) == 404


def test_while_slowed_nothing_is_hashed(
    client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = count_hashing(monkeypatch)
    for _ in range(12):
        ask(client, **bearer("predict.wrong"))
    assert len(checked) == 6


def test_one_address_does_not_slow_another_nor_one_of_an_ipv6_network_itself_alone(
    client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "fits", lambda secret, _: secret == tokens["train"])

    def code(address: str, token: str = "predict.wrong") -> int:
        return client.get(NO_TASK, headers=bearer(token), environ_overrides={"REMOTE_ADDR": address}).status_code

    for number in range(6):
        assert code("10.0.0.1") == 401
        assert code(f"2001:db8::{number}") == 401
    assert (code("10.0.0.1"), code("2001:db8::ffff")) == (429, 429)
    assert (code("10.0.0.2", tokens["train"]), code("2001:db8:0:1::1", tokens["train"])) == (404, 404)


def test_one_name_is_slowed_whoever_asks(
    client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "fits", lambda *_: False)
    codes = [
        client.get(
            NO_TASK, headers=bearer("predict.wrong"), environ_overrides={"REMOTE_ADDR": f"10.0.0.{number}"}
        ).status_code
        for number in range(25)
    ]
    assert codes == [401] * 21 + [429] * 4


def test_a_right_secret_forgives(client: FlaskClient, tokens: dict[str, str]) -> None:
    for _ in range(3):
        for _ in range(3):
            assert ask(client, **bearer("predict.wrong")) == 401
        assert client.get(NO_TASK, auth=("predict", tokens["predict"])).status_code == 404
        client.application.extensions["sb_api.auth"].snapshot().verified.clear()


def test_those_who_wait_too_long_are_told_to_come_again(
    app: Flask, client: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not more than so many secrets are hashed at once, whatever comes."""
    monkeypatch.setattr(gate, "PATIENCE", 0.05)
    busy, go_on = threading.Semaphore(0), threading.Event()

    def slow(*_: str) -> bool:
        busy.release()
        return go_on.wait(20)

    monkeypatch.setattr(gate, "fits", slow)
    with ThreadPoolExecutor(gate.HASHING) as pool:
        held = [pool.submit(ask, app.test_client(), **bearer(tokens["train"])) for _ in range(gate.HASHING)]
        for _ in held:
            assert busy.acquire(timeout=20)
        response = client.get(NO_TASK, headers=bearer(tokens["predict"]))
        go_on.set()
    assert_problem(response, 503, "unavailable")
    assert [future.result() for future in held] == [404] * gate.HASHING


def test_neither_secrets_nor_unknown_names_are_logged(
    client: FlaskClient, tokens: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown name may be a secret in the wrong place."""
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(f"train:{tokens['train']}".encode()).decode()
    for header in (
        f"Bearer {tokens['predict']}",
        f"Bearer {tokens['predict']}x",
        "Bearer thisIsAsecretWithoutName",
        f"Basic {basic}",
        f"Basic {basic}x",
        "Basic " + base64.b64encode(f"{PASSWORD}:predict".encode()).decode(),
    ):
        client.get(NO_TASK, headers={"Authorization": header})
    assert "a wrong secret for predict from 127.0.0.1, failure 1 in a row" in caplog.text
    assert "a wrong secret for an unknown name from 127.0.0.1" in caplog.text
    for secret in (*(token.partition(".")[2] or token for token in tokens.values()), "thisIsAsecretWithoutName", basic):
        assert secret not in caplog.text


# The page's cookie


@pytest.fixture
def page(app: Flask) -> Flask:
    """The application with a page that signs in and out, as the real one does."""

    @app.post("/test/sign-in")
    def sign_in() -> Response:
        response = Response("in")
        access.start_session(response, access.sign_in(request.form["name"], request.form["secret"]))
        return response

    @app.post("/test/sign-out")
    @access.require("predict")
    def sign_out() -> Response:
        response = Response("out")
        access.end_session(response)
        return response

    @app.get("/test/csrf")
    def csrf() -> str:
        return access.csrf_token()

    @app.get("/test/who")
    def who() -> dict[str, str]:
        identity = access.current_identity()
        return {"name": identity.name, "role": identity.role}

    return app


def sign_in(client: FlaskClient, name: str, secret: str, **options: Any) -> TestResponse:
    return client.post("/test/sign-in", data={"name": name, "secret": secret}, **options)


@pytest.fixture
def browser(page: Flask, tokens: dict[str, str]) -> FlaskClient:
    """A browser with the moderator signed in."""
    browser = page.test_client()
    assert sign_in(browser, "moderator", PASSWORD).status_code == 200
    return browser


def test_who_signed_in_is_known_by_cookie(browser: FlaskClient) -> None:
    assert browser.get("/test/who").get_json() == {"name": "moderator", "role": "train"}
    assert browser.get(NO_TASK).status_code == 404


def test_a_wrong_secret_signs_nobody_in_and_is_slowed(page: Flask, tokens: dict[str, str]) -> None:
    browser = page.test_client()
    assert sign_in(browser, "moderator", "wrong").status_code == 401
    assert browser.get_cookie(COOKIE) is None
    assert [sign_in(browser, "moderator", "wrong").status_code for _ in range(6)][-1] == 429


def test_the_cookie_is_kept_from_scripts_and_other_sites(page: Flask, tokens: dict[str, str]) -> None:
    response = sign_in(page.test_client(), "moderator", PASSWORD)
    [cookie] = response.headers.getlist("Set-Cookie")
    attributes = {part.strip() for part in cookie.split(";")[1:]}
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= attributes
    assert "Secure" not in attributes


@pytest.mark.parametrize("address", ["http://sb.example", "https://sb.example", "https://localhost"])
def test_off_loopback_and_with_https_it_is_secure(page: Flask, tokens: dict[str, str], address: str) -> None:
    response = sign_in(page.test_client(), "moderator", PASSWORD, base_url=address)
    assert "; Secure;" in response.headers["Set-Cookie"]


def test_by_cookie_a_change_needs_the_pages_token(browser: FlaskClient) -> None:
    assert_problem(browser.post("/train", data=b"x"), 403, "forbidden")
    assert_problem(browser.post("/train", data=b"x", headers={CSRF_HEADER: "wrong"}), 403, "forbidden")
    assert_problem(browser.post("/train", data={"csrf_token": "wrong"}), 403, "forbidden")
    token = browser.get("/test/csrf").text
    assert browser.post("/train", data=b"x", headers={CSRF_HEADER: token}).status_code == 400
    assert browser.post("/test/sign-out", data={"csrf_token": token}).status_code == 200


def test_the_pages_token_is_of_one_session(page: Flask, browser: FlaskClient, tokens: dict[str, str]) -> None:
    other = page.test_client()
    sign_in(other, "admin", tokens["admin"])
    token = other.get("/test/csrf").text
    assert token != browser.get("/test/csrf").text
    assert browser.post("/train", data=b"x", headers={CSRF_HEADER: token}).status_code == 403


def test_by_cookie_another_sites_page_may_not_even_with_the_token(browser: FlaskClient) -> None:
    headers = {CSRF_HEADER: browser.get("/test/csrf").text, "Origin": "http://evil.example"}
    assert browser.post("/train", data=b"x", headers=headers).status_code == 403


def test_another_sites_page_signs_nobody_in(page: Flask, tokens: dict[str, str]) -> None:
    """Into an account of the attacker's, where verdicts would go."""
    response = sign_in(page.test_client(), "moderator", PASSWORD, headers={"Origin": "http://evil.example"})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_signed_out_is_out(browser: FlaskClient) -> None:
    browser.post("/test/sign-out", headers={CSRF_HEADER: browser.get("/test/csrf").text})
    assert browser.get("/test/who").status_code == 401
    assert browser.get("/test/csrf").text == ""


def test_a_revoked_credentials_session_ends_at_once(browser: FlaskClient, own: Settings) -> None:
    revoke_credential(own.credentials_file, "moderator")
    assert browser.get("/test/who").status_code == 401


def test_a_cookie_that_was_changed_is_none(browser: FlaskClient) -> None:
    cookie = browser.get_cookie(COOKIE)
    assert cookie is not None
    browser.set_cookie(COOKIE, cookie.value[:-2] + "xx")
    assert browser.get("/test/who").status_code == 401


def test_a_session_is_known_to_every_web_process(browser: FlaskClient, own: Settings) -> None:
    cookie = browser.get_cookie(COOKIE)
    assert cookie is not None
    other = create_app(own).test_client()
    other.set_cookie(COOKIE, cookie.value)
    assert other.get(NO_TASK).status_code == 404


def test_without_credentials_there_is_nothing_to_sign_in_to(page: Flask, own: Settings) -> None:
    browser = page.test_client()
    response = sign_in(browser, "anyone", "anything")
    assert (response.status_code, "Set-Cookie" in response.headers) == (200, False)
    assert browser.get("/test/who").get_json() == {"name": "", "role": "admin"}
    assert browser.get("/test/csrf").text == ""
    assert not own.state.exists()


# Behind a proxy


@pytest.fixture
def proxied(own: Settings, tokens: dict[str, str]) -> FlaskClient:
    return create_app(msgspec.structs.replace(own, proxies=1)).test_client()


def test_behind_a_proxy_clients_are_told_apart(
    proxied: FlaskClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the address that the proxy saw; one that the client made up before it does not count."""
    monkeypatch.setattr(gate, "fits", lambda secret, _: secret == tokens["train"])

    def code(forwarded: str, token: str = "predict.wrong") -> int:
        return ask(proxied, **bearer(token), **{"X-Forwarded-For": forwarded})

    assert [code(f"10.9.9.{number}, 10.0.0.1") for number in range(7)] == [401] * 6 + [429]
    assert code("10.0.0.2", tokens["train"]) == 404


def test_behind_a_proxy_with_https_answers_say_so(proxied: FlaskClient) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "sb.example"}
    assert "Strict-Transport-Security" in proxied.get("/healthz", headers=headers).headers


def test_headers_of_a_proxy_that_is_not_set_are_not_believed(client: FlaskClient, tokens: dict[str, str]) -> None:
    assert "Strict-Transport-Security" not in client.get("/healthz", headers={"X-Forwarded-Proto": "https"}).headers
    codes = [ask(client, **bearer("predict.wrong"), **{"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(7)]
    assert codes[-1] == 429


# Paths


@pytest.mark.parametrize(
    "name",
    ["..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "%00", "a%00b", "a/b", "%ff", "{sb_api}:train",
     "x" * 3000, "000001-deadbeef%0a", "*", "\\..\\.."],
)  # fmt: skip
def test_tricks_with_task_ids_and_versions_get_a_4xx(lonely_client: FlaskClient, name: str) -> None:
    response = lonely_client.get(f"/get-result/{name}")
    assert 400 <= response.status_code < 500
    assert "root:" not in response.text
    assert lonely_client.get(f"/weights?model={name}").status_code == 400


def test_unix_permissions_that_hide_the_file_let_nobody_in(
    own: Settings, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a file that is not there means no credentials."""

    def denied(*_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    client = create_app(own).test_client()
    monkeypatch.setattr(gate.os, "stat", denied)
    own.credentials_file.write_bytes(b"")
    assert ask(client) == 503
