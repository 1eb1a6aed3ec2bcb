"""Outages: the server is unavailable, hangs, refuses, or has lost its data."""

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


async def test_data_loss_is_reported_and_nobody_leaves(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server, timeout=1.5)
    (one, reports), (other, other_reports) = nodes.node(), nodes.node()
    await one.update(["1"], [], NOW)
    await other.update(["2"], [], NOW)
    redis_server.kill()
    with pytest.raises(EngineUnavailable):
        await one.online(["1"])
    redis_server.start()
    await until(lambda: reports.lost and other_reports.lost)
    assert all(4 < resync_s <= module.RESYNC_S for resync_s in [*reports.lost, *other_reports.lost])
    assert await one.online(["1", "2"]) == {}
    assert await one.update(["1"], [], NOW) == PresenceDiff(frozenset(["1"]), frozenset(), resyncing=True)
    assert reports.count == other_reports.count == 0
    new, new_reports = nodes.node()
    await new.update(["3"], [], NOW)
    assert new_reports.lost, "a new node waits with the others"
    await nodes.close()


async def test_node_that_finds_the_data_lost_too_late_has_no_resync_time(
    redis_server: RedisServer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "RESYNC_S", 0.01)
    nodes = Nodes(redis_server, timeout=60)
    (one, reports), (other, other_reports) = nodes.node(), nodes.node()
    await one.update(["1"], [], NOW)
    await other.update(["2"], [], NOW)
    redis_server.call("FLUSHALL")
    await one.verify()
    await asyncio.sleep(0.02)
    await other.verify()
    assert reports.lost[0] > 0
    assert other_reports.lost == [0.0]
    assert not (await other.update(["2"], [], NOW)).resyncing
    await nodes.close()


async def test_update_that_outlasts_the_resync_is_not_resyncing(
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
        reply = await run(name, *arguments)
        if name == "update":
            await node._client.call("HSET", f"{node._client.prefix}state", "lost", "0")
        return reply

    node._client.run = late  # type: ignore[method-assign]
    assert await node.update(["1", "2"], [], NOW) == PresenceDiff(
        frozenset(["1", "2"]), frozenset(), resyncing=False
    )
    await nodes.close()


async def test_node_taken_for_dead_after_data_loss_has_no_resync_time(
    slow_nodes: Nodes,
) -> None:
    node, reports = slow_nodes.node()
    await register(node, "1")
    await node._client.call("DEL", *await keys_of(node, "*"))
    await node.verify()
    await node._client.call("ZREM", f"{node._client.prefix}nodes", node._node)
    await node.verify()
    assert (reports.lost[0] > 4, reports.lost[1:]) == (True, [0.0])


async def test_outage_longer_than_a_lease_expires_no_node(redis_server: RedisServer) -> None:
    redis_server.stop()
    redis_server.start(aof=True)
    nodes = Nodes(redis_server, timeout=0.5)
    (one, reports), (other, other_reports) = nodes.node(), nodes.node()
    await one.update(["1"], [], NOW)
    await other.update(["2"], [], NOW)
    redis_server.kill()
    await asyncio.sleep(0.6)
    redis_server.start(aof=True)
    for node in (one, other, one):
        await node._renew()
        await node._expire_nodes()
    assert (reports.count, other_reports.count, reports.lost, other_reports.lost) == (0, 0, [], [])
    assert (await one.online(["1", "2"])).keys() == {"1", "2"}
    await nodes.close()


async def test_dead_node_is_extended_once_after_an_outage(slow_nodes: Nodes) -> None:
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


async def test_node_that_died_before_an_outage_is_not_extended(slow_nodes: Nodes) -> None:
    (dead, _), (other, _) = slow_nodes.node(), slow_nodes.node()
    await register(dead, "1")
    await register(other, "2")
    lease = 60 * module._LEASE_SHARE
    slow_nodes.kill(dead)
    for part in (0.4, 0.4, 1.2):
        await pass_time(other, lease * part)
        await other._renew()
    assert await lease_left(dead, other) == pytest.approx(-lease, abs=1)


async def test_hanging_server_is_disconnected(redis_server: RedisServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(script_client, "REPLY_TIMEOUT_S", 0.1)
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    connection = node._client._connection
    redis_server.pause()
    try:
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await node.online(["1"])
    finally:
        redis_server.resume()
    assert await node.online(["1"]) == {"1": NOW}
    assert node._client._connection is not connection
    await nodes.close()


async def test_refusal_of_the_server_raises(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    redis_server.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(EngineUnavailable, match="refuses"):
        await node.update(["2"], [], NOW)
    assert "cmdstat_eval:" not in str(redis_server.call("INFO", "commandstats")), (
        "the script is not sent again"
    )
    redis_server.call("CONFIG", "SET", "maxmemory", "0")
    assert (await node.update(["2"], [], NOW)).joined == {"2"}
    await nodes.close()


async def test_server_that_became_a_replica_is_reconnected(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    connection = node._client._connection
    redis_server.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(EngineUnavailable, match="READONLY"):
        await node.update(["2"], [], NOW)
    redis_server.call("REPLICAOF", "NO", "ONE")
    assert (await node.update(["2"], [], NOW)).joined == {"2"}
    assert node._client._connection is not connection
    await nodes.close()


async def test_lease_is_renewed_after_errors_and_an_outage_is_logged_once(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    node, _ = nodes.node()
    await node.update(["1"], [], NOW)
    away = EngineUnavailable("Redis is away")
    faults = [ZeroDivisionError("a fault"), away, away]
    attempts = 0

    async def fail_at_first() -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= len(faults):
            raise faults[attempts - 1]

    monkeypatch.setattr(node, "_maintain_lease", fail_at_first)
    await until(lambda: attempts > len(faults))
    assert [line["event"] for line in logged] == [
        "presence.registry_unhandled_error",
        "presence.registry_unreachable",
    ]


async def test_close_needs_no_server(redis_server: RedisServer, logged: list[Any]) -> None:
    node, _ = Nodes(redis_server, timeout=60).node()
    await node.update(["1"], [], NOW)
    redis_server.kill()
    await node.close()
    assert [line["event"] for line in logged] == ["presence.registry_unreachable"]
