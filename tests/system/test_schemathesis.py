"""Requests made from the OpenAPI document, sound and unsound, are answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
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


def load(**phases: Any) -> Any:
    """The schema; made here because tests are collected by its operations, while the requests go to `service_app`."""
    config = SchemathesisConfig.from_dict({"checks": CHECKS, "seed": 1, "phases": phases})
    return schemathesis.openapi.from_dict(build_document(create_app(load_settings({})), "0"), config=config)


bounded = settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@load().exclude(path=[*LEARNING, REVIEW]).parametrize()
@bounded
def test_every_answer_is_one_that_the_document_has(case: Any, service_app: Flask) -> None:
    check(case, service_app)


@load(coverage={"enabled": False}).include(path=LEARNING).parametrize()
@settings(bounded, max_examples=5)
def test_every_answer_of_the_learning_calls_is_one_that_the_document_has(case: Any, service_app: Flask) -> None:
    check(case, service_app)


@load().include(path=REVIEW).parametrize()
@bounded
def test_every_answer_of_the_review_queue_is_one_that_the_document_has(case: Any, reviewing: FlaskClient) -> None:
    check(case, reviewing.application)


def check(case: Any, app: Flask) -> None:
    def from_this_machine(environ: dict[str, Any], start_response: Any) -> Any:
        return app.wsgi_app({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)

    # The service of the tests has no credentials, so it asks for none.
    without = [ignored_auth]
    if (case.query or {}).get("partial") in (True, "true"):
        without.append(negative_data_rejection)  # those are told under `errors`
    if (case.query or {}).get("since"):
        without.append(positive_data_acceptance)  # what it makes of a format is any text
    case.call_and_validate(excluded_checks=without, app=from_this_machine)
