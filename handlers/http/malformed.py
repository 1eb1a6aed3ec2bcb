"""Answers to what could not be parsed, without a word of what it was: a token may stand in it."""

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from sse_push.handlers.errors import SERVER, problem
from sse_push.handlers.http.request_checks import MAX_HEAD_BYTES, new_request_id
from sse_push.handlers.middleware import NO_STORE
from sse_push.service.node import Node

MAX_TARGET_BYTES = 8190  # of a request's target: a URL with a token; what Apache takes, and nginx about so
MAX_FIELD_BYTES = (
    8192  # of a header line, name and value; other than the target's, so that errors tell which it was
)
MAX_HEADERS = 100  # lines of a request's head: browsers send about 20, CDNs and gateways add dozens

_DETAILS = {
    400: "the request is malformed",
    414: f"the request's target is longer than {MAX_TARGET_BYTES} bytes",
    431: f"the head is too large: it may have {MAX_HEADERS} lines of {MAX_FIELD_BYTES} bytes, {MAX_HEAD_BYTES} bytes in all",
    500: "something went wrong here; the request id finds it in the log",
}

_log = structlog.get_logger()


def answer_malformed(node: Node, address: str, error: BaseException | None) -> web.Response:
    """The answer to a head that *error* kept from being read. It is the last of its connection."""
    request_id, status = new_request_id(), _status_of(error)
    _log.info("request.malformed", address=address, error=type(error).__name__, status=status, request_id=request_id)  # fmt: skip
    return _last_answer(node, status, request_id)


def answer_crash(node: Node, path: str, error: BaseException | None) -> web.Response:
    """The answer to a request that crashed outside the application."""
    request_id = new_request_id()
    _log.error("request.crashed", request_id=request_id, path=path, exc_info=error)
    return _last_answer(node, 500, request_id)


def _last_answer(node: Node, status: int, request_id: str) -> web.Response:
    node.metrics.requests[status] += 1
    response = problem(status, _DETAILS[status], request_id)
    response.headers.update(
        [NO_STORE, ("X-Request-ID", request_id), ("X-Content-Type-Options", "nosniff"), ("Server", SERVER)]
    )
    response.force_close()
    return response


def _status_of(error: BaseException | None) -> int:
    """Which status says best why a head was not read (RFC 9112, section 3; RFC 6585, section 5)."""
    if isinstance(error, LineTooLong):
        return 414 if error.args[1] == MAX_TARGET_BYTES else 431
    return 431 if "Too many headers" in str(error) else 400
