"""The server is away, hangs, refuses, or comes back with nothing."""

import asyncio
from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.base import PresenceDiff
from sse_push.service.presence.registry.redis import registry as module
from sse_push.service.presence.registry.redis import script_client
from tests.conftest import until
from tests.redis_server import RedisServer
from tests.service.presence.registry.contract import NOW
from tests.service.presence.registry.redis.nodes import Nodes, keys_of, lease_left, pass_time, register


async def test_server_that_lost_all_is_noticed_and_nobody_is_told_of_as_gone(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server, timeout=1.5)
    (one, told), (other, others) = nodes.node(), nodes.node()
    await one.update(["1"], [], NOW)
    await other.update(["2"], [], NOW)
    redis_server.kill()
    with pytest.raises(EngineUnavailable):
        await one.online(["1"])
    redis_server.start()
    await until(lambda: told.lost and others.lost)
    assert all(4 < settles <= module.RESYNC_S for settles in [*told.lost, *others.lost])
    assert await one.online(["1", "2"]) == {}
    assert await one.update(["1"], [], NOW) == PresenceDiff(frozenset(["1"]), frozenset(), resyncing=True)
    assert told.count == others.count == 0
    new, of_new = nodes.node()
    await new.update(["3"], [], NOW)
    assert of_new.lost, "one that is new waits with the others"
    await nodes.close()


async def test_node_that_finds_another_roster_too_late_is_told_so(
    redis_server: RedisServer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "RESYNC_S", 0.01)
    nodes = Nodes(redis_server, timeout=60)
    (one, told), (other, others) = nodes.node(), nodes.node()
    await one.update(["1"], [], NOW)
    await other.update(["2"], [], NOW)
    redis_server.call("FLUSHALL")
    await one.verify()
    await asyncio.sleep(0.02)
    await other.verify()
    assert told.lost[0] > 0
    assert others.lost == [0.0]
    assert not (await other.update(["2"], [], NOW)).resyncing
    await nodes.close()


async def test_move_that_needs_longer_than_nodes_have_is_not_in_time(
    redis_server: RedisServer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 1)
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    redis_server.call("FLUSHALL")
    await node.verify()
    run = node._client.run

    async def late(name: str, *arguments: Any) -> Any:
        answer = await run(name, *arguments)
        if name == "update":
            await node._client.call("HSET", f"{node._client.prefix}state", "lost", "0")
        return answer

    node._client.run = late  # type: ignore[method-assign]
    assert await node.update(["1", "2"], [], NOW) == PresenceDiff(
        frozenset(["1", "2"]), frozenset(), resyncing=False
    )
    await nodes.close()


async def test_node_taken_for_dead_soon_after_all_was_lost_is_told_that_its_users_are_gone(
    slow_nodes: Nodes,
) -> None:
    node, told = slow_nodes.node()
    await register(node, "1")
    await node._client.call("DEL", *await keys_of(node, "*"))
    await node.verify()
    await node._client.call("ZREM", f"{node._client.prefix}nodes", node._node)
    await node.verify()
    assert (told.lost[0] > 4, told.lost[1:]) == (True, [0.0])


async def test_outage_longer_than_a_lease_kills_nobody(redis_server: RedisServer) -> None:
    redis_server.stop()
    redis_server.start(aof=True)
    nodes = Nodes(redis_server, timeout=0.5)
    (one, told), (other, others) = nodes.node(), nodes.node()
    await one.update(["1"], [], NOW)
    await other.update(["2"], [], NOW)
    redis_server.kill()
    await asyncio.sleep(0.6)
    redis_server.start(aof=True)
    for node in (one, other, one):
        await node._renew()
        await node._expire_nodes()
    assert (told.count, others.count, told.lost, others.lost) == (0, 0, [], [])
    assert (await one.online(["1", "2"])).keys() == {"1", "2"}
    await nodes.close()


async def test_dead_node_gets_some_time_after_an_outage_and_but_once(slow_nodes: Nodes) -> None:
    (dead, _), (other, _) = slow_nodes.node(), slow_nodes.node()
    await register(dead, "1")
    await register(other, "2")
    lease = 60 * module._LEASE_SHARE
    assert await lease_left(dead, other) == pytest.approx(lease, abs=1)
    slow_nodes.kill(dead)
    await pass_time(other, lease + 1)
    await other._renew()
    assert await lease_left(dead, other) == pytest.approx(lease * module._RETURN_SHARE, abs=1)
    await pass_time(other, lease + 1)
    await other._renew()
    assert await lease_left(dead, other) < -lease / 2
    assert await lease_left(other, other) == pytest.approx(lease, abs=1)


async def test_node_that_died_long_before_an_outage_gets_no_time(slow_nodes: Nodes) -> None:
    (dead, _), (other, _) = slow_nodes.node(), slow_nodes.node()
    await register(dead, "1")
    await register(other, "2")
    lease = 60 * module._LEASE_SHARE
    slow_nodes.kill(dead)
    for part in (0.4, 0.4, 1.2):
        await pass_time(other, lease * part)
        await other._renew()
    assert await lease_left(dead, other) == pytest.approx(-lease, abs=1)


async def test_server_that_hangs_is_given_up(redis_server: RedisServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(script_client, "REPLY_TIMEOUT_S", 0.1)
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    link = node._client._link
    redis_server.pause()
    try:
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await node.online(["1"])
    finally:
        redis_server.resume()
    assert await node.online(["1"]) == {"1": NOW}
    assert node._client._link is not link
    await nodes.close()


async def test_server_that_refuses_is_told_of(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    redis_server.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(EngineUnavailable, match="refuses"):
        await node.update(["2"], [], NOW)
    assert "cmdstat_eval:" not in str(redis_server.call("INFO", "commandstats")), "it is not tried again"
    redis_server.call("CONFIG", "SET", "maxmemory", "0")
    assert (await node.update(["2"], [], NOW)).joined == {"2"}
    await nodes.close()


async def test_server_that_is_a_replica_by_now_is_looked_for_anew(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    link = node._client._link
    redis_server.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(EngineUnavailable, match="READONLY"):
        await node.update(["2"], [], NOW)
    redis_server.call("REPLICAOF", "NO", "ONE")
    assert (await node.update(["2"], [], NOW)).joined == {"2"}
    assert node._client._link is not link
    await nodes.close()


async def test_node_goes_on_after_a_fault_and_tells_of_an_outage_once(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    away = EngineUnavailable("Redis is away")
    faults = [ZeroDivisionError("a fault"), away, away]
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks <= len(faults):
            raise faults[looks - 1]

    monkeypatch.setattr(node, "_maintain_lease", look)
    await until(lambda: looks > len(faults))
    assert [line["event"] for line in logged] == [
        "presence.registry_unhandled_error",
        "presence.registry_unreachable",
    ]


async def test_node_that_cannot_say_that_it_goes_away_goes_all_the_same(
    redis_server: RedisServer, logged: list[Any]
) -> None:
    node, _ = Nodes(redis_server, timeout=60).node()
    await node.update(["1"], [], NOW)
    redis_server.kill()
    await node.close()
    assert [line["event"] for line in logged] == ["presence.registry_unreachable"]
