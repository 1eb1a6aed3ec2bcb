"""``PUT /functions``: channel app functions (G0, contract section 6), with the error forms of that guide."""

import structlog
from aiohttp import web

from events.errors import FunctionFailed
from handlers.auth import caller_of
from handlers.bodies import count_command, json_response, read_json
from handlers.keys import NODE, REQUEST_ID
from service.functions import is_signed

_log = structlog.get_logger()


def routes() -> list[web.RouteDef]:
    return [web.put("/functions", call), web.put("/functions/{version}", call)]


async def call(request: web.Request) -> web.Response:
    node = request.app[NODE]
    try:
        body = await request.read()
    except web.RequestPayloadError:
        return _error(FunctionFailed("PARSE_ERROR", "the body can't be read"), status=400)
    if not await _may_call(request, body):
        return _error(FunctionFailed("UNAUTHORIZED", "invalid signature"), status=401)
    try:
        asked = await read_json(request)
    except ValueError:
        return _error(FunctionFailed("PARSE_ERROR", "the body is not JSON"), status=400)
    try:
        return json_response({"result": await node.functions.call(asked)})
    except FunctionFailed as error:
        return _error(error)
    except Exception as error:
        _log.error("function.crashed", request_id=request[REQUEST_ID], exc_info=error)
        return _error(FunctionFailed("INTERNAL_ERROR", "the function failed"))


async def _may_call(request: web.Request, body: bytes) -> bool:
    """Whether the call is signed, where a key is set; without one it wants a token, but in demo mode.

    Raises:
        Unauthenticated, Forbidden: Its token does not allow it.
        OverLimit: It was one call too many.
    """
    node = request.app[NODE]
    key = node.settings.function_signing_key.get_secret_value()
    if key:
        return is_signed(body, request.headers.get("X-Signature", ""), key)
    if not node.settings.demo:
        caller = await caller_of(request)
        caller.require_publisher()
        count_command(request, caller)
    return True


def _error(error: FunctionFailed, status: int = 200) -> web.Response:
    return json_response({"error": {"type": error.type, "message": error.message}}, status=status)
