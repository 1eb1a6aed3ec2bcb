"""What every request must be before it is answered; what is not is refused by its head, its body unread."""

import time
from dataclasses import dataclass

from aiohttp import web

from sse_push.handlers.errors import problem
from sse_push.handlers.http.head import Head
from sse_push.handlers.middleware import NO_STORE, count_answer, headers_for, request_id_of
from sse_push.service.node import Node


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused. The connection is closed: what follows its head can't be relied on."""

    status: int
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


_EXPECTS = Refusal(417, "the only expectation that can be met is 100-continue")
# A MiB of gzip can be a GiB of zeros: whoever publishes that much sends NDJSON.
_COMPRESSED = Refusal(415, "a body must not be compressed", (("Accept-Encoding", "identity"),))


def refusal_of(head: Head) -> Refusal | None:
    """Why a request is to be refused by its head alone; ``None`` where it is not."""
    if head.is_http_1_1 and "Expect" in head.headers and head.tokens("Expect") - {"100-continue"}:
        return _EXPECTS
    if head.has_body and _is_coded(head):
        return _COMPRESSED
    return None


def refuse(node: Node, head: Head, refusal: Refusal) -> web.Response:
    """The answer to a request that is refused."""
    started = time.perf_counter()
    request_id = request_id_of(head.headers.get("X-Request-ID"))
    response = problem(refusal.status, refusal.detail, request_id)
    response.headers.update(headers_for(node.settings, request_id, head.headers.get("Origin")))
    response.headers.update([NO_STORE, *refusal.headers])
    count_answer(node, head.method, head.path, refusal.status, request_id, started)
    return response


def _is_coded(head: Head) -> bool:
    """Whether the body is compressed, or coded in another way than by chunks."""
    codings = head.tokens("Content-Encoding") - {"identity"}
    return bool(codings or head.tokens("Transfer-Encoding") - {"chunked"})
