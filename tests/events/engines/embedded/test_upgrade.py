"""Files that earlier versions wrote: they are read as they are, and go on under their epoch."""

import sqlite3
from contextlib import closing

import pytest

from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.replay import Replay
from tests.events.engines.embedded.place import EmbeddedPlace
from tests.events.engines.places import EVERYTHING, ids, keys_of, said
from tests.events.replay.reading import replayed

_BEFORE_CHECKSUMS = """
ALTER TABLE published DROP COLUMN checksum;
ALTER TABLE packs DROP COLUMN checksum;
ALTER TABLE segments DROP COLUMN checksum;
INSERT OR REPLACE INTO meta SELECT 'indexed', max(last) FROM segments;
UPDATE meta SET value = '4' WHERE name = 'format';
"""


@pytest.mark.parametrize("form", ["3", "4"])
async def test_file_without_checksums_is_read_and_goes_on(
    place: EmbeddedPlace, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 16)
    monkeypatch.setattr(embedded, "PRELOAD_EVENTS", 5)
    life = await place.open()
    for n in range(10):
        await life.keep(*[said(f"{n}{k}", [str(k)]) for k in range(8)])
    [keyed] = await life.keep(said("keyed", ["0"], key="known"))
    place.crash(life)
    with closing(sqlite3.connect(place.dir / "events.db")) as db, db:
        db.executescript(_BEFORE_CHECKSUMS)
        db.execute("UPDATE meta SET value = ? WHERE name = 'format'", (form,))
    (place.dir / "events.head").unlink()
    again = await place.open()
    assert again.engine.epoch == life.engine.epoch
    assert await again.keep(said("keyed", ["0"], key="known")) == [keyed]
    after = await again.keep(said("after", ["3"]))
    for keys, wanted in (
        (EVERYTHING, [*ids(life.told), *after]),
        (keys_of("3"), [*ids(life.told)[3:80:8], *after]),
    ):
        found = await replayed(Replay(again.engine, keys, f"{again.engine.epoch}-0", place.clock))
        assert (found.ids, found.gaps) == (wanted, [])
    place.crash(again)
    assert (await place.open()).engine.epoch == life.engine.epoch
