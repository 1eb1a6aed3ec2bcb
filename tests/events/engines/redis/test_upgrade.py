"""A store that the version before kept: its events and keys are there, and its nodes can't go on beside new ones."""

import time
from collections.abc import Iterator

import hiredis
import pytest

from sse_push.events.engines.packs import pack
from tests.events.engines.places import EVERYTHING, ids, keys_of, said
from tests.events.engines.redis.place import BullMqClient
from tests.redis_server import RedisServer

EPOCH = "abcdefgh"


@pytest.fixture
def old_place(place: BullMqClient, server: RedisServer) -> Iterator[BullMqClient]:
    """A store as 0.1.0 left it, with three events: the index was a stream for each routing key."""
    prefix, now = f"{{{place._prefix}}}:", round(time.time() * 1000)
    place.clock.now = now / 1000
    [run_id] = [
        line[7:]
        for line in server.call("INFO", "server").decode().split("\r\n")
        if line.startswith("run_id:")
    ]
    state = {"epoch": EPOCH, "head": 3, "floor": 0, "latest": now, "run_id": run_id}
    server.call("HSET", f"{prefix}store", *[str(part) for item in state.items() for part in item])
    server.call("RPUSH", f"{prefix}ages", f"{now}:3")
    server.call("SET", f"{prefix}once:k", f"{now + 600_000}:2", "PX", "600000")
    for number in (1, 2, 3):
        event = said(number, [str(number % 2)], at=place.clock.now)
        server.call("XADD", f"{prefix}events", f"{number}-0", "e", pack([event]))
        for key in event.keys:
            server.call("XADD", f"{prefix}key:{key}", f"{number}-0", "", "")
    return place


async def test_events_and_keys_of_the_version_before_are_there(old_place: BullMqClient) -> None:
    life = await old_place.open()
    new = await life.keep(said("a", ["1"]), said("b", ["0"]), said("c", key="k", fingerprint="one"))
    assert (life.engine.epoch, new[2]) == (EPOCH, f"{EPOCH}-2")
    assert ids(await life.replay(EVERYTHING)) == [f"{EPOCH}-{number}" for number in range(1, 6)]
    assert ids(await life.replay(keys_of("1"))) == [f"{EPOCH}-{number}" for number in (1, 3, 4)]
    assert ids(await life.replay(keys_of("0"), after=2)) == [f"{EPOCH}-5"]
    again = await old_place.open()
    assert ids(await again.replay(EVERYTHING, after=1)) == [f"{EPOCH}-{number}" for number in range(2, 6)]


async def test_events_of_the_version_before_go_by_the_same_limits(
    old_place: BullMqClient, server: RedisServer
) -> None:
    life = await old_place.open(max_events=2)
    await life.keep(said("a", ["1"]))
    assert life.engine.floor == 2
    assert ids(await life.replay(EVERYTHING, after=2)) == [f"{EPOCH}-3", f"{EPOCH}-4"]
    await life.keep(*[said(number, ["1"]) for number in range(200)])
    assert server.call("XLEN", f"{{{old_place._prefix}}}:events") < 200
    assert len(await life.replay(EVERYTHING, after=life.engine.floor)) == 2


async def test_nodes_of_the_version_before_are_kept_out(old_place: BullMqClient, server: RedisServer) -> None:
    await old_place.open()
    with pytest.raises(hiredis.ReplyError, match="WRONGTYPE"):
        server.call("HMGET", f"{{{old_place._prefix}}}:store", "epoch")
