"""``PUT /functions``: channel app functions, with error bodies of their own (docs/protocol.md)."""

from typing import Any

import structlog
from aiohttp import web
from pydantic_core import from_json

from sse_push.events.errors import EngineUnavailable, FunctionFailed
from sse_push.events.json_text import Checked, NotJson, fields_of
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import count_command, json_response, read_body
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.service.functions import is_signed

_OUTCOMES = {
    "unknown": "whether the client was told is not known: the store did not answer in time",
    "not_published": "the store can't be used now; the client was not told",
}
_READ = ("method", "params")  # the rest of a call, its context, is not looked into
_BAD_SIGNATURE = FunctionFailed("UNAUTHORIZED", "invalid signature")

_log = structlog.get_logger()


def routes() -> list[web.RouteDef]:
    return [web.put("/functions", call), web.put("/functions/{version}", call)]


async def call(request: web.Request) -> web.Response:
    node = request.app[NODE]
    key = node.settings.function_signing_key.get_secret_value()
    signature = request.headers.get("X-Signature", "")
    if key and not signature:
        return _error(_BAD_SIGNATURE, status=401)  # unread: anybody can send a body
    if not key:
        await _check_caller(request)
    try:
        body = await read_body(request)
    except web.RequestPayloadError:
        return _error(FunctionFailed("PARSE_ERROR", "the body can't be read"), status=400)
    if key and not is_signed(body, signature, key):
        return _error(_BAD_SIGNATURE, status=401)
    try:
        checked = Checked(body)
    except NotJson as error:
        return _error(FunctionFailed("PARSE_ERROR", str(error)), status=400)
    if details := checked.faults_in(checked.text):
        return _error(FunctionFailed("INVALID_PARAMS", "; ".join(details)))
    asked = {name: _value(text) for name, text in (fields_of(checked.text) or {}).items() if name in _READ}
    try:
        return json_response({"result": await node.functions.call(asked)})
    except FunctionFailed as error:
        return _error(error)
    except EngineUnavailable as error:
        _log.warning("request.failed", request_id=request[REQUEST_ID], path=request.path, error=str(error))
        return _error(FunctionFailed("INTERNAL_ERROR", _OUTCOMES[error.outcome]))
    except Exception as error:
        _log.error("function.unhandled_error", request_id=request[REQUEST_ID], exc_info=error)
        return _error(FunctionFailed("INTERNAL_ERROR", "the function failed"))


def _value(text: bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return None  # a number of more digits than Python reads, in what is no number


async def _check_caller(request: web.Request) -> None:
    """Without a signing key a call wants a token, but in demo mode.

    Raises:
        Unauthenticated, Forbidden: Its token does not allow it.
        OverLimit: It was one call too many.
    """
    caller = await caller_of(request)  # a bad token is refused in demo mode too
    if not request.app[NODE].settings.demo:
        caller.require_publisher()
        count_command(request, caller)


def _error(error: FunctionFailed, status: int = 200) -> web.Response:
    return json_response({"error": {"type": error.type, "message": error.message}}, status=status)
