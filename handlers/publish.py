"""``POST /v1/events``: the general publish call of other services. One event, a list, or lines of NDJSON."""

from typing import Annotated

import structlog
from aiohttp import web
from pydantic import Field, TypeAdapter, ValidationError

from events.errors import BadRequest
from events.event import PushEvent
from handlers.auth import caller_of
from handlers.bodies import count_command, json_response, refused
from handlers.commands import with_key
from handlers.errors import InvalidBody
from handlers.keys import NODE, REQUEST_ID
from handlers.ndjson import publish_lines
from service.node import Node

PATH = "/v1/events"
_ONE = TypeAdapter(PushEvent).validator.validate_json  # the adapter's own method checks options for 1 us
_LIST = TypeAdapter(Annotated[list[PushEvent], Field(min_length=1)]).validator.validate_json
_WHITE_SPACE = b" \t\r\n"

_log = structlog.get_logger()


def routes() -> list[web.RouteDef]:
    return [web.post(PATH, publish)]


async def publish(request: web.Request) -> web.StreamResponse:
    caller = await caller_of(request)
    publisher = caller.require_publisher()
    count_command(request, caller)
    if request.content_type == "application/x-ndjson":
        return await publish_lines(request, publisher)
    node = request.app[NODE]
    pushes, is_list = read_events(node, await request.read(), request.headers.get("Idempotency-Key"))
    ids = await node.publisher.publish(*pushes, publisher=publisher)
    _log.debug("event.published", ids=ids, publisher=publisher, request_id=request[REQUEST_ID])
    return json_response({"ids": ids} if is_list else {"id": ids[0]})


def read_events(node: Node, body: bytes, key: str | None) -> tuple[list[PushEvent], bool]:
    """The events of *body*, checked, and whether they came as a list.

    Raises:
        BadRequest: It is no JSON, or *key* (the header ``Idempotency-Key``) came with a list.
        InvalidBody: One of them is of no event's form; then none is published.
    """
    is_list = body.lstrip(_WHITE_SPACE)[:1] == b"["
    try:
        pushes = _LIST(body) if is_list else [_ONE(body)]
    except ValidationError as error:
        raise refused(error, of_list=is_list) from None
    limit = node.settings.max_batch_events
    if len(pushes) > limit:
        raise InvalidBody([(limit, f"{len(pushes)} events are over the limit of {limit} in one list")])
    if key is not None:
        if is_list:
            raise BadRequest("Idempotency-Key goes with one event; give each of a list its own key")
        pushes = [with_key(pushes[0], key)]
    return pushes, is_list
