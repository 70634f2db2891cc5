"""Requests made from the OpenAPI document, sound and unsound, are answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.generation.hypothesis.builder import (
    InvalidHeadersExampleMark,
    InvalidRegexMark,
    MissingPathParameters,
    NonSerializableMark,
)
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from sb_api import create_app
from sb_api.config import load_settings
from sb_api.web.openapi.document import build_document

# Besides those that schemathesis expects: a record may go with its schema and still be wrong (a date, an unknown
# class), which is a 422 that names it.
CHECKS = {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422", "503"]}}
# A sound one of these is a training, so they get few.
REVIEW = "/review"
LEARNING = ["/train", "/intents/train", "/sentiments/train", "/rollback", "/replay"]

# Threads of the service draw random numbers (Redis's pauses between tries) while a request is being made, which
# Hypothesis takes for a strategy that does.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


PATHS = build_document(create_app(load_settings({})), "0")["paths"]
bounded = settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def labels(*paths: str) -> list[str]:
    return [f"{method.upper()} {path}" for path in paths for method in PATHS[path]]


OTHERS = [path for path in PATHS if path not in (*LEARNING, REVIEW)]


class Requests:
    """Makes requests of each operation. As `schema.parametrize()` does it, which makes thousands of them when tests are
    collected, in every process that they are run in; here they are made when they are sent."""

    def __init__(self, **phases: Any) -> None:
        config = SchemathesisConfig.from_dict({"checks": CHECKS, "seed": 1, "phases": phases})
        document = build_document(create_app(load_settings({})), "0")
        self.schema = schemathesis.openapi.from_dict(document, config=config)
        self.feedback = FeedbackSources(constants_value_source=make_constants_value_source(self.schema))

    def send(self, label: str, limits: settings, app: Flask) -> None:
        operation = self.schema.find_operation_by_label(label)
        assert operation is not None

        @limits
        def send_one(case: Any) -> None:
            check(case, app)

        send_all = build_operation_test(
            config=self.schema.config,
            operation=operation,
            test_func=send_one,
            given_kwargs={},
            feedback=self.feedback,
        )
        send_all()
        for mark in (InvalidHeadersExampleMark, MissingPathParameters, NonSerializableMark, InvalidRegexMark):
            assert mark.get(send_all) is None


@pytest.fixture(scope="module")
def every() -> Requests:
    return Requests()


@pytest.fixture(scope="module")
def few() -> Requests:
    return Requests(coverage={"enabled": False})


def test_every_operation_is_gone_through(every: Requests) -> None:
    found = {operation.ok().label for operation in every.schema.get_all_operations()}
    assert found == set(labels(*OTHERS, *LEARNING, REVIEW))


@pytest.mark.parametrize("label", labels(*OTHERS))
def test_every_answer_is_one_that_the_document_has(label: str, every: Requests, service_app: Flask) -> None:
    every.send(label, bounded, service_app)


@pytest.mark.parametrize("label", labels(*LEARNING))
def test_every_answer_of_the_learning_calls_is_one_that_the_document_has(
    label: str, few: Requests, service_app: Flask
) -> None:
    few.send(label, settings(bounded, max_examples=5), service_app)


@pytest.mark.parametrize("label", labels(REVIEW))
def test_every_answer_of_the_review_queue_is_one_that_the_document_has(
    label: str, every: Requests, reviewing: FlaskClient
) -> None:
    every.send(label, bounded, reviewing.application)


def check(case: Any, app: Flask) -> None:
    def from_this_machine(environ: dict[str, Any], start_response: Any) -> Any:
        return app.wsgi_app({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)

    # The service of the tests has no credentials, so it asks for none.
    without = [ignored_auth]
    if (case.query or {}).get("partial") in (True, "true"):
        without.append(negative_data_rejection)  # those are told under `errors`
    if case.operation.path == "/weights/rename-class":
        without.append(positive_data_acceptance)  # which classes there are is not in the document
    if (case.query or {}).get("since"):
        without.append(positive_data_acceptance)  # what it makes of a format is any text
    case.call_and_validate(excluded_checks=without, app=from_this_machine)
