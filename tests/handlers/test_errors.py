"""The error tree and its statuses, and problem documents made of it."""

import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from sse_push.events import errors
from sse_push.events.errors import (
    BadEvent,
    EngineUnavailable,
    EventTooLarge,
    OverLimit,
    SsePushError,
    Unauthenticated,
)
from sse_push.handlers.errors import STATUS, InvalidBody, faults, problem, problem_of


def _tree(root: type[SsePushError]) -> Iterator[type[SsePushError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


def test_table_has_a_status_for_every_error_of_the_tree() -> None:
    assert set(_tree(SsePushError)) == set(STATUS)


def test_tree_is_drawn_whole_in_the_docstring() -> None:
    drawn = errors.__doc__ or ""

    for error in _tree(SsePushError):
        if error.__module__ == "sse_push.events.errors":
            assert f"─ {error.__name__} " in drawn


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated("x"), 401),
        (errors.Forbidden("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.BadRequest("x"), 400),
        (BadEvent("x"), 422),
        (EventTooLarge(2, 1), 422),
        (InvalidBody([(0, "x")]), 422),
        (OverLimit("user", 3), 429),
        (EngineUnavailable("x"), 503),
        (errors.Overloaded("x"), 503),
        (errors.ShuttingDown("x"), 503),
    ],
)
def test_problem_has_the_members_of_rfc_9457(error: SsePushError, status: int) -> None:
    response = problem_of(error, "the-id")
    document = json.loads(response.body)  # type: ignore[arg-type]

    assert response.status == document["status"] == status
    assert response.content_type == "application/problem+json"
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"] == str(error)
    assert document["request_id"] == "the-id"


def test_problem_of_a_limit_names_it_and_when_to_come_back() -> None:
    response = problem_of(OverLimit("address", 7), "")

    assert json.loads(response.body)["limit"] == "address"  # type: ignore[arg-type]
    assert response.headers["Retry-After"] == "7"


def test_problem_of_a_store_that_is_away_says_when_to_come_back() -> None:
    assert int(problem_of(EngineUnavailable("away"), "").headers["Retry-After"]) > 0


def test_problem_of_a_missing_token_says_how_to_give_one() -> None:
    assert problem_of(Unauthenticated("x"), "").headers["WWW-Authenticate"] == "Bearer"


def test_problem_of_a_bad_event_has_its_index() -> None:
    document = json.loads(problem_of(BadEvent("no such topic", 3), "").body)  # type: ignore[arg-type]

    assert document["errors"] == [{"index": 3, "detail": "no such topic"}]


def test_problem_of_a_bad_body_has_every_fault() -> None:
    document = json.loads(problem_of(InvalidBody([(0, "a"), (2, "b")]), "").body)  # type: ignore[arg-type]

    assert document["errors"] == [{"index": 0, "detail": "a"}, {"index": 2, "detail": "b"}]


def test_problem_takes_more_members() -> None:
    assert json.loads(problem(400, "x", "id", more=1).body)["more"] == 1  # type: ignore[arg-type]


class Form(BaseModel):
    password: int
    inner: list[int] = []


def _refusal(value: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Form.model_validate(value)
    return caught.value


def test_faults_say_where_and_never_quote_the_input() -> None:
    [(index, detail)] = faults(_refusal({"password": "hunter2"}))

    assert index == 0
    assert detail.startswith("password: ")
    assert "hunter2" not in detail


def test_faults_name_the_place_within() -> None:
    assert faults(_refusal({"password": 1, "inner": [1, "x"]}))[0][1].startswith("inner.1: ")
