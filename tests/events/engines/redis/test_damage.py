"""What others delete of the history: it is noticed and told, and never passes for an empty past."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.redis import session
from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.errors import EngineUnavailable
from tests.conftest import until
from tests.events.engines.places import ids, keys_of, said
from tests.events.engines.redis.place import BullMqClient
from tests.redis_server import RedisServer


def key(place: BullMqClient, name: str) -> str:
    return f"{{{place._prefix}}}:{name}"


@pytest.mark.parametrize(
    "damage",
    [
        lambda server, place: server.call("DEL", key(place, "events")),
        lambda server, place: server.call("DEL", key(place, "kept")),
        lambda server, place: server.call("DEL", key(place, "state")),
        lambda server, place: server.call("XTRIM", key(place, "events"), "MAXLEN", "0"),
        lambda server, place: server.call("XDEL", key(place, "events"), "150-0"),
        lambda server, place: place.lose(),
    ],
    ids=["events", "kept", "state", "trimmed", "one event", "everything"],
)
@pytest.mark.parametrize("publishing", [True, False], ids=["while publishing", "while quiet"])
async def test_history_that_others_deleted_begins_a_new_epoch(
    place: BullMqClient,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[RedisServer, BullMqClient], object],
    publishing: bool,
) -> None:
    monkeypatch.setattr(session, "TICK_S", 0.02)
    life = await place.open()
    assert isinstance(life.engine, RedisEngine)
    broken: list[tuple[str, str]] = []
    life.engine._standing.listener.discontinued = lambda reason, stood: broken.append((reason, stood))
    await life.keep(*[said(number, [str(number)]) for number in range(300)])
    epoch = life.engine.epoch
    with capture_logs():
        damage(server, place)
        if publishing:
            life.append(*[said("more", [str(number)]) for number in range(5)])
        await until(lambda: life.engine.epoch != epoch and life.engine.reachable)
    assert broken[0][0] == "unknown"
    assert broken[0][1].startswith(epoch)
    assert not life.engine.is_known_position(epoch, 10)
    after = await life.keep(said("after", ["10"]))
    assert ids(await life.replay(keys_of("10"), after=life.engine.floor))[-1:] == after
    other = await place.open()
    assert other.engine.epoch == life.engine.epoch, "it is noticed once"
    assert ids(await other.replay(keys_of("10"), after=other.engine.floor))[-1:] == after


async def test_store_that_went_back_to_what_it_was_is_another(
    place: BullMqClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put a copy of it in its place: nobody publishes, and the node notices all the same."""
    monkeypatch.setattr(session, "TICK_S", 0.02)
    life = await place.open()
    assert isinstance(life.engine, RedisEngine)
    broken: list[tuple[str, str]] = []
    life.engine._standing.listener.discontinued = lambda reason, stood: broken.append((reason, stood))
    await life.keep(*[said(number, ["1"]) for number in range(10)])
    names = server.call("KEYS", key(place, "*"))
    copies = {name: server.call("DUMP", name) for name in names}
    await life.keep(*[said(number, ["1"]) for number in range(5)])
    epoch = life.engine.epoch
    with capture_logs():
        for name, copy in copies.items():
            server.call("RESTORE", name, "0", copy, "REPLACE")
        await until(lambda: life.engine.epoch != epoch and life.engine.reachable)
    assert broken == [("unknown", f"{epoch}-15")]
    assert [life.engine.is_known_position(epoch, number) for number in (10, 11)] == [True, False]


async def test_event_that_is_missing_where_it_is_read_begins_a_new_epoch(
    place: BullMqClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_S", 60)  # no look comes before the reader
    life = await place.open()
    await life.keep(*[said(number, ["1"]) for number in range(10)])
    epoch = life.engine.epoch
    server.call("XDEL", key(place, "events"), "5-0")
    with capture_logs(), pytest.raises(EngineUnavailable):
        await life.engine.read(keys_of("1"), 0, 2**20)
    await until(lambda: life.engine.epoch != epoch and life.engine.reachable)
    assert life.engine.floor == 10
    await life.keep(said("after"))
