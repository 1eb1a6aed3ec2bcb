"""What a node has yet to have kept: gathered for a turn of the loop, sent as one script, answered in its order.

Knows the store's ``publish``; does not know connections, nor what is heard.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

import structlog

from sse_push.events.engines.base import NOT_PUBLISHED, EngineListener
from sse_push.events.engines.redis.feed import Feed
from sse_push.events.engines.redis.store import RemoteStore
from sse_push.events.errors import EngineUnavailable, KeyReused, OutcomeUnknown, Overloaded
from sse_push.events.event import Event
from sse_push.events.group import EventGroup, weight_of
from sse_push.events.receipts import Receipt, fail

MAX_WAITING_EVENTS = 100_000  # events not yet answered: past it publishers are told 503
MAX_WAITING_BYTES = 64 * 2**20  # bytes of their data and routing keys, the same
# What one script keeps, unless one append has more: Redis does nothing else meanwhile.
GROUP_EVENTS = 256  # events: 2 ms
GROUP_BYTES = 200_000  # bytes of data and routing keys: 2,000 keys, 5 ms

SOME_KEPT = "(some were kept)"  # how publish.lua ends an error where that is so
# What a server answers instead of running a script, or at its first write.
_NOT_RUN = (
    "EPOCH", "NOSCRIPT", "OOM", "MISCONF", "READONLY", "BUSY", "LOADING", "MASTERDOWN", "NOREPLICAS", "NOPERM",
    "NOAUTH",
)  # fmt: skip# Bytes of data and routing keys that are sent and not answered: 20,000 keys, 50 ms of Redis. With more of it ahead, what
# else this node asks would not be answered in time on a busy machine, and the node would take Redis for dead.
SENT_BYTES = 2_000_000

_log = structlog.get_logger()
_Group = list[tuple[EventGroup, Receipt | None]]
_id: Callable[[Event], str] = attrgetter("id")


class Outbox:
    """Sends what is appended.

    Args:
        answered: Called with the store's head and floor for each group that was kept.
        refused: Called with the error for each group that was not.

    Attributes:
        given: The highest number that was answered with.
        listener: Told how many events could not be stored.
    """

    def __init__(
        self,
        store: RemoteStore,
        feed: Feed,
        answered: Callable[[int, int], object],
        refused: Callable[[BaseException], object],
    ) -> None:
        self._store = store
        self._feed = feed
        self._on_answered, self._on_refused = answered, refused
        self._waiting: _Group = []
        self._weights: list[int] = []  # of what waits, in the same order
        self._events = self._bytes = 0  # waiting or not yet answered
        self._sent_bytes = 0  # of these, what is sent
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._scheduled = False
        self.given = 0
        self.listener = EngineListener()

    def append(self, events: EventGroup, receipt: Receipt | None) -> None:
        """Have *events* kept; *receipt* gets their ids, or the error."""
        if self._events >= MAX_WAITING_EVENTS or self._bytes >= MAX_WAITING_BYTES:
            self.listener.failed(len(events))
            fail(receipt, Overloaded("too many events wait to be kept; nothing was published"))
            return
        weight = weight_of(events)
        self._waiting.append((events, receipt))
        self._weights.append(weight)
        self._events += len(events)
        self._bytes += weight
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            # Not at once: whatever else this turn of the loop appends goes with it.
            asyncio.get_running_loop().call_soon(self._flush)

    def refuse(self, events: EventGroup, receipt: Receipt | None) -> None:
        """*events* can't be kept."""
        self._fail([(events, receipt)], EngineUnavailable(NOT_PUBLISHED))

    async def empty(self) -> None:
        """Wait until all is answered."""
        while self._waiting or self._unanswered:
            await asyncio.sleep(0)  # the turn in which what waits is sent
            if self._unanswered:
                await asyncio.wait([*self._unanswered])

    def _flush(self) -> None:
        self._scheduled = False
        while self._waiting and self._sent_bytes < SENT_BYTES:
            group, weight = self._next_group()
            self._sent_bytes += weight
            known = max(self._feed.head, self.given)
            answer = self._store.publish(self._feed.epoch, known, [events for events, _ in group])
            self._unanswered.add(answer)
            answer.add_done_callback(partial(self._answered, group, weight))

    def _next_group(self) -> tuple[_Group, int]:
        events = weight = count = 0
        for (its, _), its_weight in zip(self._waiting, self._weights, strict=True):
            events += len(its)
            weight += its_weight
            if count and (events > GROUP_EVENTS or weight > GROUP_BYTES):
                weight -= its_weight
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        del self._weights[:count]
        return group, weight

    def _answered(self, group: _Group, weight: int, answer: asyncio.Future[Any]) -> None:
        self._unanswered.discard(answer)
        self._sent_bytes -= weight
        self._schedule()
        self._events -= _events_of(group)
        self._bytes -= weight
        if (error := answer.exception()) is not None:
            _log.error("engine.failed", error=str(error), events=_events_of(group))
            self._on_refused(error)
            self._fail(group, EngineUnavailable(NOT_PUBLISHED) if _did_nothing(error) else OutcomeUnknown())
            return
        head, floor, *numbers = answer.result()
        self.given = max(self.given, head)
        self._on_answered(head, floor)
        following = iter(numbers)
        for events, receipt in group:
            its = [*islice(following, len(events))]
            if its and its[0] <= 0:
                faults = [KeyReused(index) for index, number in enumerate(its) if number < 0]
                faults[0].others = [*faults[1:]]
                fail(receipt, faults[0])
                continue
            for event, number in zip(events, its, strict=True):
                event.seq, event.id = number, self._feed.id_of(number)
            if receipt is not None and not receipt.done():
                receipt.set_result([*map(_id, events)])

    def _fail(self, group: _Group, error: EngineUnavailable) -> None:
        if group:
            self.listener.failed(_events_of(group))
        for _, receipt in group:
            fail(receipt, error)


def _did_nothing(error: BaseException) -> bool:
    """Whether it is sure that the script which failed by *error* has kept nothing."""
    if isinstance(error, EngineUnavailable):
        return not error.was_asked
    return str(error).startswith(_NOT_RUN) and not str(error).endswith(SOME_KEPT)


def _events_of(group: _Group) -> int:
    return sum([len(events) for events, _ in group])
