"""Every stream there is. A new one: its module beside these, its line in ``STREAMS``."""

from events.topics import Topic
from service.streams.app import AppStream, AppUserStream
from service.streams.base import AttendedStream, SampledStream, Stream, Visit
from service.streams.chat import ChatStream
from service.streams.client import ClientStream
from service.streams.custom import CustomStream
from service.streams.notifications import NotificationStream
from service.streams.presence import PresenceStream
from service.streams.realtime import RealtimeStream
from service.streams.system import SystemStream

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

__all__ = ["BY_TOPIC", "STREAMS", "TOPICS", "AttendedStream", "SampledStream", "Stream", "Visit"]
