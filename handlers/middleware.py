"""What every request passes: its id in and out, CORS, errors as problem documents, a line in the log."""

import re
import time
from collections.abc import Awaitable, Callable
from random import getrandbits
from typing import Any

import structlog
from aiohttp import web

from sse_push.events.errors import OverLimit, SsePushError
from sse_push.handlers import cors
from sse_push.handlers.errors import SERVER, STATUS, problem, problem_of
from sse_push.handlers.http.detach import TakenOver
from sse_push.handlers.http.request import AnyRequest
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.handlers.sites import check_site
from sse_push.service.node import Node
from sse_push.service.settings import Settings

CLIENT_GONE = 499  # what nginx calls it where a client left before it was answered; never sent

Handler = Callable[[Any], Awaitable[web.StreamResponse]]

# Of every answer that says nothing else of caches, errors too: most tell of people or of who may what.
NO_STORE = ("Cache-Control", "no-store")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)  # a UUID, a trace id; nothing to forge with
# Asked every few seconds by machines, or thousands of times a second by publishers: counted, logged at debug.
_QUIET = frozenset(["/healthz", "/readyz", "/metrics", "/v1/events"])

_log = structlog.get_logger()


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run *handler*; whatever it raises becomes an answer."""
    response = await answer(request, handler)
    is_partly_sent = not response.prepared and request.writer.output_size > 0
    if is_partly_sent and request.transport is not None and not isinstance(response, TakenOver | Unanswered):
        request.transport.abort()  # a second head would be read as the first one's body
    return response


async def answer(request: AnyRequest, handler: Handler) -> web.StreamResponse:
    """What *handler* answers, or the answer to what it raises; with the headers of every answer, counted and logged."""
    node = request.app[NODE]
    started = time.perf_counter()
    request_id = request_id_of(request.headers.get("X-Request-ID"))
    request[REQUEST_ID] = request_id
    response = await _answer(request, handler, request_id)
    if isinstance(response, TakenOver | Unanswered):
        return response
    if not response.prepared:
        response.headers.setdefault(*NO_STORE)
        response.headers.update(common_headers(request))
    count_answer(node, request.method, request.path, response.status, request_id, started)
    return response


def common_headers(request: AnyRequest) -> dict[str, str]:
    """Headers that every answer has; one that is streamed must set them itself."""
    return headers_for(request.app[NODE].settings, request[REQUEST_ID], request.headers.get("Origin"))


def headers_for(settings: Settings, request_id: str, origin: str | None) -> dict[str, str]:
    """The same of a request that has not come so far."""
    return {
        "X-Request-ID": request_id,
        "X-Content-Type-Options": "nosniff",
        "Server": SERVER,
        **cors.headers_for(settings, origin),
    }


def request_id_of(given: str | None) -> str:
    """The id that came with a request, if it is fit to be logged and sent back; else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    return f"{getrandbits(64):016x}"


def count_answer(node: Node, method: str, path: str, status: int, request_id: str, started: float) -> None:
    """Count and log an answer; *started* is when its request came, by ``time.perf_counter``."""
    node.metrics.requests[status] += 1
    if status < 400 and path in _QUIET:
        if not node.logs_debug:  # to ask the logger would cost more than all else here
            return
        log = _log.debug
    else:
        log = _log.warning if status >= 500 else _log.info
    log(
        "request.completed",
        method=method,
        path=path,
        status=status,
        request_id=request_id,
        duration_ms=round((time.perf_counter() - started) * 1000, 3),
    )


class Unanswered(web.Response):
    """For aiohttp, where nobody is there to be answered."""


def _is_gone(request: AnyRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _abandoned(request: AnyRequest, request_id: str) -> Unanswered:
    """Its client left before it was whole, or before it was answered: no fault of the service."""
    request.app[NODE].metrics.requests[CLIENT_GONE] += 1
    _log.info("request.abandoned", method=request.method, path=request.path, request_id=request_id)
    return Unanswered(status=CLIENT_GONE)


async def _answer(request: AnyRequest, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        check_site(request)
        return await handler(request)
    except SsePushError as error:
        if isinstance(error, OverLimit):
            request.app[NODE].metrics.rejections[error.limit] += 1
        if STATUS[type(error)] >= 500:
            _log.warning("request.failed", request_id=request_id, path=request.path, error=str(error))
        return problem_of(error, request_id)
    except web.RequestPayloadError:
        if _is_gone(request):
            return _abandoned(request, request_id)
        return problem(400, "the body can't be read", request_id)
    except web.HTTPException as error:
        return _refusal(request, error, request_id)
    except Exception as error:
        if isinstance(error, OSError) and _is_gone(request):
            return _abandoned(request, request_id)
        _log.error("request.unhandled_error", request_id=request_id, path=request.path, exc_info=error)
        detail = "something went wrong here; the request id finds it in the log"
        return problem(500, detail, request_id, outcome="unknown")


def _refusal(request: AnyRequest, error: web.HTTPException, request_id: str) -> web.Response:
    """How aiohttp's own refusals are answered: no such path or method, too large a body."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted([*error.allowed_methods, "OPTIONS"]))
        if request.method == "OPTIONS":
            settings, origin = request.app[NODE].settings, request.headers.get("Origin")
            return web.Response(
                status=204,
                headers=cors.preflight_headers(
                    settings,
                    origin,
                    allow,
                    asked=request.headers.get("Access-Control-Request-Headers", ""),
                    private_network=request.headers.get("Access-Control-Request-Private-Network") == "true",
                ),
            )
        response = problem(error.status, f"this path takes {allow}", request_id)
        response.headers["Allow"] = allow
        return response
    if isinstance(error, web.HTTPNotFound):
        return problem(error.status, "no such path; /docs and /openapi.json have those there are", request_id)
    too_large = isinstance(error, web.HTTPRequestEntityTooLarge)
    return problem(error.status, error.text or "" if too_large else error.reason, request_id)
