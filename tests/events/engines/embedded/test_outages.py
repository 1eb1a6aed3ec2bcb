"""Disks that fail under the embedded engine, and come back."""

import sqlite3

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.errors import EngineUnavailable
from tests.events.engines.embedded.place import EmbeddedPlace, full_disk, on_disk_everything
from tests.events.engines.places import EVERYTHING, ids, keys_of, said
from tests.events.fakes import until


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


async def test_history_without_its_routes_is_read_from_the_packs_and_keeping_goes_on(
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
    assert ids((await life.engine.read(EVERYTHING, 0, 1000))[0]) == ids(life.told)[:1]
    await life.keep(said(3))
    assert len(life.told) == 3
