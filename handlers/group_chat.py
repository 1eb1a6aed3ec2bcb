"""``POST /api/chat/rooms/{roomId}/group-sse`` and ``GET .../members`` (docs/protocol.md).

Checks the caller and the room, and opens the stream of one turn; service/group_chat/ has the rest.
"""

import structlog
from aiohttp import web
from pydantic import ValidationError

from sse_push.events.errors import BadRequest, Forbidden
from sse_push.events.event import MAX_KEY
from sse_push.events.fingerprint import fingerprint_of
from sse_push.events.router import Filter
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import count_bytes, count_command, json_response, read_model
from sse_push.handlers.errors import faults
from sse_push.handlers.keys import NODE, REQUEST_ID
from sse_push.handlers.streams import admit, begin
from sse_push.service.commands import SayToGroup
from sse_push.service.group_chat.experience import level_of
from sse_push.service.group_chat.frames import DONE
from sse_push.service.group_chat.rooms import RequestKey
from sse_push.service.group_chat.schemas import RoomMember, RoomParams
from sse_push.service.group_chat.turn import TurnRequest
from sse_push.service.group_chat.turns import CallerSession
from sse_push.service.streams.chat import require_room

GROUP = "group"  # the name of these streams in logs and metrics
_PATH = "/api/chat/rooms/{roomId}"

_log = structlog.get_logger()


def routes() -> list[web.RouteDef]:
    return [
        web.post(f"{_PATH}/group-sse", group_sse),
        web.get(f"{_PATH}/members", members),
    ]


async def group_sse(request: web.Request) -> web.StreamResponse:
    """One turn: posts the message; the answers of the AI members go to the room and over this stream."""
    node = request.app[NODE]
    caller = await caller_of(request)
    user_id = caller.require_user()
    count_command(request, caller)
    room = _room(request)
    require_room(caller, room, node.settings)
    command, sent = await read_model(request, SayToGroup)
    key = _key(request, sent)
    if command.sender != user_id:
        raise Forbidden("sender must be you, by the id of your token")
    node.turns_of_user.take(user_id)
    count_bytes(request, caller, len(command.message.encode(errors="replace")))
    connection = admit(request, caller, GROUP, last=DONE)
    try:
        turn = await node.group_chat.post_message(
            TurnRequest(room, user_id, command.user_name, command.message),
            caller.name or command.user_name,
            key,
        )
    except BaseException:
        node.connections.refuse(connection)
        raise
    _log.info("group_chat.asked", turn=turn.id, room=room, user=user_id, members=len(turn.pending), request_id=request[REQUEST_ID])  # fmt: skip
    connection.sessions = [CallerSession(node.group_chat, turn)]
    try:
        return begin(request, connection, Filter(user=user_id), lambda: turn.first_frame)
    finally:
        node.group_chat.ask_members(turn)  # also without a reader: others may be in the room


async def members(request: web.Request) -> web.Response:
    """The room's AI members, with the caller's exp and level."""
    node = request.app[NODE]
    caller = await caller_of(request)
    caller.require_user()
    room = _room(request)
    user_id = require_room(caller, room, node.settings)
    exp = await node.group_chat.experience.of(user_id)
    room_members = [
        RoomMember(
            ai_id=str(persona.id),
            persona_id=persona.id,
            ai_name=persona.name,
            exp=exp.get(persona.id, 0),
            level=level_of(exp.get(persona.id, 0)),
        )
        for persona in node.group_chat.personas.members_of(room)
    ]
    return json_response(room_members)


def _key(request: web.Request, sent: bytes) -> RequestKey | None:
    """The header ``Idempotency-Key``.

    Raises:
        BadRequest: It is not a valid key.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise BadRequest(f"an idempotency key has 1 to {MAX_KEY} characters")
    return None if key is None else RequestKey(key, fingerprint_of(request.path, sent))


def _room(request: web.Request) -> str:
    try:
        return RoomParams.model_validate(request.match_info).room_id
    except ValidationError as error:
        raise BadRequest("; ".join(detail for _, detail in faults(error))) from None
