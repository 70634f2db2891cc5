"""GET /weights: which weights there are, where they come from and how good they are. The files are not served."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.config import Settings
from tests.support.service import Shipped, assert_problem, make_verdicts


def test_the_slots_and_the_versions_are_listed_newest_first(client: FlaskClient, shipped: Shipped) -> None:
    first = client.post("/train", json=make_verdicts(3)).get_json()
    second = client.post("/train", json=make_verdicts(4, start=10)).get_json()
    response = client.get("/weights")
    answer = response.get_json()
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert (answer["success"], answer["model"]) == (True, "lodbrok")
    versions = {version["version"]: version for version in answer["versions"]}
    assert answer["slots"] == {
        "original": shipped.original.about.version,
        "previous": first["weights"]["version"],
        "current": second["weights"]["version"],
    }
    assert [version["version"] for version in answer["versions"]] == sorted(versions, reverse=True)
    assert set(answer["slots"].values()) <= versions.keys()
    newest = versions[second["weights"]["version"]]
    assert (newest["parent"], newest["learned"]) == (first["weights"]["version"], 4)
    assert newest["figures"]["reference"] == second["reference"]
    created = datetime.fromisoformat(newest["created"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 120


def test_a_model_can_be_named(client: FlaskClient) -> None:
    assert client.get("/weights?model=lodbrok").get_json() == client.get("/weights").get_json()


@pytest.mark.parametrize("model", ["nonsense", "", "../lodbrok", "Lodbrok", "x" * 10_000])
def test_an_unknown_model_is_400_and_the_known_ones_are_named(model: str, client: FlaskClient) -> None:
    problem = assert_problem(client.get("/weights", query_string={"model": model}), 400, "invalid-parameter")
    assert "lodbrok" in problem["detail"]
    assert len(problem["detail"]) < 200


def test_while_none_are_published_it_says_who_publishes_them(lonely_client: FlaskClient) -> None:
    assert "sb-api trainer" in assert_problem(lonely_client.get("/weights"), 503, "unavailable")["detail"]


def test_without_redis_it_says_so(settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url="unix:///nonexistent/redis.sock")
    assert_problem(create_app(away).test_client().get("/weights"), 503, "unavailable")


@pytest.mark.parametrize("file", ["original_lodbrok.h5", "current_lodbrok.h5", "versions/lodbrok", "lodbrok.npz"])
@pytest.mark.parametrize(
    "folder",
    [
        "/",
        "/weights/",
        "/static/",
        "/static/weights/",
        "/state/weights/",
        "/weights/../static/weights/",
        "/static/../weights/",
        "/%2e%2e/static/weights/",
        "/..%2fstatic%2fweights%2f",
        "//static/weights/",
        "/get-result/../static/weights/",
        "/get-result/..%2f..%2fstatic%2fweights%2f",
    ],
)
def test_no_path_leads_to_a_weights_file(folder: str, file: str, client: FlaskClient) -> None:
    response = client.get(folder + file)
    assert 400 <= response.status_code < 500 or response.status_code == 308
    assert b"HDF" not in response.data
