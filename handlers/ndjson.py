"""A stream of events in one request, a line each, and a stream of answers: ``{"id"}`` or ``{"error"}``.

Reads and answers at once, in the same order. A publisher that does not read its answers is not read
either. Knows lines and receipts; what an event is, the publisher knows.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from events.engines.base import Receipt
from events.errors import BadEvent, SsePushError
from events.event import PushEvent
from handlers.errors import faults, is_no_json
from handlers.guard import expect_slow_body
from handlers.keys import NODE, REQUEST_ID
from service.node import Node

UNANSWERED_LINES = 5000  # lines read ahead of their answers: what a few commits take
_LINE_OVERHEAD_BYTES = (
    64 * 1024
)  # bytes of a line beside its event's data: a thousand user ids of some length

_ONE = TypeAdapter(PushEvent)


async def publish_lines(request: web.Request, publisher: str) -> web.StreamResponse:
    """Publish the events of the request's body, line by line."""
    node = request.app[NODE]
    expect_slow_body(request)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "X-Request-ID": request[REQUEST_ID]})  # fmt: skip
    await response.prepare(request)
    receipts: asyncio.Queue[Receipt | None] = asyncio.Queue(UNANSWERED_LINES)
    reading = asyncio.create_task(_read(request, node, publisher, receipts))
    node.reading.add(reading)  # a node that goes away stops reading, and answers what it has read
    try:
        await _answer(response, receipts)
        await response.write_eof()
    finally:
        node.reading.discard(reading)
        reading.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await reading
    return response


async def _read(
    request: web.Request, node: Node, publisher: str, receipts: asyncio.Queue[Receipt | None]
) -> None:
    try:
        async for line in _lines(request, node.settings.max_event_bytes + _LINE_OVERHEAD_BYTES):
            await receipts.put(_submit(node, line, publisher))
    except web.RequestPayloadError:
        await receipts.put(_failed("the body can't be read"))
    finally:
        await receipts.put(None)


def _submit(node: Node, line: bytes | None, publisher: str) -> Receipt:
    try:
        if line is None:
            raise BadEvent("the line is too long")
        push = _ONE.validate_json(line)
    except ValidationError as error:
        return _failed("the line is not JSON" if is_no_json(error) else faults(error)[0][1])
    except BadEvent as error:
        return _failed(error.detail)
    return node.publisher.submit([push], publisher)


def _failed(detail: str) -> Receipt:
    receipt: Receipt = asyncio.get_running_loop().create_future()
    receipt.set_exception(BadEvent(detail))
    return receipt


async def _answer(response: web.StreamResponse, receipts: asyncio.Queue[Receipt | None]) -> None:
    """Answer each receipt in turn; those that are ready together leave in one write."""
    ready: list[bytes] = []
    while (receipt := await receipts.get()) is not None:
        if ready and not receipt.done():
            await response.write(b"".join(ready))
            ready.clear()
        ready.append(await _answer_to(receipt))
        if receipts.empty():
            await response.write(b"".join(ready))
            ready.clear()
    if ready:
        await response.write(b"".join(ready))


async def _answer_to(receipt: Receipt) -> bytes:
    try:
        [id_] = await receipt
    except SsePushError as error:
        return b"%b\n" % to_json({"error": str(error)})
    return b'{"id":"%b"}\n' % id_.encode()


async def _lines(request: web.Request, max_bytes: int) -> AsyncIterator[bytes | None]:
    """The body's lines that are not blank; ``None`` for one over *max_bytes*, which is not kept."""
    rest = b""
    skipping = False
    async for part in request.content.iter_any():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            if skipping or len(line) > max_bytes:
                skipping = False
                yield None
            elif line.strip():
                yield line
        if len(rest) > max_bytes:
            rest, skipping = b"", True
    if skipping or rest.strip():
        yield None if skipping else rest
