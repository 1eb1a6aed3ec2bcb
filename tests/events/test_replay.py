"""A stream that comes back: everything it missed, once, in order, or a plain word that it can't be had."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.event import Event
from events.replay import Replay
from events.router import Filter
from tests.events.fakes import Clock, MemoryEngine, make_event
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
    engine.append([make_event(users) for users in audiences])
    return engine


def ids(*seqs: int) -> list[str]:
    return [f"{EPOCH}-{seq}" for seq in seqs]


def from_disk(engine: MemoryEngine) -> MemoryEngine:
    engine.forget_window()
    return engine


# -- without a gap ---------------------------------------------------------------------------------


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
    assert replay.at_hand
    page = replay.next_at_hand(PLENTY)
    assert ([event.id for event in page.events], page.gap, page.live) == (ids(2), b"", True)


async def test_replay_from_disk_is_not_at_hand() -> None:
    assert not Replay(from_disk(engine_with(["1"], ["1"])), MINE, f"{EPOCH}-1", Clock()).at_hand


async def test_replay_goes_on_from_disk_to_memory_without_a_seam() -> None:
    engine = from_disk(engine_with(*[["1"], ["2"]] * 10))
    engine.append([make_event(["1"]), make_event(["2"]), make_event(None)])
    engine.page = 3
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-2", Clock()), max_bytes=1)
    assert (seen.ids, seen.gaps) == (ids(*range(3, 21, 2), 21, 23), [])
    assert seen.pages >= 5


async def test_replay_takes_what_is_kept_while_it_reads() -> None:
    engine = from_disk(engine_with(["1"], ["1"]))

    async def meanwhile() -> None:
        engine.reading = None
        engine.append([make_event(["1"])])

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
    engine.append([make_event(users) for users in audiences[on_disk:]])
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


# -- expired ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [False, True])
async def test_gap_expired_is_told_first_and_the_kept_rest_follows(on_disk: bool) -> None:
    engine = engine_with(*[["1"], ["2"]] * 5)
    if on_disk:
        from_disk(engine)
    engine.floor = 5
    replay = Replay(engine, MINE, f"{EPOCH}-2", Clock())
    assert replay.position is None, "what was missed is not yet told"
    seen = await replayed(replay)
    assert seen.gaps == [
        {"reason": "expired", "requested": f"{EPOCH}-2", "resumed_from": f"{EPOCH}-7"},
    ]
    assert seen.ids == ids(7, 9)
    assert seen.told_first


async def test_gap_expired_with_nothing_left_for_this_user_resumes_from_null() -> None:
    engine = engine_with(["1"], ["1"], ["2"], ["2"])
    engine.floor = 2
    replay = Replay(engine, MINE, f"{EPOCH}-1", Clock())
    seen = await replayed(replay)
    assert seen.gaps == [{"reason": "expired", "requested": f"{EPOCH}-1", "resumed_from": None}]
    assert seen.ids == []
    assert seen.gap_ids == [f"{EPOCH}-4"], "where the stream stands"
    assert replay.position == f"{EPOCH}-4"


@pytest.mark.parametrize("requested", [4, 5, 9])
async def test_id_at_the_floor_or_above_is_no_gap(requested: int) -> None:
    engine = engine_with(*[["1"]] * 10)
    engine.floor = 4
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-{requested}", Clock()))
    assert (seen.gaps, seen.ids) == ([], ids(*range(requested + 1, 11)))


async def test_gap_told_on_the_first_page_only() -> None:
    engine = from_disk(engine_with(*[["1"]] * 10))
    engine.floor, engine.page = 4, 2
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-1", Clock()))
    assert [gap["resumed_from"] for gap in seen.gaps] == ids(5)
    assert seen.ids == ids(5, 6, 7, 8, 9, 10)


async def test_gap_waits_for_the_first_event_over_pages_that_have_none() -> None:
    engine = from_disk(engine_with(*[["2"]] * 6, ["1"]))
    engine.floor = 2

    empty_pages = iter([([], 4), ([], 6)])
    read = engine.read

    async def read_in_steps(keys: Any, after: int, max_bytes: int) -> tuple[list[Event], int]:
        return next(empty_pages, None) or await read(keys, after, max_bytes)

    engine.read = read_in_steps  # type: ignore[method-assign]
    replay = Replay(engine, MINE, f"{EPOCH}-1", Clock())
    first = await replay.next(PLENTY)
    assert (first.gap, list(first.events), first.live) == (b"", [], False)
    assert replay.position is None
    seen = await replayed(replay)
    assert [gap["resumed_from"] for gap in seen.gaps] == ids(7)
    assert seen.ids == ids(7)


@pytest.mark.parametrize("floor", [5, 8, 10])
async def test_floor_that_rises_while_a_page_is_read_makes_a_gap(floor: int) -> None:
    engine = from_disk(engine_with(*[["1"]] * 10))

    async def meanwhile() -> None:
        engine.floor = floor

    engine.reading = meanwhile
    seen = await replayed(Replay(engine, MINE, f"{EPOCH}-2", Clock()))
    resumed_from = f"{EPOCH}-{floor + 1}" if floor < 10 else None
    assert seen.gaps == [{"reason": "expired", "requested": f"{EPOCH}-2", "resumed_from": resumed_from}]
    assert seen.ids == ids(*range(floor + 1, 11))
    assert seen.told_first


async def test_floor_that_rises_between_two_pages_is_told_between_them() -> None:
    engine = from_disk(engine_with(*[["1"]] * 10))
    engine.page = 3
    replay = Replay(engine, MINE, f"{EPOCH}-0", Clock())
    first = await replay.next(PLENTY)
    assert ([event.id for event in first.events], first.gap) == (ids(1, 2, 3), b"")
    engine.floor = 6
    seen = await replayed(replay)
    assert [(gap["reason"], gap["resumed_from"]) for gap in seen.gaps] == [("expired", f"{EPOCH}-7")]
    assert seen.gap_ids == ids(6)
    assert seen.ids == ids(7, 8, 9, 10)


async def test_floor_that_rises_over_what_was_had_already_is_no_gap() -> None:
    engine = from_disk(engine_with(*[["1"]] * 10))
    engine.page = 5
    replay = Replay(engine, MINE, f"{EPOCH}-0", Clock())
    await replay.next(PLENTY)
    engine.floor = 5
    seen = await replayed(replay)
    assert (seen.gaps, seen.ids) == ([], ids(6, 7, 8, 9, 10))


@pytest.mark.parametrize("still_its_own", [True, False])
async def test_epoch_that_changes_between_two_pages_is_a_gap_unless_it_was_the_store_s(
    monkeypatch: pytest.MonkeyPatch, *, still_its_own: bool
) -> None:
    engine = from_disk(engine_with(*[["1"]] * 10))
    engine.page = 5
    replay = Replay(engine, MINE, f"{EPOCH}-0", Clock())
    await replay.next(PLENTY)
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(engine, "knows", lambda *id_: asked.append(id_) or still_its_own)
    engine.epoch = OTHER_EPOCH
    seen = await replayed(replay)
    assert asked == [(EPOCH, 5)]
    if still_its_own:
        assert (seen.gaps, seen.ids) == ([], ids(6, 7, 8, 9, 10))
    else:
        assert [gap["reason"] for gap in seen.gaps] == ["unknown"]
        assert (seen.gap_ids, seen.ids) == ([f"{OTHER_EPOCH}-10"], [])
    assert replay.position == f"{OTHER_EPOCH}-10"


# -- unknown ---------------------------------------------------------------------------------------


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
    page = Replay(engine_with(["1"]), MINE, hostile, Clock()).next_at_hand(PLENTY)
    stream = parse_stream(page.gap)
    assert [message.type for message in stream.messages] == ["sse.gap"]
    assert set(json.loads(stream.messages[0].data)) == {"reason", "requested", "resumed_from"}
    assert stream.unknown == []


# -- our own ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", [0, 3, 6])
@pytest.mark.parametrize("requested", ["0", f"{EPOCH}-1", f"{OTHER_EPOCH}-4"])
async def test_gap_id_resumes_whole(requested: str, floor: int) -> None:
    """A client that has read only the gap, and then lost its connection, misses nothing of the rest."""
    engine = engine_with(*[["1"], ["2"]] * 3)
    engine.floor = floor
    first = Replay(engine, MINE, requested, Clock()).next_at_hand(PLENTY)
    if not first.gap:
        return
    its_id = parse_stream(first.gap).last_event_id
    engine.append([make_event(["1"])])
    again = await replayed(Replay(engine, MINE, its_id, Clock()))
    assert again.gaps == []
    assert again.ids == [str(event.id) for event in first.events] + ids(7)


# -- ttl -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [False, True])
async def test_event_gone_by_its_ttl_is_left_out_and_makes_no_gap(on_disk: bool) -> None:
    clock = Clock()
    engine = MemoryEngine(EPOCH, clock)
    engine.append([make_event(["1"]), make_event(["1"], expires=clock.now + 5), make_event(["1"])])
    if on_disk:
        from_disk(engine)
    before = await replayed(Replay(engine, MINE, f"{EPOCH}-0", clock))
    assert before.ids == ids(1, 2, 3)
    clock.now += 5
    after = await replayed(Replay(engine, MINE, f"{EPOCH}-0", clock))
    assert (after.ids, after.gaps) == (ids(1, 3), [])
