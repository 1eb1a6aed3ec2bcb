"""Topic ``app``: events that other services push to a user, or to everybody."""

from typing import ClassVar

from pydantic import BaseModel, Field

from sse_push.events.errors import Forbidden
from sse_push.events.event import Name
from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.settings import Settings
from sse_push.service.streams import base

TOPIC = Topic("app", whole=True)


class AppMessage(BaseModel):
    """What ``POST /v1/app/push`` takes and its user gets, as sent."""

    message: str
    user_id: Name = Field(alias="userId", description='A number means its text: 42 is "42".')


class AppStream(base.Stream):
    """One's own; an admin's is everybody's."""

    name = "app"
    path = "/v1/app/sse"
    topic = TOPIC
    summary = "What is for the caller or for all; for an admin, what is for anyone."
    payloads = (AppMessage,)

    def filter(self, caller: Caller, params: base.Params, settings: Settings) -> Filter:
        user_id = caller.require_user()
        return Filter.of(TOPIC.name, user=user_id, whole=caller.is_admin)


class UserParams(base.Params):
    user_id: Name = Field(alias="userId", description="Whose stream.")


class AppUserStream(base.Stream):
    """One user's; for that user, or an admin."""

    name = "app_user"
    path = "/v1/app/sse/{userId}"
    topic = TOPIC
    summary = "What is for that user or for all."
    Params: ClassVar[type[base.Params]] = UserParams
    payloads = (AppMessage,)

    def filter(self, caller: Caller, params: UserParams, settings: Settings) -> Filter:
        if caller.require_user() != params.user_id and not caller.is_admin:
            raise Forbidden("this stream is another user's")
        return Filter.of(TOPIC.name, user=params.user_id)
