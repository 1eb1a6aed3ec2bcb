"""Errors as HTTP shows them: RFC 9457 problem documents, from one table of the error tree."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import to_json

from sse_push.events.errors import (
    AnswerFailed,
    BadEvent,
    BadRequest,
    Conflict,
    DatabaseUnavailable,
    EngineUnavailable,
    EventTooLarge,
    EvictingServer,
    Forbidden,
    FunctionFailed,
    KeyReused,
    KeysUnavailable,
    NotFound,
    OutcomeUnknown,
    OverLimit,
    Overloaded,
    ShuttingDown,
    SsePushError,
    StoreInUse,
    Unauthenticated,
    UnsupportedType,
)
from sse_push.events.faults import details_of

RETRY_AFTER_S = 5  # seconds to wait for a store that can't keep events, or for another node
SERVER = "sse-push"  # what answers call themselves: not a version, not a library
PROBLEM = "application/problem+json"

STATUS: dict[type[SsePushError], int] = {
    BadEvent: 422,
    EventTooLarge: 422,
    KeyReused: 422,  # draft-ietf-httpapi-idempotency-key-header, section 2.7
    Overloaded: 503,
    EngineUnavailable: 503,
    OutcomeUnknown: 503,
    EvictingServer: 503,  # ends a start; no request is answered with it
    DatabaseUnavailable: 503,
    KeysUnavailable: 503,
    StoreInUse: 503,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    BadRequest: 400,
    UnsupportedType: 415,
    OverLimit: 429,
    ShuttingDown: 503,
    AnswerFailed: 503,  # told by a frame of its turn, hardly ever by a status
    FunctionFailed: 200,  # never a problem document: section 6 has a form of its own
}


class InvalidBody(SsePushError):
    """A body that is JSON but not of the form wanted.

    Args:
        errors: ``(index, detail)`` of each fault; the index is 0 where the body is no list.
    """

    def __init__(self, errors: Sequence[tuple[int, str]]) -> None:
        super().__init__(errors[0][1] if len(errors) == 1 else f"{len(errors)} faults")
        self.errors = errors


STATUS[InvalidBody] = 422


def problem(status: int, detail: str, request_id: str, **more: Any) -> web.Response:
    """A problem document as a response."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **more,
    }
    return web.Response(status=status, body=to_json(document), content_type=PROBLEM)


def problem_of(error: SsePushError, request_id: str) -> web.Response:
    """How *error* is answered."""
    status = STATUS[type(error)]
    more: dict[str, Any] = {}
    if isinstance(error, OverLimit):
        more["limit"] = error.limit
    elif isinstance(error, InvalidBody):
        more["errors"] = [{"index": index, "detail": detail} for index, detail in error.errors]
    elif isinstance(error, BadEvent):
        bad = [error, *error.others]
        more["errors"] = [{"index": event.index, "detail": event.detail} for event in bad]
    if status == 503:
        more["outcome"] = error.outcome
    response = problem(status, str(error), request_id, **more)
    if isinstance(error, OverLimit):
        response.headers["Retry-After"] = str(error.retry_after)
    elif status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    elif status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def faults(error: ValidationError) -> list[tuple[int, str]]:
    """What is wrong with a body that is no list, as ``(index, detail)``."""
    return [(0, detail) for detail in details_of(error)]
