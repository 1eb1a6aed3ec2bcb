"""Which requests are hot: the streams' ``GET`` and the plain ``POST /v1/events``."""

from collections.abc import Callable

from aiohttp import web

from sse_push.handlers.http.fast_publish import CachedHead, FastPublish
from sse_push.handlers.http.head import Head
from sse_push.handlers.keys import NODE
from sse_push.handlers.middleware import Handler
from sse_push.handlers.publish import PATH
from sse_push.handlers.sites import is_called_by_own_name
from sse_push.handlers.streams import handlers_by_path
from sse_push.service.identity import Caller

_PLAIN_TYPES = frozenset(["application/json", "application/json; charset=utf-8"])
# A publish with one of them goes aiohttp's way.
_UNUSUAL = ("Origin", "Expect", "Content-Encoding", "Upgrade")


class HotRequests:
    """Those of one application."""

    def __init__(self, app: web.Application) -> None:
        self.app = app
        self._node = app[NODE]
        self._streams: dict[str, tuple[Handler, str | None]] = {}
        for path, handler in handlers_by_path().items():
            before, brace, name = path.partition("{")
            self._streams[before] = (handler, name.rstrip("}") if brace else None)

    def stream(self, head: Head) -> tuple[Handler, dict[str, str]] | None:
        """The handler that opens the stream which *head* asks for, and the variable part of its path."""
        if head.method != "GET" or not head.is_http_1_1 or head.has_body or "Cookie" in head.headers:
            return None
        if "Expect" in head.headers or "Upgrade" in head.headers:
            return None
        found = self._streams.get(head.path)
        if found is not None:
            return None if found[1] else (found[0], {})
        before, slash, last = head.path.rpartition("/")
        handler, name = self._streams.get(before + slash, (None, None))
        if handler is None or name is None or not last.isalnum() or not last.isascii():
            return None
        return handler, {name: last}

    def publish(self, head: Head, write: Callable[[bytes], None]) -> FastPublish | None:
        """The publish that *head* begins, if it is a plain one by a publisher whose token is known."""
        headers = head.headers
        settings = self._node.settings
        if (
            head.path != PATH
            or head.target != PATH
            or head.method != "POST"
            or not head.is_http_1_1
            or not head.length
            or not head.keep_alive
            or headers.get("Content-Type", "") not in _PLAIN_TYPES
            or any(name in headers for name in _UNUSUAL)
            or len(headers.getall("Authorization", ())) != 1
            or settings.service_commands_per_s
            or settings.history_service_share
            or (settings.demo and not is_called_by_own_name(settings, headers))
        ):
            return None
        return self.publish_again(CachedHead(b"", b"", headers), head.length, write)

    def publish_again(
        self, cached: CachedHead, length: int, write: Callable[[bytes], None]
    ) -> FastPublish | None:
        """Another publish whose head is *cached*."""
        if length > self._node.settings.max_body_bytes:
            return None
        caller = self._publisher(cached.token)
        return None if caller is None else FastPublish(self._node, caller, cached.headers, write)

    def _publisher(self, token: str) -> Caller | None:
        """Whose *token* it is, if it is a publisher's and known, and the node is not going away."""
        if not self._node.connections.accepting:  # a drain waits for aiohttp's requests
            return None
        caller = self._node.tokens.recall(token)
        return caller if caller is not None and caller.is_publisher else None
