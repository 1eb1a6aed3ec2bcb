"""What others put under our keys, or say on our channels: it is told, it stops nothing for good, and it loses nothing."""

import asyncio

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.errors import EngineUnavailable
from tests.conftest import until
from tests.events.engines.places import EVERYTHING, Life, said, said_of
from tests.events.engines.redis.place import BullMqClient
from tests.redis_server import RedisServer


def key(place: BullMqClient, name: str) -> str:
    return f"{{{place._prefix}}}:{name}"


SOON_S = 10.0  # seconds in which a store is put right, on a busy machine too


async def keep_in_the_end(life: Life, word: str) -> str:
    """Publish *word* until that works, as a publisher does; its id."""
    ids: list[str] = []

    async def tried() -> bool:
        try:
            ids.extend(await life.keep(said(word, key=f"key of {word}")))
        except EngineUnavailable:
            return False
        return True

    while not await tried():
        await until(lambda: life.engine.reachable)
    return ids[0]


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"rubbish", b"99999999999999999999 \n[]", b"-3\n", b"7\n[[1,2,3,4,5]]\n1", b'0 x\n[["a"]]\n1', b"\xff\n\xff", b"1" * 5000,
        *(b'0 x\n[[1.0,null,"app",null,["app"]]]\n' + data for data in (b'"text without an end', b'"\\ud800"', b'{"a":\r1}', b"{")),
        b'0 x\n[[1.0,null,"app","a\\nid: 1",["app"]]]\n1', b'0 x\n[[1.0,null,"a\\rb",null,["app"]]]\n1',
    ],
    ids=repr,
)  # fmt: skip
async def test_rubbish_on_channels_is_told_and_passed_over(
    server: RedisServer, place: BullMqClient, payload: bytes
) -> None:
    life = await place.open()
    assert isinstance(life.engine, RedisEngine)
    [channel] = [life.engine._feed.channel(its) for its in EVERYTHING]
    link = life.engine._session._messages
    with capture_logs() as logs:
        for where in (channel, life.engine._store.own_channel):
            server.call("PUBLISH", where, payload)
        await life.keep(said(1), said(2))
    assert said_of(life.told) == said_of([said(1), said(2)])
    assert sum(log["messages"] for log in logs if log["event"] == "engine.malformed_message") == 2
    assert link.open and life.engine._session._messages is link


async def test_rubbish_between_events_of_one_read_loses_none_of_them(place: BullMqClient) -> None:
    life = await place.open()
    assert isinstance(life.engine, RedisEngine)
    feed, messages = life.engine._feed, []
    for seq, event in enumerate(map(said, range(3)), 1):
        body = b'[[1.0,null,"app",null,["app"]]]\n' + event.data
        messages += [[b"message", b"for:app", b"%d\n%b" % (seq, body)], [b"message", b"for:app", b"rubbish"]]
    assert said_of(feed.hear(messages)) == said_of([said(0), said(1), said(2)])


async def test_entries_that_others_added_to_the_events_are_removed(
    server: RedisServer, place: BullMqClient
) -> None:
    life = await place.open()
    before = await life.keep(said("before"))
    epoch = life.engine.epoch
    broken: list[str] = []
    life.engine._standing.listener.discontinued = lambda reason, stood: broken.append(reason)  # type: ignore[attr-defined]
    for number in range(3):
        server.call("XADD", key(place, "events"), "*", "event", f"stray {number}")
    with capture_logs() as logs:
        after = await keep_in_the_end(life, "after")
    assert [log["entries"] for log in logs if log["event"] == "engine.foreign_entries_removed"] == [3]
    assert (life.engine.epoch, broken) == (epoch, [])
    assert [event.id for event in await life.replay()] == [*before, after]
    other = await place.open()
    assert [event.id for event in await other.replay()] == [*before, after]


async def test_stray_entry_is_not_taken_for_an_event_missed(server: RedisServer, place: BullMqClient) -> None:
    life = await place.open()
    await life.keep(said("before"))
    server.call("XADD", key(place, "events"), "1-7", "event", "stray")
    server.call("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: not life.engine.reachable)
    await until(lambda: life.engine.reachable)
    await keep_in_the_end(life, "after")
    assert said_of(life.told) == said_of([said("before"), said("after")])


OTHER_TYPES = {
    "string": ("SET", "a text"),
    "hash": ("HSET", "field", "value"),
    "zset": ("ZADD", "1", "member"),
    "list": ("RPUSH", "foo", "bar"),
}
PLACES = [
    *(
        (name, kind)
        for name in ("events", "kept", "ages", "epochs", "index")
        for kind in ("string", "hash", "zset")
    ),
    *((name, "list") for name in ("state", "events")),
    ("state", "string"),
]


async def _goes_on(server: RedisServer, place: BullMqClient, life: Life) -> None:
    """Streams, publishers, who comes back and other nodes: all go on, and nothing is missing without a word."""
    broken: list[str] = []
    life.engine._standing.listener.discontinued = lambda reason, stood: broken.append(reason)  # type: ignore[attr-defined]
    epoch = life.engine.epoch
    life.engine._session.begin_again()  # type: ignore[attr-defined]  # as it does within a second
    async with asyncio.timeout(SOON_S):
        await until(lambda: not life.engine.reachable)
        await until(lambda: life.engine.reachable)
        after = await keep_in_the_end(life, "after")
        again = await keep_in_the_end(life, "again")
    other = await place.open()
    assert other.engine.epoch == life.engine.epoch
    if life.engine.epoch == epoch:
        assert said_of(await other.replay()) == said_of([*map(said, range(3)), said("after"), said("again")])
    else:
        assert broken[0] == "unknown"
        assert [event.id for event in await other.replay(after=other.engine.floor)][-2:] in (
            [after, again],
            [again],
        )


@pytest.mark.parametrize(("name", "kind"), PLACES)
async def test_key_of_a_wrong_type_is_moved_away_and_the_store_goes_on(
    server: RedisServer, place: BullMqClient, name: str, kind: str
) -> None:
    life = await place.open()
    await life.keep(*map(said, range(3)))
    where = key(place, f"index:{EVERYTHING[0]}" if name == "index" else name)
    server.call("DEL", where)
    command, *values = OTHER_TYPES[kind]
    server.call(command, where, *values)
    if name == "index":
        with capture_logs(), pytest.raises(EngineUnavailable):
            await life.engine.read(EVERYTHING, 0, 2**20)
    with capture_logs():
        await _goes_on(server, place, life)
    foreign = key(place, "foreign:" + where.removeprefix(key(place, "")))
    assert server.call("TYPE", foreign) == kind.encode(), "nothing of theirs is lost"


@pytest.mark.parametrize(
    "field", ["head", "floor", "latest", "swept", "bytes", "count", "uncounted", "given_up", "evicted"]
)
@pytest.mark.parametrize("value", ["rubbish", "1.5"])
async def test_number_of_the_store_that_is_none_stops_nothing(
    server: RedisServer, place: BullMqClient, field: str, value: str
) -> None:
    life = await place.open()
    await life.keep(*map(said, range(3)))
    server.call("HSET", key(place, "state"), field, value)
    with capture_logs():
        await _goes_on(server, place, life)


@pytest.mark.parametrize("name", ["ages", "kept", "epochs"])
@pytest.mark.parametrize("value", ["", "rubbish", "nan:nan", "1:99999999999"])
async def test_rubbish_in_a_list_of_the_store_stops_nothing(
    server: RedisServer, place: BullMqClient, name: str, value: str
) -> None:
    life = await place.open(max_events=100)
    await life.keep(*map(said, range(3)))
    server.call("LPUSH", key(place, name), value)
    with capture_logs():
        await _goes_on(server, place, life)
        ids = [(await life.keep(said(number)))[0] for number in range(250)]
    assert [event.id for event in await life.replay(after=life.engine.floor)] == ids[-100:]
    assert server.call("LLEN", key(place, "kept")) < 200, "the oldest go"


async def test_event_whose_index_is_of_another_type_is_published_once(
    server: RedisServer, place: BullMqClient
) -> None:
    life = await place.open()
    await life.keep(said("before"))
    [bad] = EVERYTHING
    server.call("DEL", key(place, f"index:{bad}"))
    server.call("SET", key(place, f"index:{bad}"), "a text")
    with capture_logs():
        async with asyncio.timeout(SOON_S):
            first = await keep_in_the_end(life, "once")
            await keep_in_the_end(life, "once")
    assert said_of(life.told) == said_of([said("before"), said("once")])
    assert first in [event.id for event in life.told]


async def test_rubbish_in_the_place_of_an_idempotency_key_makes_room(
    server: RedisServer, place: BullMqClient
) -> None:
    life = await place.open()
    server.call("RPUSH", key(place, "once:a key"), "rubbish")
    life.append(said("before"))  # in the same script
    ids = [*await life.keep(said("once", key="a key")), *await life.keep(said("once", key="a key"))]
    assert ids[0] == ids[1]
    assert said_of(life.told) == said_of([said("before"), said("once")])


async def test_store_whose_hash_was_lost_is_another_and_goes_on(
    server: RedisServer, place: BullMqClient
) -> None:
    life = await place.open()
    broken: list[str] = []
    life.engine._standing.listener.discontinued = lambda reason, stood: broken.append(reason)  # type: ignore[attr-defined]
    await life.keep(*map(said, range(5)))
    epoch = life.engine.epoch
    server.call("DEL", key(place, "state"))
    after = await keep_in_the_end(life, "after")
    assert (life.engine.epoch != epoch, broken) == (True, ["unknown"])
    assert [event.id for event in await life.replay(after=life.engine.floor)] == [after]
