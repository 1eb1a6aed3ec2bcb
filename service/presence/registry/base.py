"""What every presence registry promises. tests/service/presence/registry/contract.py checks each of them.

1.  A user is online while at least one node has registered them. ``update`` returns who joined (no node had them before)
    and who left (no node has them any more). If several nodes act at once, exactly one gets each change.
2.  A node that dies has no users ``timeout`` seconds later, and exactly one other node gets those who went offline by
    that (``on_pending``).
3.  A node that gets a change must notify friends, then acknowledge it (``ack``). What a dead node has not acknowledged,
    another node gets (``on_pending``); a node whose reply was lost gets it itself. So friends are notified of each change at
    least once, and twice only when a node dies, or loses its connection, between notification and acknowledgement.
4.  A node whose registration is lost (the server lost its data, or took the node for dead) learns of it
    (``on_registration_lost``), and has no users until it registers them again.
5.  All of this in bulk: one call for many users.

Registries know user ids and times. They do not know friends, streams or HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import NamedTuple


class PresenceDiff(NamedTuple):
    """Which users an update brought online or took offline.

    Attributes:
        resyncing: The server lost all data, and the update was within the time in which all nodes register again.
    """

    joined: frozenset[str]
    left: frozenset[str]
    resyncing: bool = False


class RegistryListener:
    """What a registry tells its node. Every method does nothing here."""

    def on_pending(self, users: Mapping[str, float]) -> None:
        """This node must send the pending notifications of *users*, with their present status.

        Most of them are offline: their node died. The values are the times of their last activity.
        """

    def on_registration_lost(self, resync_s: float) -> None:
        """This node has no users registered any more.

        Args:
            resync_s: If the server lost all data: seconds in which all nodes register their users again. Nobody got
                the users as having left. 0 if this node was taken for dead (its users did leave), or is too late.
        """


class PresenceRegistry(ABC):
    """Which users are online."""

    @abstractmethod
    def start(self, listener: RegistryListener) -> None:
        """Begin to report to *listener*. Connects with the first update."""

    @abstractmethod
    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        """Register *joins* on this node, and deregister *leaves*.

        Args:
            now: Seconds since the Unix epoch: the last activity of *joins*.

        Raises:
            EngineUnavailable: The server can't be reached. Changes that it made all the same come by ``on_pending``.
        """

    @abstractmethod
    async def ack(self, users: Collection[str]) -> None:
        """This node has sent the pending notifications of *users*.

        Raises:
            EngineUnavailable: The server can't be reached.
        """

    @abstractmethod
    async def verify(self) -> None:
        """Check this node's registration now (``on_registration_lost``).

        Raises:
            EngineUnavailable: The server can't be reached.
        """

    @abstractmethod
    async def touch(self, users: Collection[str], now: float) -> None:
        """*users*, who are registered on this node, are active.

        Raises:
            EngineUnavailable: The server can't be reached.
        """

    @abstractmethod
    async def online(self, users: Collection[str]) -> dict[str, float]:
        """Those of *users* who are online, and when each was last active.

        Raises:
            EngineUnavailable: The server can't be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """This node shuts down. Its users have some seconds to connect to another before they have left."""
