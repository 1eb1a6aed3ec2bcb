"""Topic ``system``: the status of this node."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from sse_push.events.topics import Topic
from sse_push.service.settings import Settings
from sse_push.service.status import SystemStatus, system_status
from sse_push.service.streams import base

if TYPE_CHECKING:
    from sse_push.service.node import Node

TOPIC = Topic("system", durable=False, local=True, publishable=False)


class SystemStream(base.SampledStream):
    name = "system"
    path = "/system/status/stream"
    topic = TOPIC
    summary = "The body of GET /system/status, at an interval."
    anyone = True
    payloads = (SystemStatus,)

    def interval(self, settings: Settings) -> float:
        return settings.status_interval_s

    def sample(self, node: "Node") -> BaseModel:
        return system_status(node)
