"""The presence registry: what both implementations promise. tests/service/presence/registry/contract.py tests both.

1.  A user is present while at least one node has them registered. ``update`` returns who joined (was on no node before)
    and who left (is on no node now). Of many nodes, exactly one gets each such change.
2.  A node that crashes has no users ``timeout`` seconds later, and exactly one other node gets those who left by that
    (``on_pending``).
3.  A node that learns of a join or leave must notify friends, then acknowledge (``ack``). If it crashes before that,
    another node gets its pending users (``on_pending``); the same node gets them if a reply was lost. A change is notified
    at least once; twice only if a node crashes, or loses its connection, between notification and acknowledgement.
4.  A node that the registry does not know (the server lost its data, or took the node for dead) is told so
    (``on_registration_lost``), and has no users until it registers them again.
5.  Everything is in bulk: one call for many users.

Registries know names and times. They do not know friends, streams or HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

OnPending = Callable[[Mapping[str, float]], object]
OnRegistrationLost = Callable[[float], object]


class PresenceDiff(NamedTuple):
    """Who joined and who left by an update.

    Attributes:
        resyncing: The server lost all data, and nodes are still registering their users again.
    """

    joined: frozenset[str]
    left: frozenset[str]
    resyncing: bool = False


class PresenceRegistry(ABC):
    """Who is present, on all nodes."""

    @abstractmethod
    def start(self, on_pending: OnPending, on_registration_lost: OnRegistrationLost) -> None:
        """Set the callbacks. Connects with the first update.

        Args:
            on_pending: Called with users whose friends this node must notify (most left: their node crashed), and when
                each was last active.
            on_registration_lost: Called when this node's users are not registered any more, with the seconds in which all
                nodes register theirs again: the server lost its data, and nobody was reported as left. 0 if this node was
                taken for dead and its users were reported as left, or if it comes too late.
        """

    @abstractmethod
    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        """Register *joins* on this node, and unregister *leaves*.

        Args:
            now: Seconds since the Unix epoch: when the joins were active.

        Raises:
            EngineUnavailable: The registry can't be reached. What was done nevertheless is pending later.
        """

    @abstractmethod
    async def ack(self, users: Collection[str]) -> None:
        """The friends of *users* are notified.

        Raises:
            EngineUnavailable: The registry can't be reached.
        """

    @abstractmethod
    async def check(self) -> None:
        """Check at once whether this node is still known (``on_registration_lost``).

        Raises:
            EngineUnavailable: The registry can't be reached.
        """

    @abstractmethod
    async def touch(self, users: Collection[str], now: float) -> None:
        """*users* of this node are active.

        Raises:
            EngineUnavailable: The registry can't be reached.
        """

    @abstractmethod
    async def present(self, users: Collection[str]) -> dict[str, float]:
        """Those of *users* who are present, and when each was last active.

        Raises:
            EngineUnavailable: The registry can't be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Deregister this node. Its users have some seconds to join another node before they count as left."""
