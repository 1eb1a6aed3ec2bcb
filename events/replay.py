"""Where a stream that comes back stands: after which number, and what must be said of a gap.

Reads ``Last-Event-ID``, asks the engine; does not write to streams.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic_core import to_json

from sse_push.events import wire
from sse_push.events.engines.base import Engine, Unreadable
from sse_push.events.event import Event
from sse_push.events.ids import format_id, parse_id

_SHOWN_CHARS = 256  # of a requested id that is echoed; ours have 28 at the most


@dataclass(frozen=True, slots=True)
class Page:
    """A step of a replay: write ``gap``, then ``events``; ``live`` says that there is no more."""

    gap: bytes
    events: Sequence[Event]
    live: bool


class Replay:
    """Reads one stream's past, page by page, until it can go live without a hole.

    Args:
        keys: The routing keys of what it may see; the engine hears them (:meth:`Engine.wait_caught_up`).
        requested: Its ``Last-Event-ID``, or ``None`` for a stream that begins now.
        start: Where a stream begins that requested nothing; by default behind the newest event.

    Attributes:
        after: The stream has had everything up to this number.
    """

    def __init__(
        self,
        engine: Engine,
        keys: Sequence[str],
        requested: str | None,
        clock: Callable[[], float] = time.time,
        start: int | None = None,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._requested = requested
        self._clock = clock
        self._gap: Literal["expired", "unknown"] | None = None
        self._epoch = engine.epoch
        self.after = engine.head if start is None else start
        if requested is not None:
            self._resume(requested)

    def _resume(self, requested: str) -> None:
        found = parse_id(requested)
        if found is None or not self._engine.is_known_position(*found):
            self._gap = "unknown"
        else:
            self.after = found[1]
            self._skip_lost()

    @property
    def position(self) -> str | None:
        """The id to resume from if the stream breaks now; ``None`` while a gap is yet to be told."""
        return None if self._gap else format_id(self._epoch, self.after)

    @property
    def in_memory(self) -> bool:
        """Whether the next page is in memory."""
        return self._engine.cache_covers(self._keys, self.after)

    def next_from_memory(self, max_bytes: int) -> Page:
        """The next page, from memory. If it is ``live``, subscribe before anything else can happen."""
        self._skip_lost()
        events, whole = self._engine.window.read(self._keys, self.after, self._clock(), max_bytes)
        return self._page(events, self._engine.head if whole else events[-1].seq, live=whole)

    async def next(self, max_bytes: int) -> Page:
        """The next page, from wherever it is; ``live`` as above.

        Raises:
            EngineUnavailable: It can't be read now.
        """
        if self.in_memory:
            return self.next_from_memory(max_bytes)
        try:
            events, upto = await self._engine.read(self._keys, self.after, max_bytes)
        except Unreadable as hole:
            events, upto = [], hole.upto
            self._gap = self._gap or "expired"
        self._skip_lost()  # the floor may have risen meanwhile, and taken some of what was asked for
        return self._page([event for event in events if event.seq > self.after], upto, live=False)

    def _skip_lost(self) -> None:
        if self._epoch != self._engine.epoch:
            known = self._engine.is_known_position(self._epoch, self.after)
            self._epoch = self._engine.epoch
            if not known:  # what came before was lost meanwhile
                self.after = self._engine.head
                self._gap = "unknown"
        if self.after < self._engine.floor:
            self.after = self._engine.floor
            self._gap = self._gap or "expired"

    def _page(self, events: Sequence[Event], upto: int, *, live: bool) -> Page:
        gap = b""
        stands = events[0].seq - 1 if events else max(upto, self.after)
        if self._gap and (events or live):
            resumed_from = events[0].id if events else None
            gap = gap_frame(self._engine, self._gap, self._requested, resumed_from, stands)
            self._gap = None
        self.after = max(upto, self.after)
        return Page(gap, events, live)


def gap_frame(
    engine: Engine, reason: str, requested: str | None, resumed_from: str | None, stands: int
) -> bytes:
    """The frame that tells of a gap; *stands* is the number up to which its stream has everything after it."""
    shown = (requested or engine.epoch)[:_SHOWN_CHARS].encode(errors="replace").decode()
    data = to_json({"reason": reason, "requested": shown, "resumed_from": resumed_from})
    return wire.frame(b"data: %b\n" % data, id=format_id(engine.epoch, stands), event="sse.gap")
