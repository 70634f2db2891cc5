"""Requests made from the OpenAPI document, sound and unsound, are answered as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings

from sb_api import create_app
from sb_api.config import load_settings
from sb_api.web.openapi.document import build_document

if TYPE_CHECKING:  # to load schemathesis takes a second, in each process that the tests are run in
    from tests.support.document_requests import Requests

# A sound one of these is a training, so they get few.
REVIEW = "/review"
LEARNING = ["/train", "/intents/train", "/sentiments/train", "/rollback", "/replay"]

# Threads of the service draw random numbers (Redis's pauses between tries) while a request is being made, which
# Hypothesis takes for a strategy that does.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


PATHS = build_document(create_app(load_settings({})), "0")["paths"]
bounded = settings(max_examples=8, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def labels(*paths: str) -> list[str]:
    return [f"{method.upper()} {path}" for path in paths for method in PATHS[path]]


OTHERS = [path for path in PATHS if path not in (*LEARNING, REVIEW)]


@pytest.fixture(scope="module")
def every() -> Requests:
    from tests.support.document_requests import Requests

    return Requests()


@pytest.fixture(scope="module")
def few() -> Requests:
    from tests.support.document_requests import Requests

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
