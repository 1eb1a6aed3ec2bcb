"""A client of a whole replay, and the engines that it replays from."""

import json
from dataclasses import dataclass, field
from typing import Any

from sse_push.events.group import EventList
from sse_push.events.replay import Replay
from sse_push.events.router import Filter
from tests.events.fakes import MemoryEngine, make_event
from tests.events.reference import parse_stream

EPOCH = "aaaaaaaa"
OTHER_EPOCH = "bbbbbbbb"
MINE = Filter.of("app", user="1").keys
PLENTY = 2**20


@dataclass
class Seen:
    """What a client of a whole replay saw."""

    gaps: list[dict[str, Any]] = field(default_factory=list)
    gap_ids: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    pages: int = 0
    told_first: bool = True


async def replayed(replay: Replay, max_bytes: int = PLENTY) -> Seen:
    """Read *replay* to its end, as a connection does."""
    seen = Seen()
    live = False
    while not live:
        before = replay.after
        page = await replay.next(max_bytes)
        seen.pages += 1
        assert seen.pages < 1000, "a replay without end"
        assert page.live or replay.after > before, "a page that leads nowhere"
        for message in parse_stream(page.gap).messages:
            assert message.type == "sse.gap"
            seen.told_first &= not seen.ids
            seen.gaps.append(json.loads(message.data))
            seen.gap_ids.append(message.last_event_id)
        seen.ids += [str(event.id) for event in page.events]
        live = page.live
    return seen


def engine_with(*audiences: list[str] | None) -> MemoryEngine:
    engine = MemoryEngine(EPOCH)
    engine.append(EventList([make_event(users) for users in audiences]))
    return engine


def ids(*seqs: int) -> list[str]:
    return [f"{EPOCH}-{seq}" for seq in seqs]


def from_disk(engine: MemoryEngine) -> MemoryEngine:
    engine.forget_window()
    return engine
