"""Requests that schemathesis makes from the OpenAPI document, and whether what is answered goes with it."""

from __future__ import annotations

from typing import Any

import schemathesis
from flask import Flask
from hypothesis import settings
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
