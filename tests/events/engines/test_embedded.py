"""The embedded engine: the contract, with ordinary limits and with limits so small that packs, routes,
sweeps and evictions happen all the time; then what is its own: disks, locks, threads, machines that die.
"""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from events.engines import embedded, open_engine, store
from events.engines.embedded import EmbeddedEngine
from events.errors import EngineUnavailable, Overloaded, StoreInUse
from events.window import Window
from tests.events.engines.contract import EngineContract
from tests.events.engines.embedded_place import EmbeddedPlace, full_disk, rows
from tests.events.engines.places import EVERYTHING, Place, ids, keys_of, said, said_of
from tests.events.fakes import DEADLINE_S, turns, until


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


def on_disk_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events get their routes soon and leave memory at once, so that a replay reads them from disk."""
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 1)
    monkeypatch.setattr(embedded, "Window", partial(Window, max_bytes=1))


# -- who may open it -------------------------------------------------------------------------------


async def test_engine_is_chosen_by_url(tmp_path: Path) -> None:
    more = {
        "data_dir": tmp_path,
        "max_events": 1,
        "max_age": 1.0,
        "key_age": 1.0,
        "sync": "normal",
        "clock": float,
    }
    assert isinstance(open_engine("embedded:", **more), EmbeddedEngine)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no engine for 'carrier-pigeon'"):
        open_engine("carrier-pigeon:", **more)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [], "nothing is opened before the start"


async def test_second_opener_is_told_that_the_store_is_in_use(place: EmbeddedPlace) -> None:
    life = await place.open()
    with pytest.raises(StoreInUse, match=str(place.dir)):
        await place.open()
    await life.keep(said("still works"))
    await place.close(life)
    again = await place.open()
    assert said_of(await again.replay()) == said_of([said("still works")])


async def test_directory_is_made_for_its_owner_alone_where_there_is_none(tmp_path: Path) -> None:
    place = EmbeddedPlace(tmp_path / "not" / "yet" / "there")
    life = await place.open()
    await life.keep(said(1))
    await place.clean()
    assert stat.S_IMODE(place.dir.stat().st_mode) == 0o700


async def test_directory_that_cannot_be_made_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineUnavailable, match="Not a directory"):
        await EmbeddedPlace(tmp_path / "file").open()


async def test_store_that_cannot_be_opened_is_told_and_can_be_once_it_is_mended(place: EmbeddedPlace) -> None:
    place.dir.mkdir()
    (place.dir / "events.db").write_bytes(b"this is no database, it only looks a little like one" * 100)
    engines = [EmbeddedEngine(place.dir, max_events=10, max_age=10) for _ in range(2)]
    for engine in engines:
        with pytest.raises(EngineUnavailable, match=r"can't open .*events\.db"):
            await engine.start(print)
    (place.dir / "events.db").unlink()
    life = await place.open()
    await life.keep(said(1))


# -- disks that fail -------------------------------------------------------------------------------


async def test_outage_is_logged_once_when_it_ends(place: EmbeddedPlace) -> None:
    life = await place.open()
    with capture_logs() as logs:
        with full_disk():
            for n in range(3):
                with pytest.raises(EngineUnavailable):
                    await life.keep(said(n))
        await life.keep(said("after"), said("that"))
        await life.keep(said("and more"))
    events = [line["event"] for line in logs if line["event"] != "engine.chores_failed"]
    assert events == ["engine.failed"] * 3 + ["engine.recovered"]
    assert all("hello" not in str(line) for line in logs)


async def test_check_sees_that_the_disk_is_back_before_anybody_publishes(place: EmbeddedPlace) -> None:
    life = await place.open()
    with capture_logs() as logs:
        with full_disk():
            with pytest.raises(EngineUnavailable):
                await life.keep(said(1))
            with pytest.raises(EngineUnavailable):
                await life.engine.check()
        await life.engine.check()
    assert logs[-1]["event"] == "engine.recovered"


async def test_chores_that_fail_are_done_when_the_disk_is_back(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 100)
    life = await place.open()
    await life.keep(*map(said, range(99)))
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 50)
    with capture_logs() as logs:
        with full_disk():
            await until(lambda: any(line["event"] == "engine.chores_failed" for line in logs))
        await until(lambda: life.engine._store.indexed)
    await life.keep(said("after"))
    assert ids(await life.replay()) == ids(life.told)
    place.crash(life)
    monkeypatch.setattr(embedded, "PRELOAD_EVENTS", 1)
    again = await place.open()
    assert ids(await again.replay(keys_of("1"))) == ids(life.told)


async def test_history_that_cannot_be_read_is_unavailable_and_keeping_goes_on(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk_everything(monkeypatch)
    life = await place.open()
    await life.keep(said(1))
    await until(lambda: life.engine._store.indexed)
    await life.keep(said(2))
    with sqlite3.connect(place.dir / "events.db") as db:
        db.execute("ALTER TABLE routes RENAME TO hidden")
    db.close()
    with pytest.raises(EngineUnavailable, match="history can't be read now"):
        await life.engine.read(EVERYTHING, 0, 1000)
    await life.keep(said(3))
    assert len(life.told) == 3


# -- threads ---------------------------------------------------------------------------------------


@pytest.fixture
def held_chores(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Chores of one slice that lasts until the test lets it end: ``(begun, may_end)``."""
    begun, may_end = threading.Event(), threading.Event()
    wanted = threading.Event()
    wanted.set()

    def chores(_store: store.Store, _now: float) -> Iterator[None]:
        if wanted.is_set():
            wanted.clear()
            begun.set()
            assert may_end.wait(DEADLINE_S)
            yield

    monkeypatch.setattr(store.Store, "chores", chores)
    yield begun, may_end
    may_end.set()


async def test_commits_wait_while_a_chore_has_the_store_and_the_loop_does_not(
    place: EmbeddedPlace, held_chores: tuple[threading.Event, threading.Event]
) -> None:
    begun, may_end = held_chores
    life = await place.open()
    await until(begun.is_set)
    receipts = [life.append(said(n)) for n in range(3)]
    await turns(50)
    assert not any(receipt.done() for receipt in receipts)
    assert life.told == []
    may_end.set()
    given_ = [(await receipt)[0] for receipt in receipts]
    assert given_ == ids(life.told)
    assert said_of(life.told) == said_of([said(n) for n in range(3)])


@pytest.mark.parametrize("sync", ["normal", "full"])
async def test_commits_come_between_two_slices_of_a_chore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Literal["normal", "full"]
) -> None:
    """A long chore must hold up a publisher for a slice of it only."""
    begun, may_end = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def chores(_store: store.Store, _now: float) -> Iterator[None]:
        for slice_ in (0, 1):
            begun[slice_].set()
            assert may_end[slice_].wait(DEADLINE_S)
            yield

    monkeypatch.setattr(store.Store, "chores", chores)
    place = EmbeddedPlace(tmp_path, sync=sync)
    life = await place.open()
    await until(begun[0].is_set)
    receipt = life.append(said("between"))
    may_end[0].set()
    await until(begun[1].is_set)
    was_done = receipt.done()
    may_end[1].set()
    await receipt
    await place.clean()
    assert was_done


async def test_close_waits_for_the_chore_and_keeps_what_it_held_up(
    place: EmbeddedPlace, held_chores: tuple[threading.Event, threading.Event]
) -> None:
    begun, may_end = held_chores
    life = await place.open()
    await until(begun.is_set)
    receipt = life.append(said("held up"))
    closing = asyncio.create_task(place.close(life))
    await turns(50)
    assert not closing.done()
    may_end.set()
    await closing
    assert len(receipt.result()) == 1


async def test_close_leaves_nothing_running(place: EmbeddedPlace, tight: None) -> None:
    """Its last commits may make chores due once more."""
    life = await place.open()
    life.append(*map(said, range(100)))
    await place.close(life)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_history_is_read_while_a_chore_has_the_store(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk_everything(monkeypatch)
    life = await place.open()
    await life.keep(said(1), said(2))
    await until(lambda: life.engine._store.indexed)
    await life.keep(said(3))
    begun, may_end = threading.Event(), threading.Event()

    def chores(_store: store.Store, _now: float) -> Iterator[None]:
        begun.set()
        assert may_end.wait(DEADLINE_S)
        yield

    monkeypatch.setattr(store.Store, "chores", chores)
    try:
        await until(begun.is_set)
        assert ids(await life.replay()) == ids(life.told)
    finally:
        may_end.set()


async def test_storm_of_readers_is_served_whole(place: EmbeddedPlace, tight: None) -> None:
    life = await place.open()
    for n in range(40):
        await life.keep(*(said((n, m), ["1"] if m % 2 else None) for m in range(10)))
    mine, all_ = ids([e for e in life.told if {*e.keys} & {*keys_of("1")}]), ids(life.told)
    storm = [life.replay(keys_of("1") if n % 2 else EVERYTHING, max_bytes=500) for n in range(60)]
    for n, found in enumerate(await asyncio.gather(*storm)):
        assert ids(found) == (mine if n % 2 else all_)


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


async def test_overload_without_a_receipt_is_logged_as_lost(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MAX_WAITING_EVENTS", 1)
    life = await place.open()
    receipt = life.append(said(1))
    with capture_logs() as logs:
        life.engine.append([said(2)])
    await receipt
    assert [line["event"] for line in logs] == ["event.lost"]
    assert len(life.told) == 1


async def test_burst_costs_few_commits(place: EmbeddedPlace) -> None:
    """What one turn of the loop appends is told in one batch."""
    life = await place.open()
    batches: list[int] = []
    life.on_told = lambda events: batches.append(len(events))
    receipts = [life.append(said(n)) for n in range(1000)]
    await asyncio.gather(*receipts)
    assert batches == [1000]


# -- what stays on disk and in memory --------------------------------------------------------------


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


# -- telling ---------------------------------------------------------------------------------------


async def test_event_is_told_before_its_receipt_is_answered(place: EmbeddedPlace) -> None:
    life = await place.open()
    answered: list[bool] = []
    receipt = life.append(said(1), said(2))
    life.on_told = lambda events: answered.append(receipt.done())
    await receipt
    assert answered == [False]
