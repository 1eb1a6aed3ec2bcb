"""What the contract suite needs of an engine beside the engine: a place where its events outlive it.

An engine's own tests subclass ``Place`` (tests/events/engines/embedded/place.py shows how).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sse_push.events.engines.base import Engine
from sse_push.events.event import Event
from sse_push.events.group import EventColumns, EventList
from sse_push.events.ids import parse_id
from sse_push.events.router import Filter
from sse_push.events.topics import Topic, event_keys
from tests.events.fakes import CallbackListener, Clock, until

APP = Topic("app", whole=True)
EVERYTHING = Filter.of("app", whole=True).keys
PLENTY = 2**20


def said(data: object, users: list[str] | None = None, **more: Any) -> Event:
    """An event on topic ``app`` for *users*, or for everybody, accepted when every clock here begins."""
    more.setdefault("at", Clock().now)
    return Event("app", event_keys(APP, "app", users), b'{"n":"%b"}' % str(data).encode(), **more)


def batch_of(said: Iterable[object], users: list[str], *, at: float | None = None) -> EventColumns:
    """What :func:`said` makes of each, as one batch."""
    data = [b'{"n":"%b"}' % str(one).encode() for one in said]
    return EventColumns("app", ("app",), users, data, Clock().now if at is None else at)


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


def ids(events: list[Event]) -> list[str]:
    return [str(event.id) for event in events]


def said_of(events: list[Event]) -> list[bytes]:
    return [event.data for event in events]


def keys_of(user: str) -> tuple[str, ...]:
    return Filter.of("app", user=user).keys


class Life:
    """One life of an engine: from its start until it is closed or killed.

    Attributes:
        told: What it handed to ``kept``.
        on_told: Called with each batch, after it is remembered.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.told: list[Event] = []
        self.on_told: Callable[[Sequence[Event]], object] = lambda events: None
        self._clock = clock

    def hear(self, events: Sequence[Event]) -> None:
        assert events, "told of nothing"
        assert [event.seq for event in events] == sorted({event.seq for event in events}), "told out of order"
        assert not self.told or self.told[-1].seq < events[0].seq, "told out of order"
        assert events[-1].seq == self.engine.head, "head is the newest that was told"
        self.told += events
        self.on_told(events)

    def append(self, *events: Event) -> asyncio.Future[list[str]]:
        """Begin to keep *events*; its receipt."""
        return self.append_all(events)

    def append_all(self, events: Sequence[Event]) -> asyncio.Future[list[str]]:
        """The same of a batch."""
        receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        group = events if isinstance(events, EventColumns | EventList) else EventList(events)
        self.engine.append(group, receipt)
        return receipt

    async def keep(self, *events: Event) -> list[str]:
        """Keep *events*, and wait until they were told; their ids."""
        return await self.answer(self.append(*events))

    async def answer(self, receipt: asyncio.Future[list[str]]) -> list[str]:
        """The answer of *receipt*, once what it answers was told."""
        ids_ = await receipt
        last = max((found[1] for id_ in ids_ if (found := parse_id(id_))), default=0)
        await until(lambda: self.engine.head >= last)
        return ids_

    async def replay(
        self,
        keys: Sequence[str] = EVERYTHING,
        after: int = 0,
        max_bytes: int = PLENTY,
        between: Callable[[], Awaitable[object]] | None = None,
    ) -> list[Event]:
        """What a stream that had everything up to *after* gets, before it goes live.

        Args:
            between: Awaited between two pages, for what happens meanwhile.
        """
        engine = self.engine
        engine.subscribe(keys)
        try:
            if not engine.is_caught_up(keys, after):
                await engine.wait_caught_up(keys)
            return await self._replay(keys, after, max_bytes, between)
        finally:
            engine.unsubscribe(keys)

    async def _replay(
        self, keys: Sequence[str], after: int, max_bytes: int, between: Callable[[], Awaitable[object]] | None
    ) -> list[Event]:
        engine = self.engine
        got: list[Event] = []
        while True:
            if between is not None:
                await between()
            if engine.cache_covers(keys, after):
                events, whole = engine.window.read(keys, after, self._clock(), max_bytes)
                got += events
                if whole:
                    # What has sunk below the floor meanwhile was had before it did, or makes a gap.
                    return [event for event in got if event.seq > engine.floor]
                after = events[-1].seq
            else:
                events, upto = await engine.read(keys, after, max_bytes)
                assert upto > after or engine.cache_covers(keys, upto), "a page that leads nowhere"
                assert all(after < event.seq <= upto for event in events)
                assert engine.head >= upto, "told of more than was heard"
                got += events
                after = max(after, upto)


class Place(ABC):
    """Where an engine keeps its events, through all its lives.

    Attributes:
        clock: The engine's.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self._lives: list[Life] = []

    async def open(self, *, max_events: int = 100_000, max_age: float = 1e6, key_age: float = 600.0) -> Life:
        """Start an engine here, and hear everything."""
        engine = self.new_engine(max_events=max_events, max_age=max_age, key_age=key_age)
        life = Life(engine, self.clock)
        await engine.start(CallbackListener(life.hear))
        engine.subscribe(EVERYTHING)
        await engine.wait_caught_up(EVERYTHING)
        self._lives.append(life)
        return life

    async def close(self, life: Life) -> None:
        """End it in order."""
        self._lives.remove(life)
        await life.engine.close()

    async def clean(self) -> None:
        """Leave nothing running."""
        for life in self._lives:
            await life.engine.close()
        self._lives.clear()

    @abstractmethod
    def new_engine(self, **limits: Any) -> Engine:
        """One that is not started."""

    @abstractmethod
    def crash(self, life: Life) -> None:
        """As if its process were killed at this instant: nothing is flushed, the next life finds what is there."""

    @abstractmethod
    def lose(self) -> None:
        """Between two lives: lose all that was kept."""

    @abstractmethod
    def outage(self, life: Life) -> AbstractContextManager[None]:
        """While it lasts, nothing can be kept."""
