"""Files that lose their end, or whose bytes change: what is gone is told, and nothing passes for what it is not."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.errors import EngineUnavailable
from sse_push.events.replay import Replay
from tests.events.engines.embedded.place import EmbeddedPlace
from tests.events.engines.places import EVERYTHING, ids, keys_of, said
from tests.events.fakes import until
from tests.events.replay.reading import Seen, replayed

COUNT = 300


@pytest.fixture(autouse=True)
def _few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 64)
    monkeypatch.setattr(embedded, "PRELOAD_EVENTS", 20)


@pytest.fixture
async def kept(place: EmbeddedPlace) -> list[str]:
    """The ids of events that were acknowledged before the process died, in the order of their numbers."""
    life = await place.open()
    for n in range(0, COUNT, 10):
        await life.keep(*[said(n + k, [str(k)]) for k in range(10)])
    place.crash(life)
    return ids(life.told)


async def seen(place: EmbeddedPlace, after: str) -> tuple[EmbeddedEngine, Seen]:
    with capture_logs():
        life = await place.open()
        assert isinstance(life.engine, EmbeddedEngine)
        found = await replayed(Replay(life.engine, EVERYTHING, after, place.clock))
    return life.engine, found


def without_log(path: Path) -> None:
    (path / "events.db-wal").unlink()


def half_of_log(path: Path) -> None:
    log = path / "events.db-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def changed_log(path: Path) -> None:
    log = path / "events.db-wal"
    data = bytearray(log.read_bytes())
    data[100] ^= 1  # in the first frame; the last may be of no event's
    log.write_bytes(data)


def without_record(path: Path) -> None:
    (path / "events.head").unlink()


def changed_record(path: Path) -> None:
    data = bytearray((path / "events.head").read_bytes())
    data[-40] ^= 1
    data[12] ^= 1
    (path / "events.head").write_bytes(data)


@pytest.mark.parametrize("damage", [without_log, half_of_log, changed_log, without_record, changed_record])
async def test_store_that_lost_something_is_another_one(
    place: EmbeddedPlace, kept: list[str], damage: Callable[[Path], None]
) -> None:
    damage(place.dir)
    engine, found = await seen(place, kept[100])
    assert [gap["reason"] for gap in found.gaps] == ["unknown"]
    assert engine.epoch != kept[0].partition("-")[0]
    assert engine.head >= COUNT, "no number twice"


async def test_old_copy_put_back_is_another_store(
    place: EmbeddedPlace, kept: list[str], tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(place.dir / "events.db")) as db, closing(sqlite3.connect(backup)) as target:
        db.backup(target)
    life = await place.open()
    assert life.engine.epoch == kept[0].partition("-")[0], "nothing was lost yet"
    after = await life.keep(said("after the backup"))
    place.crash(life)
    (place.dir / "events.db-wal").unlink()
    shutil.copy(backup, place.dir / "events.db")
    engine, found = await seen(place, after[0])
    assert [gap["reason"] for gap in found.gaps] == ["unknown"]
    assert engine.epoch not in after[0]


@pytest.mark.parametrize("column", ["body", "checksum", "last"])
async def test_pack_that_is_not_as_it_was_is_passed_over_and_told(
    place: EmbeddedPlace, kept: list[str], column: str
) -> None:
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        first, last, body, checksum = db.execute(
            "SELECT first, last, body, checksum FROM packs WHERE last > 100 LIMIT 1"
        ).fetchone()
        changed = {"body": body[:-3] + b"x" + body[-2:], "checksum": checksum ^ 4, "last": last + 1}[column]
        db.execute(f"UPDATE packs SET {column} = ? WHERE first = ?", (changed, first))
    engine, found = await seen(place, kept[0])
    assert found.ids == [id_ for id_ in kept[1:] if not first <= int(id_.rpartition("-")[2]) <= last]
    assert [gap["reason"] for gap in found.gaps] == ["expired"]
    assert found.gaps[0]["resumed_from"] == kept[last]
    mine = await replayed(Replay(engine, keys_of("3"), kept[0], place.clock))
    assert len(mine.gaps) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE routes SET key = key || 'x' WHERE segment = (SELECT min(first) FROM segments)",
        "UPDATE routes SET seqs = '[7]'",
        "UPDATE routes SET seqs = 'rubbish'",
        "DELETE FROM routes",
        "DELETE FROM segments WHERE first = (SELECT min(first) FROM segments)",
        "DROP TABLE segments",
        "UPDATE meta SET value = 'x' WHERE name = 'indexed'",
    ],
)
async def test_routes_that_are_not_as_they_were_lose_nothing(
    place: EmbeddedPlace, kept: list[str], change: str
) -> None:
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute(change)
    engine, found = await seen(place, kept[0])
    assert (found.ids, found.gaps) == (kept[1:], [])
    with capture_logs():
        mine = await replayed(Replay(engine, keys_of("3"), kept[0], place.clock))
    assert (mine.ids, mine.gaps) == (kept[3::10], [])


async def test_idempotency_key_that_became_another_swallows_nothing(place: EmbeddedPlace) -> None:
    life = await place.open()
    await life.keep(said(1, key="mine"))
    place.crash(life)
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute("UPDATE published SET key = 'yours'")
    again = await place.open()
    assert await again.keep(said(2, key="yours")) == [f"{life.engine.epoch}-2"]
    assert await again.keep(said(2, key="yours")) == [f"{life.engine.epoch}-2"]


async def test_key_whose_time_is_damaged_is_not_known_and_harms_no_other(place: EmbeddedPlace) -> None:
    life = await place.open()
    await life.keep(said(1, key="mine"))
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute("UPDATE published SET at = 'no time'")

    epoch = life.engine.epoch
    assert await life.keep(said(2, key="mine")) == [f"{epoch}-2"]
    assert life.engine.epoch == epoch


async def test_pack_whose_time_is_damaged_does_not_keep_later_ones_for_ever(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "CHORES_EVERY_S", 0.01)
    life = await place.open()
    for n in range(3):
        await life.keep(said(n))
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute("UPDATE packs SET at = 'no time' WHERE first = 1")

    await until(lambda: life.engine.floor == 1)

    assert life.engine.failing is None


@pytest.mark.parametrize("time", ["'no time'", "1e300", "-1", "x'00ff'"])
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE packs SET at = {} WHERE first = 3",
        "UPDATE published SET at = {}",
        "INSERT OR REPLACE INTO meta VALUES ('clock_ahead_to', {})",
        "INSERT OR REPLACE INTO meta VALUES ('clock_set_back_at', {})",
    ],
)
async def test_start_with_a_damaged_time_keeps_the_store(
    place: EmbeddedPlace, damage: str, time: str
) -> None:
    life = await place.open()
    for n in range(3):
        await life.keep(said(n, key=f"k{n}"))
    place.crash(life)
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute(damage.format(time))

    again = await place.open()

    assert not (place.dir / "events.db.damaged").exists()
    assert again.engine.epoch == life.engine.epoch
    await again.keep(said("after"))


async def test_file_that_is_no_database_is_put_aside_and_another_begun(
    place: EmbeddedPlace, kept: list[str]
) -> None:
    without_log(place.dir)
    (place.dir / "events.db").write_bytes(rubbish := b"no database, it only looks a little like one" * 100)
    with capture_logs() as logs:
        life = await place.open()
    assert "engine.store_replaced" in [log["event"] for log in logs]
    assert (place.dir / "events.db.damaged").read_bytes() == rubbish
    assert not life.engine.is_known_position(*kept[10].split("-")[:1], 10)
    assert await life.keep(said("goes on")) == [f"{life.engine.epoch}-{COUNT + 1}"]


async def test_file_whose_form_is_damaged_does_not_stop_a_start(
    place: EmbeddedPlace, kept: list[str]
) -> None:
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute("UPDATE meta SET value = '7' WHERE name = 'format'")
    _, found = await seen(place, kept[0])
    assert [gap["reason"] for gap in found.gaps] == ["unknown"]


async def test_file_of_a_later_version_is_not_touched(place: EmbeddedPlace, kept: list[str]) -> None:
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute("UPDATE meta SET value = '7' WHERE name = 'format'")
    (place.dir / "events.head").unlink()
    with pytest.raises(EngineUnavailable, match="another version"):
        await place.open()
    assert not (place.dir / "events.db.damaged").exists()


async def test_file_that_breaks_while_it_is_used_is_replaced_and_streams_are_told(
    place: EmbeddedPlace,
) -> None:
    life = await place.open()
    breaks: list[tuple[object, ...]] = []
    life.engine._listener.discontinued = lambda *said: breaks.append(said)  # type: ignore[attr-defined]
    [before] = await life.keep(said("before"))
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.execute("DROP TABLE packs")
    with capture_logs():
        life.append(said("is refused")).add_done_callback(lambda receipt: receipt.exception())
        await until(lambda: breaks)
        after = await life.keep(said("after"))
    assert breaks == [("unknown", before)]
    assert after[0].partition("-")[0] != before.partition("-")[0]
    assert not life.engine.failing


@pytest.mark.parametrize("seed", range(12))
async def test_bytes_that_change_anywhere_change_no_event_and_lose_none_without_a_word(
    place: EmbeddedPlace, kept: list[str], seed: int
) -> None:
    chance = random.Random(seed)
    path = place.dir / chance.choice(["events.db", "events.db-wal"])
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 8])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    _, found = await seen(place, kept[0])
    assert found.gaps or found.ids == kept[1:]
    assert found.ids == [id_ for id_ in kept[1:] if id_ in {*found.ids}]
