"""A stream that comes back where some of what it missed can't be read: a gap in that place, and all the rest."""

from collections.abc import Sequence

from sse_push.events.engines.base import until_unreadable
from sse_push.events.event import Event
from sse_push.events.group import EventList
from sse_push.events.replay import Replay
from tests.events.fakes import Clock, MemoryEngine, make_event
from tests.events.replay.reading import EPOCH, MINE, from_disk, ids, replayed


class DamagedEngine(MemoryEngine):
    """Can't read some events."""

    unreadable: Sequence[int] = ()

    async def read(self, keys: Sequence[str], after: int, max_bytes: int) -> tuple[list[Event], int]:
        events, upto = await super().read(keys, after, max_bytes)
        lost = [event.seq for event in events if event.seq in self.unreadable]
        return until_unreadable([event for event in events if event.seq not in lost], lost, upto) if lost else (events, upto)  # fmt: skip


def engine_without(*unreadable: int) -> DamagedEngine:
    engine = DamagedEngine(EPOCH)
    engine.append(EventList([make_event(["1"]) for _ in range(9)]))
    engine.unreadable = unreadable
    from_disk(engine)
    return engine


async def test_gap_comes_before_the_next_event_that_can_be_read() -> None:
    engine = engine_without(3, 4, 7)
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-1", Clock()))
    assert seen.ids == ids(2, 5, 6, 8, 9)
    assert [(gap["reason"], gap["resumed_from"]) for gap in seen.gaps] == [
        ("expired", f"{EPOCH}-5"),
        ("expired", f"{EPOCH}-8"),
    ]
    assert seen.gap_ids == ids(4, 7)


async def test_gap_at_the_end_comes_before_the_stream_goes_live() -> None:
    seen = await replayed(Replay(engine_without(8, 9), MINE, f"{EPOCH}-7", Clock()))
    assert (seen.ids, seen.gap_ids) == ([], ids(9))
    assert seen.gaps[0]["resumed_from"] is None


async def test_stream_behind_what_cannot_be_read_has_no_gap() -> None:
    seen = await replayed(Replay(engine_without(3), MINE, f"{EPOCH}-3", Clock()))
    assert (seen.ids, seen.gaps) == (ids(4, 5, 6, 7, 8, 9), [])
