"""One tree of errors: each class says its HTTP status and problem type, and survives the way through the queue."""

from __future__ import annotations

import json

import pytest

from sb_api import errors
from sb_api.errors import InvalidRecords, NoAnswerInTime, QueueFull, SbApiError, Unavailable, error_from_problem

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_every_error_is_of_one_tree() -> None:
    assert len(CLASSES) > 10
    assert all(issubclass(kind, SbApiError) for kind in CLASSES)


def test_every_class_has_a_type_of_its_own() -> None:
    """A client tells them apart by `type`, and so does the process that reads a problem off the queue."""
    assert len({kind.type for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_a_problem_document(kind: type[SbApiError]) -> None:
    """RFC 9457: type, title, status, detail; and `success: false` for clients of the original project."""
    problem = kind("what was wrong").problem()
    assert problem == {
        "type": f"urn:sb_api:problem:{kind.type}",
        "title": kind.title,
        "status": kind.status,
        "detail": "what was wrong",
        "success": False,
    }
    assert 400 <= kind.status < 600
    assert kind.title
    assert not kind.title.endswith(".")
    assert json.loads(json.dumps(problem)) == problem


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_comes_back_from_its_problem(kind: type[SbApiError]) -> None:
    members = {"errors": {"3": {"field": "id", "detail": "missing"}}}
    error = error_from_problem(kind("what was wrong", **members).problem())
    assert type(error) is kind
    assert error.detail == str(error) == "what was wrong"
    assert error.members == members
    assert error.problem() == kind("what was wrong", **members).problem()


def test_a_problem_of_an_unknown_type_becomes_the_root() -> None:
    """Another release may have types that this one does not know."""
    error = error_from_problem({"type": "urn:sb_api:problem:from-the-future", "detail": "who knows", "extra": 1})
    assert type(error) is SbApiError
    assert (error.detail, error.members, error.status) == ("who knows", {"extra": 1}, 500)


def test_an_empty_problem_is_an_error_too() -> None:
    assert error_from_problem({}).problem()["status"] == 500


def test_reading_a_problem_leaves_it_as_it_was() -> None:
    problem = QueueFull("full").problem()
    error_from_problem(problem)
    assert problem == QueueFull("full").problem()


@pytest.mark.parametrize("kind", CLASSES)
def test_only_what_may_pass_by_itself_asks_for_another_try(kind: type[SbApiError]) -> None:
    if kind.retry_after is None:
        assert kind.status not in (503, 504)
    else:
        assert kind.status in (503, 504)
        assert kind.retry_after > 0


@pytest.mark.parametrize(
    ("kind", "status"), [(QueueFull, 503), (Unavailable, 503), (NoAnswerInTime, 504), (InvalidRecords, 422)]
)
def test_the_statuses_of_the_contract(kind: type[SbApiError], status: int) -> None:
    assert kind.status == status
