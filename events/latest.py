"""The latest_events events for some routing keys: where a stream that wants its room's last messages begins.

Reads backwards in growing steps, through what a stream that comes back reads (events/replay.py). Knows engines; does
not know what the events say.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from sse_push.events.engines.base import Engine
from sse_push.events.event import Event
from sse_push.events.ids import format_id
from sse_push.events.replay import Replay

LOOK_BACK_EVENTS: Final[int] = 100_000  # events of all topics among which the latest_events are looked for
_FIRST_STEP = 1_000
_STEP_GROWS = 10
_PAGE_BYTES = 128 * 1024


async def latest_events(
    engine: Engine, keys: Sequence[str], count: int, clock: Callable[[], float] = time.time
) -> list[Event]:
    """The last *count* events for *keys*, oldest first; fewer where there are no more.

    Raises:
        EngineUnavailable: They can't be read now.
    """
    engine.subscribe(keys)
    try:
        await engine.wait_caught_up(keys)
        step = _FIRST_STEP
        while True:
            after = max(engine.floor, engine.head - step)
            found = await _after(engine, keys, after, count, clock)
            if len(found) == count or after <= engine.floor or step >= LOOK_BACK_EVENTS:
                return list(found)
            step *= _STEP_GROWS
    finally:
        engine.unsubscribe(keys)


async def position_before_latest(
    engine: Engine, keys: Sequence[str], count: int, clock: Callable[[], float] = time.time
) -> str:
    """The id after which the last *count* events for *keys* come; where there are none, that of the latest_events event.

    Raises:
        EngineUnavailable: They can't be read now.
    """
    events = await latest_events(engine, keys, count, clock)
    return format_id(engine.epoch, events[0].seq - 1 if events else engine.head)


async def _after(
    engine: Engine, keys: Sequence[str], after: int, count: int, clock: Callable[[], float]
) -> deque[Event]:
    found: deque[Event] = deque(maxlen=count)
    replay = Replay(engine, keys, format_id(engine.epoch, after), clock)
    while True:
        page = await replay.next(_PAGE_BYTES)
        found.extend(page.events)
        if page.live:
            return found
