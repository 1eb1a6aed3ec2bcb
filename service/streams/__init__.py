"""Every stream there is. A new one: its module beside these, its line in ``STREAMS``."""

from sse_push.events.topics import Topic
from sse_push.service.streams.app import AppStream, AppUserStream
from sse_push.service.streams.base import SampledStream, SessionStream, Stream
from sse_push.service.streams.chat import ChatStream
from sse_push.service.streams.client import ClientStream
from sse_push.service.streams.custom import CustomStream
from sse_push.service.streams.notifications import NotificationStream
from sse_push.service.streams.presence import PresenceStream
from sse_push.service.streams.realtime import RealtimeStream
from sse_push.service.streams.system import SystemStream

STREAMS: tuple[Stream, ...] = (
    AppStream(),
    AppUserStream(),
    ClientStream(),
    NotificationStream(),
    RealtimeStream(),
    ChatStream(),
    PresenceStream(),
    SystemStream(),
    CustomStream(),
)

TOPICS: dict[str, Topic] = {stream.topic.name: stream.topic for stream in STREAMS}

# /v1/stream gives a topic as the first stream of that topic gives it.
BY_TOPIC: dict[str, Stream] = {stream.topic.name: stream for stream in reversed(STREAMS)}

__all__ = ["BY_TOPIC", "STREAMS", "TOPICS", "SampledStream", "SessionStream", "Stream"]
