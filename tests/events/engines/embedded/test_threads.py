"""What goes on at once in the embedded engine: commits, readers and chores, each on a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from sse_push.events.engines.embedded import store
from tests.events.engines.embedded.place import EmbeddedPlace, on_disk_everything
from tests.events.engines.places import EVERYTHING, ids, keys_of, said, said_of
from tests.events.fakes import DEADLINE_S, turns, until


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
