"""A stream that comes back and finds everything it missed: once, in order, from memory, from disk or from both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_push.events.group import EventList
from sse_push.events.replay import Replay
from tests.events.fakes import Clock, MemoryEngine, make_event
from tests.events.replay.reading import EPOCH, MINE, PLENTY, engine_with, from_disk, ids, replayed


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("requested", "rest"), [(0, ids(1, 3, 4)), (1, ids(3, 4)), (2, ids(3, 4)), (4, []), (5, [])]
)
async def test_replay_gives_what_was_missed_and_no_gap(
    on_disk: bool, requested: int, rest: list[str]
) -> None:
    engine = engine_with(["1"], ["2"], None, ["1"], ["2"])
    if on_disk:
        from_disk(engine)
    replay = Replay(engine, MINE, f"{EPOCH}-{requested}", Clock())
    assert replay.position == f"{EPOCH}-{requested}"
    seen = await replayed(replay)
    assert (seen.ids, seen.gaps) == (rest, [])
    assert replay.position == f"{EPOCH}-5"


async def test_replay_of_a_new_stream_is_nothing() -> None:
    engine = engine_with(["1"], ["1"])
    replay = Replay(engine, MINE, None, Clock())
    assert replay.position == f"{EPOCH}-2"
    seen = await replayed(replay)
    assert (seen.ids, seen.gaps) == ([], [])


async def test_replay_in_memory_needs_no_waiting() -> None:
    engine = engine_with(["1"], ["1"])
    replay = Replay(engine, MINE, f"{EPOCH}-1", Clock())
    assert replay.in_memory
    page = replay.next_from_memory(PLENTY)
    assert ([event.id for event in page.events], page.gap, page.live) == (ids(2), b"", True)


async def test_replay_from_disk_is_not_at_hand() -> None:
    assert not Replay(from_disk(engine_with(["1"], ["1"])), MINE, f"{EPOCH}-1", Clock()).in_memory


async def test_replay_goes_on_from_disk_to_memory_without_a_seam() -> None:
    engine = from_disk(engine_with(*[["1"], ["2"]] * 10))
    engine.append(EventList([make_event(["1"]), make_event(["2"]), make_event(None)]))
    engine.page = 3
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-2", Clock()), max_bytes=1)
    assert (seen.ids, seen.gaps) == (ids(*range(3, 21, 2), 21, 23), [])
    assert seen.pages >= 5


async def test_replay_takes_what_is_kept_while_it_reads() -> None:
    engine = from_disk(engine_with(["1"], ["1"]))

    async def meanwhile() -> None:
        engine.reading = None
        engine.append(EventList([make_event(["1"])]))

    engine.reading = meanwhile
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-1", Clock()))
    assert (seen.ids, seen.gaps) == (ids(2, 3), [])


@given(
    st.lists(st.none() | st.lists(st.sampled_from("12"), min_size=1, unique=True), min_size=1, max_size=25),
    st.data(),
)
async def test_replay_from_anywhere_is_whole(audiences: list[list[str] | None], data: st.DataObject) -> None:
    """No hole, no repeat, whatever is on disk, whatever the pages are, wherever it starts and breaks."""
    engine = engine_with(*audiences[: (on_disk := data.draw(st.integers(0, len(audiences))))])
    from_disk(engine)
    engine.append(EventList([make_event(users) for users in audiences[on_disk:]]))
    engine.page = data.draw(st.integers(1, 5))
    start = data.draw(st.integers(0, len(audiences)))
    wanted = [
        seq for seq, users in enumerate(audiences, 1) if seq > start and (users is None or "1" in users)
    ]

    replay = Replay(engine, MINE, f"{EPOCH}-{start}", Clock())
    got: list[str] = []
    live = False
    while not live:
        if data.draw(st.integers(0, 4)) == 0:  # the connection breaks here, and comes back from what it has
            replay = Replay(engine, MINE, replay.position, Clock())
        page = await replay.next(data.draw(st.sampled_from([1, 50, PLENTY])))
        assert page.gap == b""
        got += [str(event.id) for event in page.events]
        live = page.live
    assert got == ids(*wanted)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_event_gone_by_its_ttl_is_left_out_and_makes_no_gap(on_disk: bool) -> None:
    clock = Clock()
    engine = MemoryEngine(EPOCH, clock)
    engine.append(EventList([make_event(["1"]), make_event(["1"], expires=clock.now + 5), make_event(["1"])]))
    if on_disk:
        from_disk(engine)
    before = await replayed(Replay(engine, MINE, f"{EPOCH}-0", clock))
    assert before.ids == ids(1, 2, 3)
    clock.now += 5
    after = await replayed(Replay(engine, MINE, f"{EPOCH}-0", clock))
    assert (after.ids, after.gaps) == (ids(1, 3), [])
