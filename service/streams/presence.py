"""Topic ``presence``: the status of the caller's friends."""

from typing import TYPE_CHECKING

from sse_push.events.errors import NotFound
from sse_push.events.router import Filter
from sse_push.service.identity import Caller
from sse_push.service.people import UNKNOWN_USER, user_number
from sse_push.service.presence.payloads import TOPIC, Connected, Heartbeat, Initial, StatusChange
from sse_push.service.presence.session import PresenceSession
from sse_push.service.settings import Settings
from sse_push.service.streams import base

if TYPE_CHECKING:
    from sse_push.service.node import Node


class PresenceStream(base.SessionStream):
    """A user with an open presence stream is online to their friends, until some seconds after the last one is closed."""

    name = "presence"
    path = "/api/presence/stream"
    topic = TOPIC
    summary = "The status of the caller's friends: who is online, who comes and who goes."
    payloads = (Connected, Initial, StatusChange, Heartbeat)
    invalid_token = "Invalid token"

    def filter(self, caller: Caller, params: base.Params, settings: Settings) -> Filter:
        return Filter(user=caller.require_user())  # its session subscribes to the events

    async def open_session(self, caller: Caller, node: "Node") -> PresenceSession:
        """A session for the caller.

        Raises:
            Unauthenticated: There is no token.
            NotFound: The caller has no account.
            DatabaseUnavailable: The account can't be looked up now.
        """
        number = user_number(caller.require_user())
        subscription = None if number is None else await node.presence.subscribe(number)
        if subscription is None:
            raise NotFound(UNKNOWN_USER)
        return PresenceSession(node.presence, subscription, node.clock)
