"""Topic ``client``: commands to a channel app's client, by client id."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from sse_push.events.errors import Forbidden
from sse_push.events.event import Name
from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.settings import Settings
from sse_push.service.streams import base

TOPIC = Topic("client")


class RedirectEvent(BaseModel):
    """Go to *url*."""

    type: Literal["redirect"] = "redirect"
    url: str
    timestamp: str


class NotificationEvent(BaseModel):
    """Show *message*."""

    type: Literal["notification"] = "notification"
    message: str
    timestamp: str


class CustomEvent(BaseModel):
    """Do *action* with *payload*."""

    type: Literal["custom"] = "custom"
    action: str
    payload: Any = None
    timestamp: str


class ClientParams(base.Params):
    client_id: Name = Field(alias="clientId", description="The client's id.")


class ClientStream(base.Stream):
    """For the user whose id is the client's, or an admin; in demo mode for anyone."""

    name = "client"
    path = "/sse/connect"
    topic = TOPIC
    summary = "Redirects, notifications and custom events for that client, and broadcasts."
    Params: ClassVar[type[base.Params]] = ClientParams
    payloads = (RedirectEvent, NotificationEvent, CustomEvent)

    def filter(self, caller: Caller, params: ClientParams, settings: Settings) -> Filter:
        if caller.user_id is None and settings.demo:
            return Filter.of(TOPIC.name, user=params.client_id)
        if caller.require_user() != params.client_id and not caller.is_admin:
            raise Forbidden("this client is another user's")
        return Filter.of(TOPIC.name, user=params.client_id)

    def params_for(self, caller: Caller, room: str | None) -> ClientParams:
        return ClientParams(client_id=caller.require_user())
