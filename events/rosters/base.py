"""What every roster promises. tests/events/rosters/contract.py holds each of them to it.

1.  A user is present while some node holds them. ``move`` tells who came (was held by nobody before) and who is gone
    (is held by nobody now); of many nodes, each such change is told to exactly one.
2.  A node that dies without a word holds nobody any more ``timeout`` seconds later, and exactly one other is told who is
    gone by that (``untold``).
3.  Of whom a node came to know that they came or are gone, it owes the others word, until it says that it has told
    (``told``). What a node that dies owes, and its users who are gone by that, another is told as its own (``untold``);
    so is a node whose answer was lost. A change is told at least once; twice only when a node dies, or loses its
    connection, between telling and saying so.
4.  A node that is no longer known (the server lost what it had, or took the node for dead) is told so (``forgotten``),
    and holds nobody until it says again whom.
5.  All of this in bulk: one call for many users.

Rosters know names and times. They do not know friends, streams or HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

Untold = Callable[[Mapping[str, float]], object]
Forgotten = Callable[[float], object]


class Moved(NamedTuple):
    """Who came by a move, and who is gone by it.

    Attributes:
        settling: The server lost all, and this was done within the seconds that all nodes have to say again whom they hold.
    """

    came: frozenset[str]
    gone: frozenset[str]
    settling: bool = False


class Roster(ABC):
    """Who is present."""

    @abstractmethod
    def start(self, untold: Untold, forgotten: Forgotten) -> None:
        """Begin; what it takes is begun with the first move.

        Args:
            untold: Called with users of whom this node has to tell how they are now (most are gone: their node died), and
                when each was last active.
            forgotten: Called when this node holds nobody by no doing of its own, with the seconds in which all nodes will
                say again whom they hold: the server lost all, and nobody was told of as gone. 0 where this node was
                taken for dead and its users were, or where it comes too late.
        """

    @abstractmethod
    async def move(self, joins: Collection[str], leaves: Collection[str], now: float) -> Moved:
        """This node holds *joins*, and *leaves* no more.

        Args:
            now: Seconds since the Unix epoch: when the joins were active.

        Raises:
            EngineUnavailable: It can't be told now; what was done all the same is ``untold`` later.
        """

    @abstractmethod
    async def told(self, users: Collection[str]) -> None:
        """What this node owed of *users* is told.

        Raises:
            EngineUnavailable: It can't be noted now.
        """

    @abstractmethod
    async def check(self) -> None:
        """See at once whether this node is still known (``forgotten``).

        Raises:
            EngineUnavailable: It can't be asked now.
        """

    @abstractmethod
    async def touch(self, users: Collection[str], now: float) -> None:
        """*users*, whom this node holds, are active.

        Raises:
            EngineUnavailable: It can't be told now.
        """

    @abstractmethod
    async def present(self, users: Collection[str]) -> dict[str, float]:
        """Those of *users* who are present, and when each was last active.

        Raises:
            EngineUnavailable: It can't be asked now.
        """

    @abstractmethod
    async def close(self) -> None:
        """This node goes away. Its users have some seconds to come back on another before they count as gone."""
