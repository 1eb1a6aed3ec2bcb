"""Topic ``presence``: which of the caller's friends are online."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field, RootModel

from sse_push.events.errors import NotFound
from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.people import UNKNOWN_USER, user_number
from sse_push.service.settings import Settings
from sse_push.service.streams import base

if TYPE_CHECKING:
    from sse_push.service.node import Node
    from sse_push.service.presence.subscription import PresenceSubscription

TOPIC = Topic("presence", durable=False, publishable=False)


class Connected(BaseModel):
    """The stream's first event."""

    event_name: ClassVar[str] = "connected"

    user_id: int = Field(description="Whose stream it is.", examples=[1])
    timestamp: str


class FriendStatus(BaseModel):
    """How a friend is."""

    user_id: int = Field(examples=[2])
    is_online: bool
    last_activity: str | None = Field(
        default=None, description="While online.", examples=["2026-01-18T10:30:00.000Z"]
    )
    last_seen: str | None = Field(default=None, description="While offline; absent for one never seen.", examples=["2026-01-18T10:30:00.000Z"])  # fmt: skip


class Initial(RootModel[dict[str, FriendStatus]]):
    """Every friend, by the text of their number. Where it comes again, it takes the place of all before."""

    event_name: ClassVar[str] = "initial"


class StatusChange(FriendStatus):
    """A friend came online, or went offline."""

    event_name: ClassVar[str] = "status_change"


class Heartbeat(BaseModel):
    """The user's own last activity is now."""

    event_name: ClassVar[str] = "heartbeat"

    timestamp: str


class PresenceStream(base.AttendedStream):
    """Whoever holds it is online to their friends, until some seconds after the last of their streams is closed."""

    name = "presence"
    path = "/api/presence/stream"
    topic = TOPIC
    summary = "How the caller's friends are: who is online, who comes and goes."
    payloads = (Connected, Initial, StatusChange, Heartbeat)
    invalid_token = "Invalid token"

    def filter(self, caller: Caller, params: base.Params, settings: Settings) -> Filter:
        return Filter(user=caller.require_user())  # what it takes is seen to by its watch

    async def attend(self, caller: Caller, node: "Node") -> "PresenceSubscription":
        """A watch for the caller.

        Raises:
            Unauthenticated: There is no token.
            NotFound: The caller has no account.
            DatabaseUnavailable: That can't be told now.
        """
        number = user_number(caller.require_user())
        watch = None if number is None else await node.presence.watch(number)
        if watch is None:
            raise NotFound(UNKNOWN_USER)
        return watch
