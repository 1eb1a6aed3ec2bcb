"""Joining the store, and catching up with it: what was published while no message could come is read and handed on.

A node that was away learns which store it is, subscribes, asks for a mark, and reads up to it what it has not heard
(docs/design/0006-redis.md). Knows the store and where the node stands; does not know connections.
"""

import structlog

from sse_push.events.engines.redis.feed import Feed
from sse_push.events.engines.redis.outbox import Outbox
from sse_push.events.engines.redis.standing import Standing
from sse_push.events.engines.redis.store import RemoteStore
from sse_push.events.event import Event
from sse_push.events.ids import new_epoch

RECOVER_EVENTS = 100_000  # events missed while the server was away that are read for all streams; past it they resume one by one
RECOVER_PAGE = 1000  # events read at once for that

_log = structlog.get_logger()


class Recovery:
    """Brings *standing* up to what *store* has."""

    def __init__(self, store: RemoteStore, feed: Feed, outbox: Outbox, standing: Standing) -> None:
        self._store = store
        self._feed = feed
        self._outbox = outbox
        self._standing = standing

    async def join(self, run_id: str, *, lost: bool) -> None:
        """Learn which store it is; where it is another one, say so.

        Args:
            run_id: The life of the server, by its own name.
            lost: Something of the store is missing.
        """
        before, known = self._feed.epoch, max(self._feed.head, self._outbox.given)
        epoch, head, floor, past, strays, has_lost, foreign = await self._store.join(
            before, known, run_id, new_epoch(), lost=lost
        )
        if has_lost:
            _log.error("engine.history_lost", epoch=epoch.decode())
        if strays:
            _log.warning("engine.foreign_entries_removed", entries=strays)
        if foreign:
            _log.warning("engine.foreign_keys", keys=[key.decode(errors="replace") for key in foreign])
        parts = [entry.partition(b":") for entry in past]
        uptos = {
            name.decode(): int(upto) for upto, _, name in parts if upto.isdigit() and name.isalnum()
        }  # others may have put something there
        self._feed.belong_to(epoch.decode(), uptos)
        if before == self._feed.epoch or known <= uptos.get(before, -1):
            self._standing.raise_floor(floor)
        else:
            self._outbox.given = 0
            self._standing.begin_anew(before, head, floor)

    async def catch_up(self) -> None:
        """Hand on what was published between the last event heard and the first message to come."""
        _, head, floor, _ = await self._store.mark()
        stood = self._feed.head
        if stood < floor or head - stood > RECOVER_EVENTS:
            self._standing.break_off("behind", stood, head)
        else:
            while self._feed.head < head:
                await self._read_missed(head)
        self._standing.release(head)

    def _deliver(self, events: list[Event], upto: int) -> None:
        """Hand *events* on, which are all up to *upto* that were not heard yet."""
        self._feed.head = upto
        self._standing.deliver([event for event in events if any(map(self._feed.listens, event.keys))])

    async def _read_missed(self, head: int) -> None:
        stood = self._feed.head
        found = await self._store.all_between(stood, head, RECOVER_PAGE)
        numbers = [int(id_.partition(b"-")[0]) for id_, _ in found]
        bodies = [fields[-1] for _, fields in found]
        events, unreadable = self._feed.read_all(zip(numbers, bodies, strict=True))
        for seq in unreadable:
            self._deliver([event for event in events if self._feed.head < event.seq < seq], seq - 1)
            self._feed.head = seq
            self._standing.break_off("unknown", seq - 1, seq)  # whose it is nobody knows
        upto = numbers[-1] if len(found) == RECOVER_PAGE else head
        self._deliver([event for event in events if event.seq > self._feed.head], upto)
        _, _, floor, _ = await self._store.mark()
        if stood < floor:  # it has overtaken us: what was read may have a hole
            self._standing.raise_floor(floor)
            self._standing.break_off("behind", stood, self._feed.head)
