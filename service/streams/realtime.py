"""Topic ``realtime``: entities that were created, updated or deleted."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from sse_push.events.event import Name
from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.settings import Settings
from sse_push.service.streams import base

TOPIC = Topic("realtime", narrowed_by=("entityType", "entityId"))

Action = Literal["created", "updated", "deleted"]


class EntityUpdate(BaseModel):
    entity_type: Name = Field(alias="entityType")
    entity_id: Name = Field(alias="entityId")
    action: Action
    data: Any
    timestamp: str


class RealtimeParams(base.Params):
    entity_type: Name | None = Field(default=None, alias="entityType", description="Only this type.")
    entity_id: Name | None = Field(default=None, alias="entityId", description="Only this entity.")


class RealtimeStream(base.Stream):
    name = "realtime"
    path = "/realtime/stream"
    topic = TOPIC
    summary = "Entity updates, narrowed to a type or an entity where asked."
    Params: ClassVar[type[base.Params]] = RealtimeParams
    payloads = (EntityUpdate,)

    def filter(self, caller: Caller, params: RealtimeParams, settings: Settings) -> Filter:
        about = params.model_dump(by_alias=True, exclude_none=True)
        return Filter.of(TOPIC.name, user=caller.require_user(), about=about)
