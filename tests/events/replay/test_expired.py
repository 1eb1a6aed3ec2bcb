"""A stream that comes back too late for some of it: told so at once, then given the kept rest."""

from typing import Any

import pytest

from sse_push.events.event import Event
from sse_push.events.replay import Replay
from tests.events.fakes import Clock
from tests.events.replay.reading import (
    EPOCH,
    MINE,
    OTHER_EPOCH,
    PLENTY,
    engine_with,
    from_disk,
    ids,
    replayed,
)


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


# -- what changes while it reads -------------------------------------------------------------------


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
    monkeypatch.setattr(engine, "is_known_position", lambda *id_: asked.append(id_) or still_its_own)
    engine.epoch = OTHER_EPOCH
    seen = await replayed(replay)
    assert asked == [(EPOCH, 5)]
    if still_its_own:
        assert (seen.gaps, seen.ids) == ([], ids(6, 7, 8, 9, 10))
    else:
        assert [gap["reason"] for gap in seen.gaps] == ["unknown"]
        assert (seen.gap_ids, seen.ids) == ([f"{OTHER_EPOCH}-10"], [])
    assert replay.position == f"{OTHER_EPOCH}-10"
