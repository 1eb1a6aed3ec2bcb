"""Another process holds the file locked: what publishes waits or is refused, and everything else goes on."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import sqlite_file
from sse_push.events.errors import EngineUnavailable
from tests.events.engines.embedded.place import EmbeddedPlace
from tests.events.engines.places import ids, said
from tests.events.fakes import turns


@contextmanager
def locked(place: EmbeddedPlace) -> Iterator[None]:
    with closing(sqlite3.connect(place.dir / "events.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


@pytest.fixture(params=["normal", "full"])
async def place(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[EmbeddedPlace]:  # type: ignore[no-untyped-def]
    place = EmbeddedPlace(tmp_path, sync=request.param)
    yield place
    await place.clean()


async def test_publish_waits_for_a_lock_while_the_loop_goes_on(place: EmbeddedPlace) -> None:
    life = await place.open()
    await life.keep(said("before"))
    with locked(place):
        first = life.append(said(1))
        await asyncio.sleep(0.02)  # a busy loop would not come back from here before the lock is given up
        second = life.append(said(2), said(3))
        await turns(100)
        assert not first.done() and not second.done()
        assert ids(await life.replay())[:1] == ids(life.told)[:1], "what is there is read meanwhile"
    assert [*await first, *await second] == [f"{life.engine.epoch}-{n}" for n in (2, 3, 4)]
    assert life.engine.failing is None


async def test_publish_is_refused_when_the_lock_lasts_and_works_again_once_it_is_free(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.03)
    life = await place.open()
    with capture_logs() as logs:
        with locked(place):
            for n in range(3):
                with pytest.raises(EngineUnavailable, match="nothing was published"):
                    await life.keep(said(n))
            with pytest.raises(EngineUnavailable):
                await life.engine.check()
        await life.engine.check()
        assert await life.keep(said("after")) == [f"{life.engine.epoch}-1"]
    assert {log["event"] for log in logs} == {"engine.failed", "engine.recovered"}
    assert len(life.told) == 1


async def test_start_waits_for_a_lock_off_the_loop_and_says_why_it_gives_up(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await place.open()
    await life.keep(said(1))
    place.crash(life)
    monkeypatch.setattr(sqlite_file, "LOCK_WAIT_S", 0.05)
    with locked(place):
        opening = asyncio.ensure_future(place.open())
        await turns(20)
        assert not opening.done()
        with pytest.raises(EngineUnavailable, match="another process holds it locked"):
            await opening
    assert ids(await (await place.open()).replay()) == ids(life.told)


async def test_start_that_is_cancelled_while_it_waits_leaves_nothing_open(place: EmbeddedPlace) -> None:
    life = await place.open()
    await life.keep(said(1))
    place.crash(life)
    with locked(place):
        opening = asyncio.ensure_future(place.open())
        await turns(20)
        opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert ids(await (await place.open()).replay()) == ids(life.told)
