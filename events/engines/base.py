"""What every engine promises. tests/events/engines/contract.py holds each of them to it.

1.  Order: every kept event gets a number above all before it, the same on every node.
2.  Kept, then told: an event is handed to the listener, and its receipt answered, only when it survives
    the death of this process. What fails is answered with an error and never delivered.
3.  Groups: the events of one ``append`` are kept together, in their order, or not at all.
4.  Keys: an event whose idempotency key was seen is not kept again; its receipt has the first id.
5.  Window: where ``cache_covers`` says so, ``window`` has every event above a number up to ``head``; ``read`` gives the
    rest, and never tells of more than ``head``. The listener gets the events of every key listened to.
6.  Floor: events up to ``floor`` are gone for every reader at once; events above it are all there.
7.  Epoch: ids of a store that was lost are of another epoch.

Engines know events and routing keys. They do not know sinks, users or HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from sse_push.events.event import Event, PushEvent
from sse_push.events.group import EventGroup
from sse_push.events.receipts import FutureReceipt, Receipt
from sse_push.events.window import Window

NOT_PUBLISHED = "events can't be kept now; nothing was published"  # what a publisher is told

Publish = Callable[[Sequence[PushEvent]], FutureReceipt]  # publishes events of the inbox, all or none
DiscontinuityReason = Literal["unknown", "behind"]


class EngineListener:
    """What the engine and the pipeline tell their node. Every method does nothing here."""

    def stored(self, events: EventGroup) -> None:
        """*events*, the next in order, are safe, or of a topic that is not kept: deliver them."""

    def failed(self, count: int) -> None:
        """*count* events could not be stored."""

    def rejected(self, count: int) -> None:
        """*count* events were not valid."""

    def discontinued(
        self, reason: DiscontinuityReason, position: str, keys: Collection[str] | None = None
    ) -> None:
        """Open streams can't continue without a gap.

        Args:
            reason: ``unknown``: the store is another one, or events were lost or can't be read. ``behind``: more was
                missed than can be delivered; streams must reconnect, each from its own id.
            position: The id up to which streams had everything.
            keys: Routing keys of the missing events, if only these are affected.
        """

    def ephemeral_missed(self) -> None:
        """Events of topics that are not kept may have been missed."""


class Unreadable(Exception):
    """Events that should be there can't be read. Never leaves ``events``: replays tell it by a gap.

    Attributes:
        upto: They are numbered up to this one at the most; what comes behind it can be read.
    """

    def __init__(self, upto: int) -> None:
        super().__init__(f"events up to {upto} can't be read")
        self.upto = upto


def until_unreadable(
    events: Sequence[Event], unreadable: Sequence[int], upto: int
) -> tuple[list[Event], int]:
    """What a read gives that has found *events* up to *upto*, among them some numbers that are *unreadable*.

    Raises:
        Unreadable: The first of all is.
    """
    first = min(unreadable)
    if readable := [event for event in events if event.seq < first]:
        return readable, first - 1
    next_ = min([event.seq for event in events], default=upto + 1)
    raise Unreadable(max(seq for seq in unreadable if seq < next_))


class Engine(ABC):
    """Keeps events and numbers them. Where it stands is for others to read only."""

    @property
    @abstractmethod
    def epoch(self) -> str:
        """The store's name, which its ids carry."""

    @property
    @abstractmethod
    def head(self) -> int:
        """The number of the newest event handed to the listener on this node."""

    @property
    @abstractmethod
    def floor(self) -> int:
        """Events up to this number can no longer be replayed."""

    @property
    @abstractmethod
    def window(self) -> Window:
        """The newest events, in memory."""

    @property
    @abstractmethod
    def readers(self) -> int:
        """How many reads of older events run at once; more wait."""

    @property
    def max_bytes(self) -> int:
        """Bytes that the history may take now; a gibibyte where an engine knows of no bound."""
        return 2**30

    @property
    def failing(self) -> str | None:
        """Why events can't be kept now; ``None`` while they can, as far as is known."""
        return None

    @property
    @abstractmethod
    def reachable(self) -> bool:
        """Whether streams can be opened: what is published elsewhere comes here."""

    @abstractmethod
    async def start(self, listener: EngineListener) -> None:
        """Open the store; from now on *listener* gets each group of events that is safe, in order.

        A start that fails, or is cancelled, leaves nothing open.

        Raises:
            EngineUnavailable: It can't be opened; the message says why.
            StoreInUse: Another process holds it.
        """

    @abstractmethod
    def append(self, events: EventGroup, receipt: Receipt | None = None) -> None:
        """Keep *events*. Returns at once; *receipt* gets their ids, or the error that none was kept for.

        Errors of the receipt: ``Overloaded``, ``EngineUnavailable`` (none is kept), ``OutcomeUnknown`` (some may be).
        """

    @abstractmethod
    def publish_ephemeral(self, events: EventGroup) -> None:
        """Hand *events*, which are not kept, to the streams of every node: once if all is well, never twice."""

    @abstractmethod
    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        """Older events for *keys* numbered above *after*, about *max_bytes* of them at the most.

        Returns:
            The events in order, and the number up to which they are all there are.

        Raises:
            EngineUnavailable: The store can't be read now.
            Unreadable: Events that begin right above *after*, and may be for *keys*, can't be read at all. A read that
                meets such events later ends before them.
        """

    @abstractmethod
    async def check(self) -> None:
        """See whether events can be kept now.

        Raises:
            EngineUnavailable: They can't.
        """

    # An engine of many nodes listens to what somebody here takes; one that is alone hears everything (alone.py).

    @abstractmethod
    def subscribe(self, keys: Sequence[str]) -> None:
        """A stream is about to take *keys*; returns at once."""

    @abstractmethod
    def unsubscribe(self, keys: Sequence[str]) -> None:
        """A stream that took *keys* is gone."""

    @abstractmethod
    def is_caught_up(self, keys: Sequence[str], seq: int | None) -> bool:
        """Whether *keys* are heard by now, and an event numbered *seq*, if it was ever given, is not above ``head``."""

    @abstractmethod
    def is_known_position(self, epoch: str, seq: int) -> bool:
        """True if this store issued the id, so that a stream can resume from it."""

    @abstractmethod
    async def wait_caught_up(self, keys: Sequence[str]) -> int:
        """Wait until :meth:`is_caught_up` is true for *keys* and every number given before this call.

        Returns:
            A position between this call and now: the window has all for *keys* above it. Whoever saw on another node
            that this one listens to *keys* publishes above it.

        Raises:
            EngineUnavailable: That can't be now.
        """

    @abstractmethod
    def cache_covers(self, keys: Sequence[str], after: int) -> bool:
        """Whether ``window`` has every event for *keys* numbered above *after*."""

    @abstractmethod
    async def has_remote_subscribers(self, key: str) -> bool:
        """Whether a stream on another node takes *key*.

        Raises:
            EngineUnavailable: It can't be told now.
        """

    @abstractmethod
    def consume_inbox(self, publish: Publish) -> None:
        """From now on hand what other services put into the store, past all nodes, to *publish*."""

    @abstractmethod
    async def close(self) -> None:
        """Keep what waits, then close the store."""
