"""Topic ``custom``: the worked example of docs/adding-a-stream.md."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from sse_push.events.topics import Topic
from sse_push.service.settings import Settings
from sse_push.service.streams import base
from sse_push.service.timestamps import timestamp

if TYPE_CHECKING:
    from sse_push.service.node import Node


class CustomTick(BaseModel):
    hello: str = "world"
    custom_data: str = Field(default="a stream of your own is one module", alias="customData")
    timestamp: str


class CustomStream(base.SampledStream):
    name = "custom"
    path = "/custom/stream"
    topic = Topic("custom", durable=False, local=True, publishable=False)
    summary = "The worked example of adding a stream."
    anyone = True
    payloads = (CustomTick,)

    def interval(self, settings: Settings) -> float:
        return settings.custom_interval_s

    def sample(self, node: "Node") -> BaseModel:
        return CustomTick(timestamp=timestamp(node.clock()))
