"""Stand-ins for what surrounds the modules under test: a clock that is turned by hand, a sink that
remembers what was written to it, an engine in memory. They keep the promises of what they stand for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.single_node import SingleNodeEngine
from sse_push.events.event import Event
from sse_push.events.group import EventList
from sse_push.events.ids import format_id
from sse_push.events.receipts import Receipt
from sse_push.events.topics import Topic, event_keys
from sse_push.events.window import Window

DEADLINE_S = 20.0  # for what must happen at once; long, because the machine may be busy


class Clock:
    """Seconds since the Unix epoch, as the test says."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A sink: every write, as it came."""

    fd = -1

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self.writes.append(data)

    @property
    def bytes(self) -> bytes:
        return b"".join(self.writes)


def make_event(
    users: Iterable[str] | None = None,
    *,
    topic: str = "app",
    data: bytes = b'"hello"',
    **more: Any,
) -> Event:
    """An event for *users*, or for everybody; its keys are those of an ordinary topic."""
    return Event(topic, event_keys(Topic(topic), topic, users), data, **more)


def number(event: Event, epoch: str, seq: int) -> Event:
    """*event* as an engine has kept it."""
    event.seq = seq
    event.id = format_id(epoch, seq)
    return event


class CallbackListener(EngineListener):
    """Passes what an engine tells on to the functions given."""

    def __init__(
        self,
        stored: Callable[[Sequence[Event]], object] = list,
        *,
        discontinued: Callable[[str, str], object] = lambda reason, position: None,
        failed: Callable[[int], object] = abs,
        ephemeral_missed: Callable[[], object] = tuple,
    ) -> None:
        self._stored = stored
        self._discontinued = discontinued
        self._failed = failed
        self._ephemeral_missed = ephemeral_missed

    def stored(self, events: Sequence[Event]) -> None:
        self._stored(events)

    def discontinued(self, reason: str, position: str, keys: Collection[str] | None = None) -> None:
        self._discontinued(reason, position)

    def failed(self, count: int) -> None:
        self._failed(count)

    def ephemeral_missed(self) -> None:
        self._ephemeral_missed()


class MemoryEngine(SingleNodeEngine):
    """Keeps events in memory, at once, unless told to fail.

    Attributes:
        events: All there are, numbered from 1.
        passed: What was handed on without being kept.
        error: What the next appends fail with.
        page: Events one read gives at the most.
        reading: Awaited within each read, for things that happen meanwhile.
    """

    epoch = ""
    head = floor = 0
    window = Window(0)
    readers = 4
    reachable = True

    def __init__(self, epoch: str = "aaaaaaaa", clock: Callable[[], float] | None = None) -> None:
        self.epoch = epoch
        self.window = Window(0)
        self.events: list[Event] = []
        self.passed: list[Event] = []
        self.groups: list[list[Event]] = []
        self.error: Exception | None = None
        self.page = 1000
        self.reading: Callable[[], Awaitable[None]] | None = None
        self._listener = EngineListener()
        self._clock = clock or Clock()

    async def start(self, listener: EngineListener) -> None:
        self._listener = listener

    def append(self, events: Sequence[Event], receipt: Receipt | None = None) -> None:
        events = list(events)  # a batch makes its events anew each time
        self.groups.append(events)
        if self.error is not None:
            if receipt is not None:
                receipt.set_exception(self.error)
            return
        for event in events:
            self.head += 1
            number(event, self.epoch, self.head)
        self.events += events
        self.window.append(EventList(events), 0)
        self._listener.stored(EventList(events))
        if receipt is not None:
            receipt.set_result([str(event.id) for event in events])

    def publish_ephemeral(self, events: Sequence[Event]) -> None:
        self.passed += events
        self._listener.stored(events)

    def forget_window(self) -> None:
        """As a restart would: from now on all there is has to be read."""
        self.window = Window(self.head)

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        upto = self.window.start
        now = self._clock()
        after = max(after, self.floor)
        its = [event for event in self.events if after < event.seq <= upto and {*event.keys} & {*keys}]
        if self.reading is not None:
            await self.reading()
        page = its[: self.page]
        last = page[-1].seq if len(its) > len(page) else max(after, upto)
        return [event for event in page if event.expires is None or event.expires > now], last

    async def check(self) -> None:
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.window = Window(self.head)


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds; fail when it does not within a generous time."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def turns(count: int = 5) -> None:
    """Let whatever is ready to run, run."""
    for _ in range(count):
        await asyncio.sleep(0)
