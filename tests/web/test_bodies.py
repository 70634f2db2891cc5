"""A body is taken whole and as JSON in UTF-8, and whatever else comes is named in the answer."""

from __future__ import annotations

import gzip
import json

import pytest
from flask.testing import FlaskClient

from tests.support.service import EDITOR, assert_problem

BODY = json.dumps([EDITOR]).encode()
ROUTES = ("/predict", "/predict?partial=true", "/train", "/classify", "/rollback")


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_is_cut_off_is_a_400(lonely_client: FlaskClient, path: str) -> None:
    """Even when what came is whole JSON; gunicorn says only that the input has ended."""
    environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(BODY) + 2)}
    response = lonely_client.post(path, data=BODY, environ_overrides=environ)
    problem = assert_problem(response, 400, "malformed-body")
    assert f"{len(BODY)} of {len(BODY) + 2} bytes" in problem["detail"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (gzip.compress(BODY), "gzip"),
        (b"\x28\xb5\x2f\xfd" + BODY, "Zstandard"),
        (BODY.decode().encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + BODY.decode().encode("utf-16-be"), "UTF-16"),
    ],
)
def test_a_body_that_is_no_json_is_called_by_its_name(
    lonely_client: FlaskClient, path: str, body: bytes, named: str
) -> None:
    assert named in assert_problem(lonely_client.post(path, data=body), 400, "malformed-body")["detail"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_an_encoding_is_not_taken(lonely_client: FlaskClient, path: str, encoding: str) -> None:
    response = lonely_client.post(path, data=gzip.compress(BODY), headers={"Content-Encoding": encoding})
    assert encoding in assert_problem(response, 415, "unsupported-encoding")["detail"]


@pytest.mark.parametrize("path", ["/predict", "/predict?partial=false"])
def test_a_byte_order_mark_is_no_fault(lonely_client: FlaskClient, path: str) -> None:
    problem = assert_problem(lonely_client.post(path, data=b"\xef\xbb\xbf[]"), 400, "malformed-body")
    assert "no record" in problem["detail"]
    identity = {"Content-Encoding": "identity"}
    assert_problem(lonely_client.post(path, data=b"\xef\xbb\xbf[{}]", headers=identity), 422, "invalid-records")


def test_a_form_that_is_cut_off_is_a_400(lonely_client: FlaskClient) -> None:
    environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "20"}
    kind = "application/x-www-form-urlencoded"
    response = lonely_client.post("/page/text", data=b"paste=how+do+I", content_type=kind, environ_overrides=environ)
    assert response.status_code == 400
