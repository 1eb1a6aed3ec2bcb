"""A stream of events in one request, a line each, and a stream of answers: ``{"id"}`` or ``{"error"}``.

Reads and answers at once, in the same order; behind a proxy it answers when the publisher pauses or is done. A
publisher that does not read its answers is not read either. Knows lines and receipts, not what an event is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from pydantic_core import to_json

from sse_push.events.errors import BadEvent, DatabaseUnavailable, OverLimit, SsePushError, Unauthenticated
from sse_push.events.event import Push
from sse_push.events.faults import described, together
from sse_push.events.json_text import NotJson
from sse_push.events.push_body import is_list, read_pushes
from sse_push.events.receipts import FutureReceipt
from sse_push.handlers.bodies import budget_of, reading_body
from sse_push.handlers.client_address import is_forwarded
from sse_push.handlers.errors import STATUS
from sse_push.handlers.http.detach import expect_slow_body
from sse_push.handlers.keys import NODE
from sse_push.handlers.middleware import NO_STORE, common_headers
from sse_push.service.account_checks import CHECK_S
from sse_push.service.identity import Caller
from sse_push.service.node import Node

UNANSWERED_LINES = 5000  # lines read ahead of their answers: what a few commits take
LINGER_S = 2.0  # seconds a publisher gets to read its last answers when the node goes away
PAUSE_S = 2.0  # seconds a publisher behind a proxy is silent before it is answered: it seems to wait for that
TURN_S = 0.01  # seconds that one request reads lines while others wait: live events are late by no more
HELD_BYTES = 16 * 1024 * 1024  # answers held for a publisher behind a proxy: those of some 600,000 lines
# bytes of a line beside its event's data: a thousand user ids of some length
_LINE_OVERHEAD_BYTES = 64 * 1024


class _Response:
    """The answers on their way: from the start, or where a proxy stands between, once the request is through.

    nginx passes no more of a request on when it has passed the head of the answer on and then had to wait for
    the node once: both sides would wait for ever (docs/design/0008-ndjson-behind-a-proxy.md).
    """

    def __init__(self, request: web.Request) -> None:
        headers = {"Content-Type": "application/x-ndjson", **dict([NO_STORE]), **common_headers(request)}
        self.http = web.StreamResponse(headers=headers)
        self.begun = False
        self._request = request
        self._held: list[bytes] = []
        self._held_bytes = 0

    async def begin(self) -> None:
        """Send the head and what was held. Twice is once."""
        if not self.begun:
            self.begun = True
            await self.http.prepare(self._request)
            if self._held:
                await self.http.write(b"".join(self._held))
                self._held.clear()

    async def write(self, answers: list[bytes]) -> None:
        if self.begun:
            await self.http.write(b"".join(answers))
            return
        self._held += answers
        self._held_bytes += sum(map(len, answers))
        if self._held_bytes > HELD_BYTES:
            await self.begin()

    async def end(self) -> None:
        await self.begin()
        await self.http.write_eof()


class _Answers:
    """Receipts in the order of their lines; no more of them than may be unanswered."""

    def __init__(self, unanswered: int) -> None:
        self._room = asyncio.Semaphore(unanswered)
        self._receipts: asyncio.Queue[FutureReceipt | None] = asyncio.Queue()

    async def room(self) -> None:
        """Wait until one more may be put: before its event is submitted, or it could go unanswered."""
        await self._room.acquire()

    def put(self, receipt: FutureReceipt) -> None:
        receipt.add_done_callback(_seen)  # its publisher may leave before it is answered
        self._receipts.put_nowait(receipt)

    def end(self) -> None:
        self._receipts.put_nowait(None)

    async def write_to(self, response: _Response) -> None:
        """Answer each in turn; those that are ready together leave in one write."""
        ready: list[bytes] = []
        turn = _Turn()
        while (receipt := await self._next(response)) is not None:
            if ready and not receipt.done():
                await response.write(ready)
                ready.clear()
            ready.append(await _answer_to(receipt))
            self._room.release()
            await turn.pause_if_long()
            if self._receipts.empty():
                await response.write(ready)
                ready.clear()
        if ready:
            await response.write(ready)

    async def _next(self, response: _Response) -> FutureReceipt | None:
        if response.begun or not self._receipts.empty():
            return await self._receipts.get()
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_S):
                return await self._receipts.get()
        await response.begin()
        return await self._receipts.get()


async def publish_lines(request: web.Request, caller: Caller) -> web.StreamResponse:
    """Publish the events of the request's body, line by line."""
    node = request.app[NODE]
    expect_slow_body(request)
    response = _Response(request)
    if not is_forwarded(request):
        await response.begin()
    answers = _Answers(UNANSWERED_LINES)
    reading = asyncio.create_task(_read(request, node, caller, answers))
    node.reading.add(reading)  # a node that goes away stops reading, and answers what it has read
    node.answering.add(reading)
    try:
        await answers.write_to(response)
        await response.end()
        if not node.connections.accepting or _broke_off(reading):
            await _linger(request)
    finally:
        node.reading.discard(reading)
        node.answering.discard(reading)
        reading.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            if not await reading:
                response.http.force_close()  # what follows on the connection is no request
    return response.http


def _broke_off(reading: "asyncio.Task[bool]") -> bool:
    return reading.done() and not reading.cancelled() and reading.exception() is None and not reading.result()


async def _linger(request: web.Request) -> None:
    """Say that this was all, and drop what still comes for a while.

    A connection closed over bytes that nobody read is reset, and the reset takes the last answers with it
    (RFC 9112, section 9.6).
    """
    transport = request.transport
    if transport is not None and transport.can_write_eof():
        transport.write_eof()
    with suppress(TimeoutError, ConnectionError, web.RequestPayloadError):
        async with asyncio.timeout(LINGER_S):
            with reading_body(request):
                while not request.content.at_eof():
                    await request.content.readany()


async def _read(request: web.Request, node: Node, caller: Caller, answers: _Answers) -> bool:
    """Read lines to the end; whether the body was well-formed, and its publisher's token good all the time."""
    due = node.clock() + CHECK_S
    try:
        async for line in _lines(request, node.settings.max_event_bytes + _LINE_OVERHEAD_BYTES):
            await answers.room()
            if (now := node.clock()) >= due or (caller.expires is not None and now >= caller.expires):
                await node.tokens.check_again(caller)
                due = now + CHECK_S
            answers.put(_submit(node, line, caller))
    except web.RequestPayloadError:
        answers.put(_failed(BadEvent("the body can't be read")))
        return False
    except (Unauthenticated, DatabaseUnavailable) as error:
        answers.put(_failed(error))
        return False
    finally:
        answers.end()
    return True


def _submit(node: Node, line: bytes | None, caller: Caller) -> FutureReceipt:
    publisher = caller.require_publisher()
    try:
        if line is None:
            raise BadEvent("the line is too long")
        push = _push_of(line)
        budget_of(node, caller).take(publisher, len(line))
    except NotJson:
        return _failed(BadEvent("the line is not JSON"))
    except (BadEvent, OverLimit) as error:
        return _failed(error)
    return node.pipeline.submit([push], publisher)


def _push_of(line: bytes) -> Push:
    """The event of *line*.

    Raises:
        NotJson, BadEvent: It is none.
    """
    if is_list(line):
        raise BadEvent("a line is one event, not a list")
    [push], faults = read_pushes(line, 1)
    if push is None:
        raise together(faults)
    return push


def _seen(receipt: FutureReceipt) -> None:
    if not receipt.cancelled():
        receipt.exception()


def _failed(error: SsePushError) -> FutureReceipt:
    receipt: FutureReceipt = asyncio.get_running_loop().create_future()
    receipt.set_exception(error)
    return receipt


async def _answer_to(receipt: FutureReceipt) -> bytes:
    try:
        [id_] = await receipt
    except BadEvent as error:
        return b"%b\n" % to_json({"error": described([error, *error.others])})
    except SsePushError as error:
        may_come_again = {"outcome": error.outcome} if STATUS[type(error)] == 503 else {}
        return b"%b\n" % to_json({"error": str(error), **may_come_again})
    return b'{"id":"%b"}\n' % id_.encode()


async def _lines(request: web.Request, max_bytes: int) -> AsyncIterator[bytes | None]:
    """The body's lines that are not blank; ``None`` for one over *max_bytes*, which is not kept."""
    turn = _Turn()
    rest = bytearray()  # of a line whose end has not come
    skipping = False
    with reading_body(request):
        async for part in request.content.iter_any():
            *ends, begun = part.split(b"\n")
            if ends and skipping:
                skipping = False
                del ends[0]
                yield None
            elif ends:
                ends[0] = bytes(rest) + ends[0]
                rest.clear()
            for line in filter(bytes.strip, ends):  # in a loop of C: a body may be blank lines only
                yield line if len(line) <= max_bytes else None
                await turn.pause_if_long()
            rest += begun
            if len(rest) > max_bytes:
                rest.clear()
                skipping = True
            await turn.pause_if_long()  # what has come is read without waiting
    if skipping or rest.strip():
        yield None if skipping else bytes(rest)


class _Turn:
    """How long one request has had the loop without a pause."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._due = self._clock() + TURN_S

    async def pause_if_long(self) -> None:
        """Let others go on, after :data:`TURN_S`."""
        if self._clock() >= self._due:
            await asyncio.sleep(0)
            self._due = self._clock() + TURN_S
