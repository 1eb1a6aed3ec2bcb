"""``POST /v1/events``: the general publish call of other services. One event, a list, or lines of NDJSON."""

from collections.abc import Sequence
from typing import cast

import structlog
from aiohttp import web

from sse_push.events.errors import BadRequest
from sse_push.events.event import Push, PushEvent
from sse_push.events.faults import together
from sse_push.events.json_text import NotJson
from sse_push.events.push_body import is_list, read_models, read_pushes
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import (
    COMMAND_OVERHEAD_BYTES,
    count_bytes,
    count_command,
    json_response,
    read_body,
)
from sse_push.handlers.commands import with_key
from sse_push.handlers.errors import InvalidBody
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.handlers.ndjson import publish_lines
from sse_push.service.node import Node

PATH = "/v1/events"

_log = structlog.get_logger()


def routes() -> list[web.RouteDef]:
    return [web.post(PATH, publish)]


async def publish(request: web.Request) -> web.StreamResponse:
    caller = await caller_of(request)
    publisher = caller.require_publisher()
    count_command(request, caller)
    if request.content_type == "application/x-ndjson":
        return await publish_lines(request, caller)
    node = request.app[NODE]
    body = await read_body(request, node.settings.max_body_bytes)
    pushes, array = read_events(node, body, request.headers.get("Idempotency-Key"), publisher)
    count_bytes(request, caller, len(body), len(pushes))
    ids = await node.pipeline.publish(*pushes, publisher=publisher)
    _log.debug("event.published", ids=ids, publisher=publisher, request_id=request[REQUEST_ID])
    return json_response({"ids": ids} if array else {"id": ids[0]})


def read_events(
    node: Node, body: bytes, key: str | None, publisher: str | None
) -> tuple[Sequence[Push], bool]:
    """The events of *body*, checked, and whether they came as a list.

    Args:
        publisher: Who publishes.

    Raises:
        BadRequest: It is no JSON, or *key* (the header ``Idempotency-Key``) came with a list.
        BadEvent, InvalidBody: One of them can't be published; then none is. It names the others too.
    """
    array = is_list(body)
    if array and key is not None:
        raise BadRequest("Idempotency-Key goes with one event; give each of a list its own key")
    if not array and len(body) > node.settings.max_event_bytes + COMMAND_OVERHEAD_BYTES:
        raise InvalidBody([(0, f"the event takes {len(body)} bytes")])
    try:
        read = read_pushes if key is None else read_models
        pushes, faults = read(body, node.settings.max_batch_events)
    except NotJson as error:
        raise BadRequest(str(error)) from None
    if faults:
        for index, push in enumerate(pushes):
            if push is not None:
                faults += [fault.at(index) for fault in node.pipeline.validator.errors_of(push, publisher)]
        raise together(faults)
    if key is not None:
        pushes = [with_key(cast("PushEvent", push), key) for push in pushes]
    return cast("list[Push]", pushes), array
