"""Topics ``chat:ROOM``: the messages of chat rooms."""

from typing import ClassVar

from pydantic import BaseModel, Field

from sse_push.events.errors import Forbidden
from sse_push.events.event import Name
from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.settings import Settings
from sse_push.service.streams import base

MAX_RECALLED = 100  # messages that a stream may begin with: some screens of them

TOPIC = Topic("chat", per_room=True)


class ChatMessage(BaseModel):
    room_id: str = Field(alias="roomId")
    message: str
    user_id: str = Field(alias="userId")
    username: str
    timestamp: str


class ChatParams(base.Params):
    room: Name = Field(description="The room.")
    history: int = Field(
        default=0, ge=0, le=MAX_RECALLED, description="Begin with so many of the newest messages; an id that is sent goes before it."
    )  # fmt: skip


class ChatStream(base.Stream):
    name = "chat"
    path = "/chat/stream"
    topic = TOPIC
    summary = "The room's messages."
    Params: ClassVar[type[base.Params]] = ChatParams
    payloads = (ChatMessage,)

    def filter(self, caller: Caller, params: ChatParams, settings: Settings) -> Filter:
        require_room(caller, params.room, settings)
        return Filter.of(room_topic(params.room), user=caller.user_id)

    def recalls(self, params: ChatParams) -> int:
        return params.history

    def params_for(self, caller: Caller, room: str | None) -> ChatParams:
        return ChatParams(room=room or "")


def room_topic(room: str) -> str:
    return f"{TOPIC.name}:{room}"


def require_room(caller: Caller, room: str, settings: Settings) -> str:
    """The id of a user allowed in *room*.

    Raises:
        Unauthenticated: There is no token.
        Forbidden: The room is closed to them.
    """
    user_id = caller.require_user()
    if not caller.may_enter(room, settings.rooms_open_to_all):
        raise Forbidden("this room is closed to you")
    return user_id
