"""Topic ``presence`` and the payloads of its events."""

from typing import ClassVar

from pydantic import BaseModel, Field, RootModel

from sse_push.events.topics import Topic

TOPIC = Topic("presence", durable=False, publishable=False)


class Connected(BaseModel):
    """The stream's first event."""

    event_name: ClassVar[str] = "connected"

    user_id: int = Field(description="The user the stream belongs to.", examples=[1])
    timestamp: str


class FriendStatus(BaseModel):
    """The status of a friend."""

    user_id: int = Field(examples=[2])
    is_online: bool
    last_activity: str | None = Field(
        default=None, description="While online.", examples=["2026-01-18T10:30:00.000Z"]
    )
    last_seen: str | None = Field(default=None, description="While offline; absent for one never seen.", examples=["2026-01-18T10:30:00.000Z"])  # fmt: skip


class Initial(RootModel[dict[str, FriendStatus]]):
    """The status of every friend, by user id. Sent again, it replaces all statuses before it."""

    event_name: ClassVar[str] = "initial"


class StatusChange(FriendStatus):
    """A friend came online or went offline."""

    event_name: ClassVar[str] = "status_change"


class Heartbeat(BaseModel):
    """The user's own last activity is now."""

    event_name: ClassVar[str] = "heartbeat"

    timestamp: str
