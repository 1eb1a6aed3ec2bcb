"""The channel app's functions (docs/protocol.md): ``redirectClient``."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from sse_push.events.errors import FunctionFailed
from sse_push.events.topics import as_name
from sse_push.service.clients import Clients
from sse_push.service.redirects import why_refused
from sse_push.service.settings import Settings
from sse_push.service.streams.client import RedirectEvent
from sse_push.service.timestamps import timestamp


class Functions:
    """Calls a function by the name that a request gives."""

    def __init__(self, clients: Clients, settings: Settings, clock: Callable[[], float]) -> None:
        self._clients = clients
        self._allowed = settings.redirect_patterns
        self._clock = clock
        self._functions = {"redirectClient": self._redirect_client}

    async def call(self, request: Any) -> dict[str, Any]:
        """The ``result`` of the call that *request* (parsed JSON) asks for.

        Raises:
            FunctionFailed: Its error, to be answered with status 200.
        """
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str) or not method:
            raise FunctionFailed("INVALID_PARAMS", "method is required")
        function = self._functions.get(method)
        if function is None:
            raise FunctionFailed("METHOD_NOT_FOUND", f"Unknown method: {method}")
        params = request.get("params")
        given = params.get("input") if isinstance(params, dict) else None
        message = await function(given if isinstance(given, dict) else {})
        return {"type": "string", "attributes": {"message": message}}

    async def _redirect_client(self, given: dict[str, Any]) -> str:
        client_id = as_name(given.get("clientId"))
        url = given.get("url")
        if client_id is None or not isinstance(url, str) or not url:
            raise FunctionFailed("INVALID_PARAMS", "clientId and url are required")
        if refusal := why_refused(url, self._allowed):
            raise FunctionFailed("INVALID_PARAMS", refusal)
        event = RedirectEvent(url=url, timestamp=timestamp(self._clock()))
        if not await self._clients.send_to_client(client_id, event):
            raise FunctionFailed("CLIENT_NOT_CONNECTED", f"Client {client_id} is not connected")
        return f"Redirect command sent to client {client_id}"


def is_signed(body: bytes, signature: str, key_hex: str) -> bool:
    """Whether *signature* is the standard base64 of HMAC-SHA256 over *body*, in constant time."""
    mac = hmac.new(bytes.fromhex(key_hex), body, hashlib.sha256).digest()
    return hmac.compare_digest(b64encode(mac), signature.encode(errors="replace"))
