"""The embedded engine: the contract suite, with ordinary limits and with limits so small that packs, routes, sweeps and
evictions happen all the time; then what it takes at once, and what of it stays on disk.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.errors import Overloaded
from sse_push.events.event import Event
from sse_push.events.group import EventList, weight_of
from tests.events.engines.contract import EngineContract
from tests.events.engines.embedded.place import EmbeddedPlace, rows
from tests.events.engines.places import Place, ids, said, said_of
from tests.events.fakes import until


class TestEmbedded(EngineContract):
    @pytest.fixture
    def new_place(self, tmp_path: Path) -> Callable[[], Place]:
        return lambda: EmbeddedPlace(tmp_path)


class TestEmbeddedWithTightLimits(EngineContract):
    @pytest.fixture
    def new_place(self, tmp_path: Path, tight: None) -> Callable[[], Place]:
        return lambda: EmbeddedPlace(tmp_path)


class TestEmbeddedFlushingEachCommit(EngineContract):
    @pytest.fixture
    def new_place(self, tmp_path: Path, tight: None) -> Callable[[], Place]:
        return lambda: EmbeddedPlace(tmp_path, sync="full")


async def test_event_is_told_before_its_receipt_is_answered(place: EmbeddedPlace) -> None:
    life = await place.open()
    answered: list[bool] = []
    receipt = life.append(said(1), said(2))
    life.on_told = lambda events: answered.append(receipt.done())
    await receipt
    assert answered == [False]


async def test_burst_costs_few_commits(place: EmbeddedPlace) -> None:
    """What one turn of the loop appends is told in one batch."""
    life = await place.open()
    batches: list[int] = []
    life.on_told = lambda events: batches.append(len(events))
    receipts = [life.append(said(n)) for n in range(1000)]
    await asyncio.gather(*receipts)
    assert batches == [1000]


async def test_disk_holds_no_more_than_what_can_be_replayed_and_a_little(
    place: EmbeddedPlace, tight: None
) -> None:
    life = await place.open(max_events=100, key_age=50)
    most = {"packs": 0, "routes": 0, "segments": 0, "published": 0}
    for n in range(60):
        await life.keep(*(said((n, m), [f"user{n}"], key=f"{n}-{m}") for m in range(20)))
        place.clock.now += 1
        await asyncio.sleep(0.002)
    await until(lambda: rows(place.dir, "packs") <= 60)
    place.clock.now += 1000
    await until(lambda: rows(place.dir, "published") == 0)
    for table in most:
        assert rows(place.dir, table) <= 400, table
    assert ids(await life.replay()) == ids(life.told[-100:])


# -- more than it takes ----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["MAX_WAITING_EVENTS", "MAX_WAITING_BYTES"])
async def test_overload_is_refused_and_what_waits_is_kept(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(embedded, limit, 10)
    life = await place.open()
    receipts = [life.append(said(f"{n:010}")) for n in range(15)]
    results = await asyncio.gather(*receipts, return_exceptions=True)
    refused = [n for n, result in enumerate(results) if isinstance(result, Overloaded)]
    assert refused == list(range(10 if limit == "MAX_WAITING_EVENTS" else 1, 15))
    assert said_of(life.told) == said_of([said(f"{n:010}") for n in range(refused[0])])
    await life.keep(said("room again"))
    assert said_of(life.told[-1:]) == said_of([said("room again")])


async def test_events_for_many_users_are_kept_in_commits_that_are_each_short(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await place.open()
    append = life.engine._store.append
    sizes: list[int] = []

    def counting(events: Sequence[Event], now: float) -> Sequence[Event]:
        sizes.append(weight_of(events))
        return append(events, now)

    monkeypatch.setattr(life.engine._store, "append", counting)
    monkeypatch.setattr(embedded, "GROUP_BYTES", 100_000)
    users = [f"u{user}" for user in range(200)]
    receipts = [life.append(said(number, users)) for number in range(15)]
    await asyncio.gather(*receipts)

    assert len(sizes) > 1 and max(sizes) <= 100_000
    assert len(life.told) == 15
    assert (life.engine._waiting_events, life.engine._waiting_bytes, life.engine._weights) == (0, 0, [])


async def test_overload_without_a_receipt_is_logged_as_lost(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MAX_WAITING_EVENTS", 1)
    life = await place.open()
    receipt = life.append(said(1))
    with capture_logs() as logs:
        life.engine.append(EventList([said(2)]))
    await receipt
    assert [line["event"] for line in logs] == ["event.lost"]
    assert len(life.told) == 1
