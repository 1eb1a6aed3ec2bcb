"""``POST /v1/events``: the general publish call of other services. One event, a list, or lines of NDJSON."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import Field, TypeAdapter, ValidationError

from events.errors import BadRequest
from events.event import Push, PushEvent
from events.plain import read_plain
from handlers.auth import caller_of
from handlers.bodies import (
    COMMAND_OVERHEAD_BYTES,
    count_bytes,
    count_command,
    json_response,
    read_body,
    refused,
)
from handlers.commands import with_key
from handlers.errors import InvalidBody
from handlers.keys import NODE, REQUEST_ID
from handlers.ndjson import publish_lines
from service.node import Node

PATH = "/v1/events"
_ONE = TypeAdapter(PushEvent).validator.validate_json  # the adapter's own method checks options for 1 us
_WHITE_SPACE = b" \t\r\n"

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
    pushes, is_list = read_events(node, body, request.headers.get("Idempotency-Key"))
    count_bytes(request, caller, len(body), len(pushes))
    ids = await node.publisher.publish(*pushes, publisher=publisher)
    _log.debug("event.published", ids=ids, publisher=publisher, request_id=request[REQUEST_ID])
    return json_response({"ids": ids} if is_list else {"id": ids[0]})


def read_events(node: Node, body: bytes, key: str | None) -> tuple[Sequence[Push], bool]:
    """The events of *body*, checked, and whether they came as a list.

    Raises:
        BadRequest: It is no JSON, or *key* (the header ``Idempotency-Key``) came with a list.
        InvalidBody: One of them is of no event's form; then none is published.
    """
    is_list = body.lstrip(_WHITE_SPACE)[:1] == b"["
    limit = node.settings.max_batch_events
    if not is_list and len(body) > node.settings.max_event_bytes + COMMAND_OVERHEAD_BYTES:
        raise InvalidBody([(0, f"the event takes {len(body)} bytes")])
    if key is None:
        plain = read_plain(body, is_list=is_list)
        if plain and len(plain) <= limit:
            return plain, is_list
    try:
        pushes = _list_of(limit)(body) if is_list else [_ONE(body)]
    except ValidationError as error:
        raise refused(error, of_list=is_list) from None
    if key is not None:
        if is_list:
            raise BadRequest("Idempotency-Key goes with one event; give each of a list its own key")
        pushes = [with_key(pushes[0], key)]
    return pushes, is_list


@lru_cache
def _list_of(limit: int) -> Callable[[bytes], list[PushEvent]]:
    """Reads a list of events; one that is too long is not read to its end."""
    model = TypeAdapter(Annotated[list[PushEvent], Field(min_length=1, max_length=limit)])
    return model.validator.validate_json
