"""Answers to what could not be read, without a word of what it was: a token may stand in it."""

import structlog
from aiohttp import web

from sse_push.handlers.errors import SERVER, problem
from sse_push.handlers.http.head import MAX_FIELD_BYTES, MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from sse_push.handlers.middleware import NO_STORE, new_request_id
from sse_push.service.node import Node

_DETAILS = {
    400: "the request is malformed",
    414: f"the request's target is longer than {MAX_TARGET_BYTES} bytes",
    431: f"the head is too large: it may have {MAX_HEADERS} lines of {MAX_FIELD_BYTES} bytes, {MAX_HEAD_BYTES} bytes in all",
    500: "something went wrong here; the request id finds it in the log",
}

_log = structlog.get_logger()


def answer_malformed(node: Node, address: str, reason: str, status: int) -> web.Response:
    """The answer to a head that could not be read. It is the last of its connection."""
    request_id = new_request_id()
    _log.info("request.malformed", address=address, error=reason, status=status, request_id=request_id)
    return _last_answer(node, status, request_id)


def answer_crash(node: Node, path: str, error: BaseException | None) -> web.Response:
    """The answer to a request that crashed outside the application."""
    request_id = new_request_id()
    _log.error("request.unhandled_error", request_id=request_id, path=path, exc_info=error)
    return _last_answer(node, 500, request_id)


def _last_answer(node: Node, status: int, request_id: str) -> web.Response:
    node.metrics.requests[status] += 1
    response = problem(status, _DETAILS[status], request_id)
    response.headers.update(
        [NO_STORE, ("X-Request-ID", request_id), ("X-Content-Type-Options", "nosniff"), ("Server", SERVER)]
    )
    return response
