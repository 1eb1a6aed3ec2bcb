"""A request that the service answers without aiohttp: what its handlers ask of an ``aiohttp.web.Request``, and no more."""

import asyncio
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import HttpVersion, HttpVersion11, web
from multidict import CIMultiDict, MultiDict, MultiDictProxy
from yarl import URL

from sse_push.handlers.http.head import Head

if TYPE_CHECKING:
    from sse_push.handlers.http.front import Front

T = TypeVar("T")

_ESCAPED = re.compile(r"[^!$'()*,./0-9:=?@A-Z_a-z~&-]")  # what a query is not read from by splitting it

_EMPTY: Final[MultiDictProxy[str]] = MultiDictProxy(MultiDict())
_NO_COOKIES: Final[Mapping[str, str]] = MappingProxyType({})


class HotRequest:
    """A ``GET`` without a body and cookies.

    Attributes:
        front: The connection that it came on.
        match_info: The variable part of its path.
    """

    __slots__ = ("_kept", "_query", "app", "front", "head", "headers", "match_info", "method", "path")

    body_exists = False
    cookies = _NO_COOKIES
    version: HttpVersion = HttpVersion11

    def __init__(self, front: "Front", app: web.Application, head: Head, match_info: dict[str, str]) -> None:
        self.front = front
        self.app = app
        self.head = head
        self.method = head.method
        self.path = head.path
        self.headers: CIMultiDict[str] = head.headers
        self.match_info = match_info
        self._kept: dict[Any, Any] = {}
        self._query: MultiDictProxy[str] | None = None

    def __getitem__(self, key: web.RequestKey[T]) -> T:
        value: T = self._kept[key]
        return value

    def __setitem__(self, key: web.RequestKey[T], value: T) -> None:
        self._kept[key] = value

    @property
    def host(self) -> str:
        return self.headers["Host"]

    @property
    def rel_url(self) -> URL:
        return self.head.url

    @property
    def query(self) -> MultiDictProxy[str]:
        if self._query is None:
            self._query = _read_query(self.head)
        return self._query

    @property
    def remote(self) -> str | None:
        return self.front.address

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection's; ``None`` once it is lost."""
        return self.front.open_transport


def _read_query(head: Head) -> MultiDictProxy[str]:
    text = head.query_string
    if not text:
        return _EMPTY
    if _ESCAPED.search(text):
        return head.url.query
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    return MultiDictProxy(MultiDict([(name, value) for name, _, value in pairs]))


AnyRequest = web.Request | HotRequest
