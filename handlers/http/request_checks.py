"""What every request must be before the application sees it; what is not is refused by its head, its body unread.

Knows messages as aiohttp's parser makes them. The connection (handlers/protocol.py) asks it of each request.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import getrandbits
from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from multidict import CIMultiDictProxy

from sse_push.handlers.errors import problem
from sse_push.handlers.middleware import NO_STORE, count_answer, headers_for, request_id_of
from sse_push.service.node import Node

MAX_HEAD_BYTES = 64 * 1024  # of a request line and headers together: what eight of the longest lines take

_VERSIONS = frozenset([HttpVersion10, HttpVersion11])


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused. The connection is closed: what follows its head can't be relied on."""

    status: int
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


REFUSAL: Final = web.RequestKey("refusal", Refusal)

_BAD_VERSION = Refusal(400, "HTTP/1.0 or HTTP/1.1 is needed")
_TOO_LARGE = Refusal(431, f"the head is larger than {MAX_HEAD_BYTES} bytes")
_EXPECTS = Refusal(417, "the only expectation that can be met is 100-continue")
# A MiB of gzip can be a GiB of zeros: whoever publishes that much sends NDJSON.
_COMPRESSED = Refusal(415, "a body must not be compressed", (("Accept-Encoding", "identity"),))


def make_request(
    make: Callable[..., web.BaseRequest], message: RawRequestMessage, payload: StreamReader, *more: Any
) -> web.BaseRequest:
    """The request of *message*, made by *make*; with a refusal, if it is to be refused.

    Of a request that asks for another protocol the parser loses what comes behind it, and what is refused may go on
    in any way: their connections end with the answer. A refusal is HTTP/1.1 whatever was asked in.
    """
    refusal = refusal_of(message, payload)
    malformed = message.method == "UNKNOWN"  # aiohttp's word for what it could not parse
    if refusal is not None or malformed:
        message = message._replace(should_close=True, version=HttpVersion11)
    elif message.upgrade:
        message = message._replace(should_close=True)
    request = make(message, payload, *more)
    if refusal is not None:
        request[REFUSAL] = refusal
    return request


def refusal_of(message: RawRequestMessage, payload: StreamReader) -> Refusal | None:
    """Why a request is to be refused by its head alone; ``None`` where it is not."""
    if message.version not in _VERSIONS:
        return _BAD_VERSION
    if is_head_too_large(message):
        return _TOO_LARGE
    if message.version == HttpVersion11 and not _can_meet(message.headers):
        return _EXPECTS
    if payload is not EMPTY_PAYLOAD and _is_coded(message.headers):
        return _COMPRESSED
    return None


def is_head_too_large(message: RawRequestMessage) -> bool:
    size = sum([len(name) + len(value) + 4 for name, value in message.raw_headers])
    return size + len(message.path) > MAX_HEAD_BYTES


def refuse(node: Node, request: web.BaseRequest, refusal: Refusal) -> web.Response:
    """The answer to a request that is refused."""
    started = time.perf_counter()
    request_id = request_id_of(request.headers.get("X-Request-ID"))
    response = problem(refusal.status, refusal.detail, request_id)
    response.headers.update(headers_for(node.settings, request_id, request.headers.get("Origin")))
    response.headers.update([NO_STORE, *refusal.headers])
    response.force_close()
    count_answer(node, request.method, request.path, refusal.status, request_id, started)
    return response


def new_request_id() -> str:
    return f"{getrandbits(64):016x}"


def _can_meet(headers: CIMultiDictProxy[str]) -> bool:
    """Whether all that is expected is ``100-continue``."""
    return all(value.lower() in ("", "100-continue") for value in headers.getall("Expect", ()))


def _is_coded(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the body is compressed, or coded in another way than by chunks."""
    codings = _tokens(headers, "Content-Encoding") - {"identity"}
    return bool(codings or _tokens(headers, "Transfer-Encoding") - {"chunked"})


def _tokens(headers: CIMultiDictProxy[str], name: str) -> set[str]:
    if name not in headers:
        return set()
    return {
        token
        for value in headers.getall(name)
        for part in value.split(",")
        if (token := part.strip().lower())
    }
