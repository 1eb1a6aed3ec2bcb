"""The streams over HTTP: one handler for all of the registry, and ``/v1/stream`` for many topics at once.

Tells who asks, what they get and whether there is room; then hands the transport to a connection.
"""

import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from aiohttp import HttpVersion11, web
from pydantic import ValidationError

from sse_push.events.errors import BadRequest, EngineUnavailable, ShuttingDown, Unauthenticated
from sse_push.events.event import Event
from sse_push.events.latest import position_before_latest
from sse_push.events.replay import Replay
from sse_push.events.router import Filter
from sse_push.handlers import cors
from sse_push.handlers.auth import caller_of
from sse_push.handlers.client_address import address_of
from sse_push.handlers.errors import SERVER, faults
from sse_push.handlers.http.detach import is_half_closed, take_over
from sse_push.handlers.http.request import AnyRequest
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.handlers.middleware import Handler
from sse_push.handlers.topics import streams_of, topics_of
from sse_push.service.addresses import network_of
from sse_push.service.connection import Connection, StreamSession
from sse_push.service.identity import Caller
from sse_push.service.node import Node
from sse_push.service.samplers import sample_event
from sse_push.service.streams import STREAMS, SampledStream, SessionStream, Stream
from sse_push.service.streams.base import Params

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
MANY_PATH = "/v1/stream"
MANY = "many"  # the name of /v1/stream in logs and figures


def routes() -> list[web.RouteDef]:
    """A route for each stream of the registry, and ``/v1/stream``."""
    by_get = [web.get(path, handler) for path, handler in handlers_by_path().items()]
    by_body = [web.route(method, MANY_PATH, _many) for method in ("POST", "QUERY")]
    return [*by_get, *by_body]


def handlers_by_path() -> dict[str, Handler]:
    """What opens each stream by ``GET``."""
    return {**{stream.path: _handler(stream) for stream in STREAMS}, MANY_PATH: _many}


def _handler(stream: Stream) -> Handler:
    if isinstance(stream, SessionStream):
        return _session_stream(stream)

    async def handle(request: AnyRequest) -> web.StreamResponse:
        node = request.app[NODE]
        await node.gate.enter()
        caller = await _opener(request)
        params = _params(stream, request)
        where = stream.filter(caller, params, node.settings)
        since = None
        if (count := stream.recalls(params)) and _last_event_id(request) is None:
            async with node.connections.reading(caller, address_of(request)):
                since = await position_before_latest(node.engine, where.keys, count, node.clock)
        return await _open(request, caller, where, stream.name, [stream], named=False, since=since)

    return handle


def _session_stream(stream: SessionStream) -> Handler:
    async def handle(request: AnyRequest) -> web.StreamResponse:
        node = request.app[NODE]
        await node.gate.enter()
        try:
            caller = await _opener(request)
            params = _params(stream, request)
            where = stream.filter(caller, params, node.settings)
        except Unauthenticated:
            if stream.invalid_token is None:
                raise
            raise Unauthenticated(stream.invalid_token) from None
        session = await stream.open_session(caller, node)
        return await _open(request, caller, where, stream.name, [stream], named=False, sessions=[session])

    return handle


async def _many(request: AnyRequest) -> web.StreamResponse:
    """Many topics over one connection; ``event:`` says which each event is of."""
    node = request.app[NODE]
    await node.gate.enter()
    caller = await _opener(request)
    caller.require_user()
    topics, last_id = await topics_of(request, node.settings.max_topics)
    opened = streams_of(topics)
    where = Filter()
    for stream, room in opened:
        where |= stream.filter(caller, _params_for(stream, caller, room), node.settings)
    streams = [stream for stream, _ in opened]
    sessions = [
        await stream.open_session(caller, node) for stream in streams if isinstance(stream, SessionStream)
    ]
    return await _open(request, caller, where, MANY, streams, named=True, sessions=sessions, since=last_id)


async def _opener(request: AnyRequest) -> Caller:
    """Who opens a stream, counted against their rate: each costs the reads of its replay.

    Raises:
        Unauthenticated: The token is bad.
        OverLimit: It was one too many.
    """
    node = request.app[NODE]
    caller = await caller_of(request)
    if caller.user_id is not None:
        node.opens_of_user.take(caller.user_id)
    else:
        node.opens_of_address.take(network_of(address_of(request), node.settings.ipv6_prefix))
    return caller


async def _open(
    request: AnyRequest,
    caller: Caller,
    where: Filter,
    name: str,
    streams: Sequence[Stream],
    *,
    named: bool,
    sessions: Sequence[StreamSession] = (),
    since: str | None = None,
) -> web.StreamResponse:
    node = request.app[NODE]
    is_local = all(stream.topic.local for stream in streams)
    if not node.engine.reachable and not is_local:
        raise EngineUnavailable("events can't be had now")
    if request.method == "HEAD":
        return _head_alone(node)
    is_kept = any(stream.topic.durable for stream in streams)
    resume = (_last_event_id(request) or since,) if is_kept else None
    keys = () if is_local else (*where.keys, *(key for session in sessions for key in session.keys))
    connection = admit(request, caller, name, named=named)
    connection.sessions = sessions
    try:
        replay = await node.connections.prepare(connection, where, keys, resume=resume)
    except BaseException:
        node.connections.refuse(connection)
        raise
    return begin(request, connection, where, lambda: connection.encoding.join(_greeting(node, streams, sessions)), replay)  # fmt: skip


def _head_alone(node: Node) -> web.Response:
    """The answer to who asks what a stream would be: it takes no slot."""
    if not node.connections.accepting:
        raise ShuttingDown("this node is going away")
    return web.Response(headers=STREAM_HEADERS)


def admit(
    request: AnyRequest, caller: Caller, name: str, *, named: bool = False, last: bytes = b""
) -> Connection:
    """A slot for a stream; :func:`begin` or ``Connections.refuse`` must follow.

    Args:
        name: Of the stream, in logs and figures.
        named: ``event:`` says which topic each event is of.
        last: Frames that end it (:attr:`sse_push.service.connection.Connection.last`).

    Raises:
        ShuttingDown, OverLimit: There is none.
    """
    node = request.app[NODE]
    encoding = node.router.encodings[named, request.version >= HttpVersion11]
    return node.connections.admit(name, encoding, caller, address_of(request), request[REQUEST_ID], last)


def begin(
    request: AnyRequest,
    connection: Connection,
    where: Filter,
    greeting: Callable[[], bytes],
    replay: Replay | None = None,
) -> web.StreamResponse:
    """Take the request's transport over and open the stream; the arguments are those of ``Connections.open``.

    Raises:
        ConnectionResetError: The client is gone.
    """
    connections = request.app[NODE].connections
    try:
        first = greeting()
        head = _head(request, connection.encoding.chunked)
        transport, response = take_over(request, connection)
    except BaseException:
        connections.refuse(connection)
        raise
    try:
        connections.open(connection, transport, head, where, replay=replay, greeting=first)
    except BaseException:
        transport.abort()  # nobody else knows of it any more
        raise
    if is_half_closed(request):
        connection.eof_received()
    return response


def _greeting(node: Node, streams: Sequence[Stream], sessions: Sequence[StreamSession]) -> list[Event]:
    """What is so now, for streams that are not kept: nobody waits an interval for the first of it."""
    samples = [
        node.pipeline.validator.encode(sample_event(stream, node))
        for stream in streams
        if isinstance(stream, SampledStream)
    ]
    return [*samples, *(session.greeting() for session in sessions)]


def _last_event_id(request: AnyRequest) -> str | None:
    return request.headers.get("Last-Event-ID") or request.query.get("lastEventId") or None


def _params(stream: Stream, request: AnyRequest) -> Params:
    if stream.Params is Params:
        return _NO_PARAMS
    given: dict[str, Any] = {**request.query, **request.match_info}
    try:
        return stream.Params.model_validate(given)
    except ValidationError as error:
        raise _bad(error) from None


def _params_for(stream: Stream, caller: Caller, room: str | None) -> Params:
    try:
        return stream.params_for(caller, room)
    except ValidationError as error:
        raise _bad(error) from None


def _bad(error: ValidationError) -> BadRequest:
    return BadRequest("; ".join(detail for _, detail in faults(error)))


_NO_PARAMS = Params()


def _head(request: AnyRequest, chunked: bool) -> bytes:
    """The head of the response. All that goes in is ours or was checked: a request id, a listed origin."""
    settings = request.app[NODE].settings
    origin = request.headers.get("Origin")
    more = cors.headers_for(settings, origin) if settings.cors_origins else {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    end = f"{lines}X-Request-ID: {request[REQUEST_ID]}\r\n\r\n"
    return _fixed_head(chunked, int(time.time())) + end.encode()


_STREAM_LINES = "".join(f"{name}: {value}\r\n" for name, value in STREAM_HEADERS.items())


@lru_cache(maxsize=4)
def _fixed_head(chunked: bool, second: int) -> bytes:
    return (
        f"HTTP/1.{int(chunked)} 200 OK\r\n"
        f"{_STREAM_LINES}"
        "X-Content-Type-Options: nosniff\r\n"
        f"Server: {SERVER}\r\n"
        "Connection: close\r\n"
        f"Date: {formatdate(second, usegmt=True)}\r\n"
        f"{'Transfer-Encoding: chunked' if chunked else 'Pragma: no-cache'}\r\n"
    ).encode()
