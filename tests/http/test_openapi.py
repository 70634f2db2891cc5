"""The OpenAPI document is that of the routes, the errors and the answers, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from sb_api import create_app
from sb_api.config import Settings
from sb_api.errors import SbApiError
from sb_api.web.openapi.document import list_routes
from sb_api.web.openapi.operations import OPERATIONS
from tests.conftest import wait_until
from tests.support.service import EDITOR, Service, make_editors, make_verdicts

# Calls of monitors and browsers, which may add a parameter so that nothing stale is answered.
NOT_ASKED = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/{name}")
MESSAGE = {"id": 1, "text": "the search page crashes"}
ROLES = {
    **dict.fromkeys(
        ("/predict", "/intents/predict", "/sentiments/predict", "/classify", "/get-result/{task_id}"), "predict"
    ),
    **dict.fromkeys(("/weights", "/quality", "/metrics"), "predict"),
    **dict.fromkeys(("/train", "/intents/train", "/sentiments/train"), "train"),
    **dict.fromkeys(("/verdicts", "/editors", "/verdicts/undo", "/review", "/weights/staged"), "train"),
    **dict.fromkeys(("/rollback", "/replay", "/let-back"), "admin"),
    **dict.fromkeys(("/weights/stage", "/weights/promote", "/weights/drop", "/weights/rename-class"), "admin"),
}


@pytest.fixture(scope="session")
def document(service_app: Flask) -> Any:
    return service_app.test_client().get("/openapi.json").get_json()


def assert_documented(document: Any, response: Any, method: str, path: str) -> Any:
    """Fail unless the answer is one that the document has for a method of a path; returns it."""
    documented = document["paths"][path][method.lower()]["responses"]
    assert str(response.status_code) in documented, response.get_data(as_text=True)[:500]
    told = documented[str(response.status_code)]
    media = told["content"][response.mimetype]
    answer = response.get_json()
    Draft202012Validator({**media["schema"], "components": document["components"]}).validate(answer)
    assert all(name in response.headers for name in told.get("headers", {})), told["headers"]
    return answer


def errors_below(error: type[SbApiError]) -> list[type[SbApiError]]:
    return [error] + [found for child in error.__subclasses__() for found in errors_below(child)]


def test_it_is_a_valid_openapi_3_1_document(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_it_has_every_route_and_method_and_nothing_else(document: Any, service_app: Flask) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in service_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule != "/" and not rule.rule.startswith(("/page/", "/assets/"))
    }
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == routes
    assert set(OPERATIONS) == {f"{method.upper()} {path}" for path, method in routes}


def test_a_call_takes_the_parameters_that_it_is_said_to_have(document: Any, service_app: Flask) -> None:
    """All others are refused."""
    for route, view in list_routes(service_app).items():
        method, _, path = route.partition(" ")
        told = document["paths"][path][method.lower()]["parameters"]
        queries = {parameter["name"] for parameter in told if parameter["in"] == "query"}
        assert queries == set(getattr(view, "parameters", ())), route
        assert hasattr(view, "parameters") or path in NOT_ASKED, route


@pytest.mark.parametrize("error", errors_below(SbApiError), ids=lambda error: error.__name__)
def test_every_error_is_documented_where_it_is_answered(error: type[SbApiError], document: Any) -> None:
    properties = document["components"]["schemas"][error.__name__]["properties"]
    assert properties["type"] == {"const": error("x").problem()["type"]}
    assert properties["status"] == {"const": error.status}
    reference = {"$ref": f"#/components/schemas/{error.__name__}"}
    assert any(
        reference in response["content"].get("application/problem+json", {}).get("schema", {}).get("anyOf", [])
        for methods in document["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if status == str(error.status)
    )


def test_every_operation_names_the_role_it_needs(document: Any) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            role = ROLES.get(path)
            none = [{}] if path == "/metrics" else []  # from the machine itself
            assert operation["security"] == ([*none, {"bearer": [role]}, {"basic": [role]}] if role else [])


def test_every_operation_says_what_it_does(document: Any) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status"),
    [
        ("POST", "/predict", "", make_editors(5), 200),
        ("POST", "/predict", "?explain=true", {"a": EDITOR, "b": {"id": "x"}}, 200),
        ("POST", "/predict", "?partial=true", [{"id": 1}, {"id": 2, "birth_date": "x"}], 200),
        ("POST", "/predict", "?partial=maybe", [{"id": 1}], 400),
        ("POST", "/predict", "", [], 400),
        ("POST", "/predict", "", [{"id": 1}, {"id": 1}], 422),
        ("POST", "/predict", "", [{"id": number} for number in range(10_001)], 413),
        ("POST", "/intents/predict", "?partial=true", [MESSAGE, {"id": 2, "text": " "}], 200),
        ("POST", "/intents/predict", "", [{"id": 1}], 422),
        ("POST", "/sentiments/predict", "", [MESSAGE], 200),
        ("POST", "/train", "", make_verdicts(2), 200),
        ("POST", "/train", "", [{"id": 1, "verdict": 2}], 422),
        ("POST", "/intents/train", "", [{**MESSAGE, "intent": "bug report"}], 200),
        ("POST", "/intents/train", "", [{**MESSAGE, "intent": "poetry"}], 422),
        ("POST", "/sentiments/train", "", [{**MESSAGE, "intent": "positive"}], 422),
        ("POST", "/verdicts/undo", "", {"id": "nobody"}, 200),
        ("POST", "/verdicts/undo", "?model=intent", {"id": ""}, 422),
        ("POST", "/rollback", "", {"to": "original"}, 200),
        ("POST", "/rollback", "", {"to": "nothing"}, 404),
        ("POST", "/rollback", "", {"to": 5}, 400),
        ("POST", "/let-back", "", {"credential": "nobody"}, 404),
        ("POST", "/let-back", "", {"to": "nobody"}, 400),
        ("POST", "/classify", "", {"model": "lodbrok", "data": [EDITOR]}, 202),
        ("POST", "/classify", "", {"model": "nothing", "data": [EDITOR]}, 400),
        ("GET", "/weights", "?model=lodbrok", None, 200),
        ("GET", "/weights", "?model=intent", None, 200),
        ("GET", "/weights", "?model=nothing", None, 400),
        ("GET", "/weights/staged", "", None, 404),
        ("POST", "/weights/stage", "", {"version": "nothing"}, 404),
        ("POST", "/weights/stage", "", {"to": "nothing"}, 400),
        ("POST", "/weights/promote", "", {"version": "nothing"}, 404),
        ("POST", "/weights/drop", "", {"version": "nothing"}, 404),
        ("GET", "/quality", "?model=lodbrok", None, 200),
        ("GET", "/quality", "?model=intent", None, 200),
        ("GET", "/healthz", "", None, 200),
        ("GET", "/readyz", "", None, 200),
    ],
)
def test_what_the_service_answers_is_what_the_document_says(
    method: str, path: str, query: str, body: Any, status: int, client: FlaskClient, document: Any
) -> None:
    response = client.open(path + query, method=method, json=body)
    assert response.status_code == status, response.get_data(as_text=True)[:500]
    assert_documented(document, response, method, path)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"model": "lodbrok", "data": make_editors(3)}),
        ("/classify", {"model": "intent", "data": [MESSAGE]}),
        ("/train", make_verdicts(2)),
        ("/replay", None),
    ],
)
def test_tasks_are_answered_as_documented_until_they_are_done(
    path: str, body: Any, client: FlaskClient, document: Any
) -> None:
    accepted = client.post(path, json=body, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    assert_documented(document, accepted, "POST", path)

    def result() -> Any:
        answer = client.get(accepted.headers["Location"])
        return assert_documented(document, answer, "GET", "/get-result/{task_id}")

    wait_until(lambda: result()["status"] == "completed", 60, 0.05)


def test_a_task_that_failed_is_answered_as_documented(client: FlaskClient, document: Any) -> None:
    wrong = [{**MESSAGE, "intent": "poetry"}]
    location = client.post("/intents/train", json=wrong, headers={"Prefer": "respond-async"}).headers["Location"]
    wait_until(lambda: client.get(location).status_code == 200, 60, 0.05)
    answer = assert_documented(document, client.get(location), "GET", "/get-result/{task_id}")
    assert answer["status"] == "failed"


def test_what_nobody_answers_is_documented_too(settings: Settings, jobs: Any, document: Any) -> None:
    lonely = create_app(type(settings)(redis_url=settings.redis_url, predict_timeout=0.05, train_timeout=0.05))
    client = lonely.test_client()
    for method, path, body, status in (
        ("POST", "/predict", [EDITOR], 504),
        ("POST", "/train", make_verdicts(1), 504),
        ("GET", "/weights", None, 503),
        ("GET", "/quality", None, 503),
        ("GET", "/readyz", None, 503),
        ("GET", "/get-result/00000000-0000-0000-0000-000000000000", None, 404),
    ):
        response = client.open(path, method=method, json=body)
        assert response.status_code == status
        template = "/get-result/{task_id}" if "get-result" in path else path
        assert_documented(document, response, method, template)


def test_metrics_from_elsewhere_want_a_token_as_documented(client: FlaskClient, document: Any) -> None:
    answer = client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code in (401, 403)
    assert_documented(document, answer, "GET", "/metrics")


def test_the_check_of_answers_sees_an_answer_that_is_not_documented(client: FlaskClient, document: Any) -> None:
    answer = client.get("/healthz")
    with pytest.raises(Exception, match="is a required property"):
        assert_documented(document, answer, "GET", "/weights")
    with pytest.raises(AssertionError):
        assert_documented(document, client.get("/get-result/nothing"), "GET", "/healthz")


def test_it_is_asked_for_again_only_when_it_changed(client: FlaskClient) -> None:
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")


def test_the_running_service_serves_the_same_document(service: Service, document: Any) -> None:
    assert service.get("/openapi.json").json() == document


def test_it_says_of_verdicts_and_texts_what_is_taken(document: Any) -> None:
    """It took any integer for a verdict, and an empty text."""
    schemas = document["components"]["schemas"]
    taken = [
        ("Verdict", {"id": 1, "verdict": 1}, {"id": 1, "verdict": 2}),
        ("Message", {"id": 1, "text": "  hm"}, {"id": 1, "text": " \n"}),
        ("LabelledMessage", {"id": 1, "text": "hm", "intent": "x"}, {"id": 1, "text": "", "intent": "x"}),
    ]
    for name, right, wrong in taken:
        validator = Draft202012Validator({**schemas[name], "components": document["components"]})
        assert validator.is_valid(right)
        assert not validator.is_valid(wrong)


def test_nothing_has_a_default_of_null(document: Any) -> None:
    """Generated clients asked for every field that has one."""

    def defaults(part: Any) -> list[Any]:
        below = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        own = [part["default"]] if isinstance(part, dict) and "default" in part else []
        return own + [default for each in below for default in defaults(each)]

    assert None not in defaults(document)
    assert defaults(document)
