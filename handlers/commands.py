"""``POST /v1/app/push``, ``/notifications/send``, ``/realtime/update``, ``/chat/send``."""

import structlog
from aiohttp import web
from pydantic import ValidationError

from sse_push.events.event import PushEvent
from sse_push.events.fingerprint import fingerprint_of
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import budget_of, count_command, json_response, read_model, refused
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.service.commands import AppPush, SendChat, SendNotification, UpdateEntity
from sse_push.service.identity import Caller
from sse_push.service.streams.chat import require_room
from sse_push.service.timestamps import timestamp

_log = structlog.get_logger()


def routes() -> list[web.RouteDef]:
    return [
        web.post("/v1/app/push", push_app),
        web.post("/notifications/send", send_notification),
        web.post("/realtime/update", update_entity),
        web.post("/chat/send", send_chat),
    ]


async def push_app(request: web.Request) -> web.Response:
    caller = await _publisher(request)
    command, sent = await read_model(request, AppPush)
    return await _publish(request, caller, command.event(sent), sent)


async def send_notification(request: web.Request) -> web.Response:
    caller = await _publisher(request)
    command, sent = await read_model(request, SendNotification)
    return await _publish(request, caller, command.event(_now(request)), sent)


async def update_entity(request: web.Request) -> web.Response:
    caller = await _publisher(request)
    command, sent = await read_model(request, UpdateEntity)
    return await _publish(request, caller, command.event(_now(request)), sent)


async def send_chat(request: web.Request) -> web.Response:
    caller = await caller_of(request)
    caller.require_user()
    count_command(request, caller)
    command, sent = await read_model(request, SendChat)
    require_room(caller, command.room_id, request.app[NODE].settings)
    return await _publish(request, caller, command.event(caller, _now(request)), sent)


async def _publisher(request: web.Request) -> Caller:
    caller = await caller_of(request)
    caller.require_publisher()
    count_command(request, caller)
    return caller


def _now(request: web.Request) -> str:
    return timestamp(request.app[NODE].clock())


async def _publish(request: web.Request, caller: Caller, event: PushEvent, sent: bytes) -> web.Response:
    if (key := request.headers.get("Idempotency-Key")) is not None:
        event = with_key(event, key, fingerprint_of(request.path, sent))
    budget = budget_of(request.app[NODE], caller)
    if budget.is_limited:
        budget.take(caller.require_user(), len(event.data_json()))
    [id_] = await request.app[NODE].pipeline.publish(event, publisher=caller.require_user())
    _log.info(
        "event.published",
        id=id_,
        topic=event.full_topic,
        publisher=caller.user_id,
        request_id=request[REQUEST_ID],
    )
    return json_response({"id": id_})


def with_key(event: PushEvent, key: str, asked: str | None = None) -> PushEvent:
    """*event* with the key of the header ``Idempotency-Key``, where it has none of its own.

    Args:
        asked: The fingerprint of the request, where the event holds more than was sent.

    Raises:
        InvalidBody: It is no key.
    """
    if event.key is not None:
        return event
    try:
        return event.with_key(key, asked)
    except ValidationError as error:
        raise refused(error) from None
