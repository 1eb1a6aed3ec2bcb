"""Opening the embedded engine's store: by URL, once, in a directory for its owner alone, or with a plain word why not."""

import stat
from pathlib import Path

import pytest

from sse_push.events.engines import open_engine
from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.errors import EngineUnavailable, StoreInUse
from tests.events.engines.embedded.place import EmbeddedPlace
from tests.events.engines.places import said, said_of


async def test_engine_is_chosen_by_url(tmp_path: Path) -> None:
    more = {
        "data_dir": tmp_path,
        "max_events": 1,
        "max_age": 1.0,
        "max_bytes": 2**20,
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
    (place.dir / "events.db").mkdir()
    engines = [EmbeddedEngine(place.dir, max_events=10, max_age=10) for _ in range(2)]
    for engine in engines:
        with pytest.raises(EngineUnavailable, match=r"can't open .*events\.db"):
            await engine.start(EngineListener())
    (place.dir / "events.db").rmdir()
    life = await place.open()
    await life.keep(said(1))
