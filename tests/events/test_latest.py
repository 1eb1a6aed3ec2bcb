"""The latest_events events for some keys, found backwards through what a stream that comes back reads."""

import pytest

from sse_push.events import latest as module
from sse_push.events.group import EventList
from sse_push.events.ids import format_id
from sse_push.events.latest import latest_events, position_before_latest
from sse_push.events.router import Filter
from tests.events.fakes import MemoryEngine, make_event

MINE = Filter.of("app", user="1").keys
NOBODYS = Filter.of("app", user="nobody").keys[1:]


def engine_with(*users: str) -> MemoryEngine:
    engine = MemoryEngine("aaaaaaaa")
    for user in users:
        engine.append(EventList([make_event([user])]))
    return engine


async def found(engine: MemoryEngine, count: int) -> list[int]:
    return [event.seq for event in await latest_events(engine, MINE, count)]


async def test_newest_events_come_oldest_first() -> None:
    engine = engine_with("1", "2", "1", "1", "2", "1")

    assert await found(engine, 2) == [4, 6]
    assert await found(engine, 4) == [1, 3, 4, 6]
    assert await found(engine, 100) == [1, 3, 4, 6]


async def test_nothing_is_found_where_there_is_nothing() -> None:
    assert await latest_events(engine_with(), MINE, 3) == []
    assert await latest_events(engine_with("1", "2"), NOBODYS, 3) == []


@pytest.mark.parametrize("step", [1, 2, 3, 7])
async def test_steps_back_miss_nothing(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(module, "_FIRST_STEP", step)
    monkeypatch.setattr(module, "_STEP_GROWS", 2)
    engine = engine_with(*("1" if number % 5 == 0 else "2" for number in range(1, 31)))

    assert await found(engine, 3) == [20, 25, 30]


async def test_look_back_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_STEP", 4)
    monkeypatch.setattr(module, "LOOK_BACK_EVENTS", 4)

    assert await found(engine_with("1", "1", "2", "2", "1", "2"), 9) == [5]


async def test_what_is_gone_is_not_found() -> None:
    engine = engine_with("1", "1", "1")
    engine.floor = 2

    assert await found(engine, 9) == [3]


async def test_id_before_the_newest_is_where_to_resume() -> None:
    engine = engine_with("1", "2", "1")

    assert await position_before_latest(engine, MINE, 1) == format_id("aaaaaaaa", 2)
    assert await position_before_latest(engine, MINE, 9) == format_id("aaaaaaaa", 0)
    assert await position_before_latest(engine, NOBODYS, 9) == format_id("aaaaaaaa", 3)
