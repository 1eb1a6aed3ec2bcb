"""Topic ``notifications``: short messages to some users or to everybody."""

from typing import Literal

from pydantic import BaseModel

from sse_push.events.topics import Topic
from sse_push.service.streams import base

TOPIC = Topic("notifications")

NotificationType = Literal["info", "success", "warning", "error"]


class Notification(BaseModel):
    title: str
    message: str
    type: NotificationType
    timestamp: str


class NotificationStream(base.Stream):
    name = "notifications"
    path = "/notifications/stream"
    topic = TOPIC
    summary = "Notifications for the caller or for all."
    payloads = (Notification,)
