"""The bytes that the history takes on disk: bounded, and told when the oldest go for them."""

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.event import Event
from sse_push.events.replay import Replay
from tests.events.engines.embedded.place import EmbeddedPlace
from tests.events.engines.places import EVERYTHING, Life, ids, said
from tests.events.fakes import CallbackListener, until
from tests.events.replay.reading import replayed

MAX_BYTES = 2**20


def large(n: int, size: int) -> Event:
    event = said(n, [str(n)])
    event.data = b'{"n":"%d","fill":"%b"}' % (n, b"x" * size)
    return event


@pytest.mark.parametrize(("size", "count"), [(20_000, 400), (50, 20_000)], ids=["large", "small"])
async def test_file_stays_within_its_bytes_and_the_oldest_events_go(
    place: EmbeddedPlace, size: int, count: int
) -> None:
    engine = EmbeddedEngine(
        place.dir, max_events=1_000_000, max_age=1e6, max_bytes=MAX_BYTES, clock=place.clock
    )
    life = Life(engine, place.clock)
    await engine.start(CallbackListener(life.hear))
    with capture_logs() as logs:
        for n in range(0, count, count // 40):
            await life.keep(*[large(n + k, size) for k in range(count // 40)])
            await until(lambda: engine._store._file.used_bytes <= MAX_BYTES)
        assert 0 < engine.floor < engine.head
        found = await replayed(Replay(engine, EVERYTHING, ids(life.told)[0], place.clock))
    assert found.ids == ids(life.told)[engine.floor :]
    assert [gap["reason"] for gap in found.gaps] == ["expired"]
    assert found.gaps[0]["resumed_from"] == found.ids[0]
    assert len(found.ids) * size > MAX_BYTES // 8, "no more goes than must"
    assert logs == []
    await engine.close()
    taken = sum(path.stat().st_size for path in place.dir.glob("events.db*"))
    assert taken < 4 * MAX_BYTES
