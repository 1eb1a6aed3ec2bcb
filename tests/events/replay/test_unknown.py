"""A stream that comes back with an id this store never gave, or with that of a gap."""

import json

import pytest

from sse_push.events.group import EventList
from sse_push.events.replay import Replay
from tests.events.fakes import Clock, MemoryEngine, make_event
from tests.events.reference import parse_stream
from tests.events.replay.reading import (
    EPOCH,
    MINE,
    OTHER_EPOCH,
    PLENTY,
    engine_with,
    ids,
    replayed,
)


@pytest.mark.parametrize(
    "requested",
    [
        "0", "1", "", "garbage", f"{EPOCH}-6", f"{EPOCH}-999999999999999999", f"{OTHER_EPOCH}-1", f"{OTHER_EPOCH}-0",
        f"{EPOCH}-", f"{EPOCH}-01", f"{EPOCH}", "null", "é" * 300, "a\x00b",
    ],
)  # fmt: skip
async def test_id_that_this_store_never_gave_is_unknown_and_goes_live(requested: str) -> None:
    engine = engine_with(*[["1"]] * 5)
    replay = Replay(engine, MINE, requested, Clock())
    assert replay.position is None
    seen = await replayed(replay)
    assert [(gap["reason"], gap["resumed_from"]) for gap in seen.gaps] == [("unknown", None)]
    assert requested.startswith(seen.gaps[0]["requested"]) or not requested
    assert seen.ids == []
    assert seen.gap_ids == [f"{EPOCH}-5"]


async def test_gap_unknown_on_an_empty_store_can_be_resumed_from() -> None:
    seen = await replayed(Replay(MemoryEngine(EPOCH), MINE, "0", Clock()))
    assert [gap["reason"] for gap in seen.gaps] == ["unknown"]
    assert seen.gap_ids == ids(0)
    again = await replayed(Replay(engine_with(["1"]), MINE, seen.gap_ids[0], Clock()))
    assert (again.gaps, again.ids) == ([], ids(1))


async def test_gap_echoes_no_more_than_a_little_of_what_was_requested() -> None:
    seen = await replayed(Replay(engine_with(["1"]), MINE, "x" * 100_000, Clock()))
    assert 0 < len(seen.gaps[0]["requested"]) <= 1000


@pytest.mark.parametrize(
    "hostile", ["\nid: x\ndata: forged", "\r\n\r\ndata: forged\n\n", "\ud800", '"}', "\udc80x"]
)
async def test_gap_forges_nothing_from_what_was_requested(hostile: str) -> None:
    page = Replay(engine_with(["1"]), MINE, hostile, Clock()).next_from_memory(PLENTY)
    stream = parse_stream(page.gap)
    assert [message.type for message in stream.messages] == ["sse.gap"]
    assert set(json.loads(stream.messages[0].data)) == {"reason", "requested", "resumed_from"}
    assert stream.unknown == []


# -- the gap's own id ------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", [0, 3, 6])
@pytest.mark.parametrize("requested", ["0", f"{EPOCH}-1", f"{OTHER_EPOCH}-4"])
async def test_gap_id_resumes_whole(requested: str, floor: int) -> None:
    """A client that has read only the gap, and then lost its connection, misses nothing of the rest."""
    engine = engine_with(*[["1"], ["2"]] * 3)
    engine.floor = floor
    first = Replay(engine, MINE, requested, Clock()).next_from_memory(PLENTY)
    if not first.gap:
        return
    its_id = parse_stream(first.gap).last_event_id
    engine.append(EventList([make_event(["1"])]))
    again = await replayed(Replay(engine, MINE, its_id, Clock()))
    assert again.gaps == []
    assert again.ids == [str(event.id) for event in first.events] + ids(7)
