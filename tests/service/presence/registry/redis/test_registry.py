"""The registry on Redis: the contract suite, and what several nodes add to it."""

import asyncio
from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry import open_presence_registry
from sse_push.service.presence.registry.redis import registry as module
from sse_push.service.presence.registry.redis.registry import RedisRegistry
from tests.conftest import until
from tests.redis_server import RedisServer
from tests.service.presence.registry.contract import NOW, RegistryContract
from tests.service.presence.registry.redis.nodes import Nodes, keys_of, register, silence


class TestRedisRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, slow_nodes: Nodes) -> RedisRegistry:
        return slow_nodes.node()[0]


def test_redis_engine_has_the_registry_on_redis() -> None:
    assert isinstance(open_presence_registry("redis://127.0.0.1:1/0", "node", timeout=45), RedisRegistry)


async def test_user_of_two_nodes_leaves_with_the_second(slow_nodes: Nodes) -> None:
    (one, _), (other, _) = slow_nodes.node(), slow_nodes.node()
    assert (await one.update(["1"], [], NOW)).joined == {"1"}
    assert (await other.update(["1", "2"], [], NOW + 1)).joined == {"2"}
    assert await one.online(["1", "2"]) == {"1": NOW + 1, "2": NOW + 1}
    assert (await one.update([], ["1", "2"], NOW)).left == frozenset()
    assert (await other.update([], ["1"], NOW)).left == {"1"}


async def test_concurrent_updates_return_each_change_to_one_node(slow_nodes: Nodes) -> None:
    nodes = [slow_nodes.node()[0] for _ in range(4)]
    users = [str(number) for number in range(50)]
    for joins, leaves in ((users, []), ([], users)):
        diffs = await asyncio.gather(*(node.update(joins, leaves, NOW) for node in nodes))
        changed = [user for diff in diffs for user in (*diff.joined, *diff.left)]
        assert sorted(changed) == sorted(users)


async def test_node_taken_for_dead_loses_its_registration(nodes: Nodes) -> None:
    (silent, reports), (other, other_reports) = nodes.node(), nodes.node()
    await register(silent, "1", "2")
    await other.update(["2"], [], NOW)
    silence(silent)
    await until(lambda: other_reports.pending == {"1": NOW})
    with pytest.raises(EngineUnavailable):
        await silent.update(["3"], ["2"], NOW)
    assert reports.lost == [0.0]
    assert (await silent.update(["1", "2"], [], NOW)).joined == {"1"}


async def test_node_that_returns_while_it_is_expired_gets_its_users_back(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 1)
    (silent, reports), (other, other_reports) = nodes.node(), nodes.node()
    users = [str(number) for number in range(6)]
    await register(silent, *users)
    await register(other, "77")
    for node in (silent, other):
        silence(node)
    for _ in range(5):  # if no node renewed, it would look like an outage
        await asyncio.sleep(0.1)
        await other._renew()
    taken = await other._client.run("expire_node", 3)
    assert reports.lost == []
    with pytest.raises(EngineUnavailable):
        await silent.update([], ["0"], NOW)
    assert reports.lost == [0.0]
    joined = [user for user in users if (await silent.update([user], [], NOW)).joined]
    assert {user.decode() for user in taken[1::2]} == set(joined)
    await other._expire_nodes()
    assert other_reports.count == 0
    assert (await other.online(users)).keys() == set(users)


async def test_node_that_dies_twice_before_it_is_released_leaves_all_its_users(slow_nodes: Nodes) -> None:
    (dead, _), (other, reports) = slow_nodes.node(), slow_nodes.node()
    await register(dead, "0", "1", "2")
    await register(other, "77")

    async def die() -> None:
        await other._client.call("ZADD", f"{other._client.prefix}nodes", 0, dead._node)

    await die()
    taken = await other._client.run("expire_node", 1)
    await dead._renew()
    await register(dead, "3")
    await die()
    await other._expire_nodes()
    assert reports.pending.keys() == {"0", "1", "2", "3"} - {taken[1].decode()}


async def test_update_of_an_old_epoch_does_nothing(slow_nodes: Nodes) -> None:
    node, reports = slow_nodes.node()
    await register(node, "1")
    before = node._epoch
    await node._client.call("DEL", *await keys_of(node, "*"))
    await node.verify()
    node._epoch = before
    with pytest.raises(EngineUnavailable):
        await node.update([], ["1"], NOW)
    assert len(reports.lost) == 2, "users who left leave again after this"


async def test_users_of_a_closed_node_have_time_to_join_another(
    steady_nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "HANDOVER_S", 0.3)
    (leaving, _), (other, reports) = steady_nodes.node(), steady_nodes.node()
    await register(leaving, "1", "2")
    await register(other, "77")
    await leaving.close()
    assert (await other.update(["1"], [], NOW)).joined == frozenset()
    assert (await other.online(["1", "2"])).keys() == {"1", "2"}
    await until(lambda: reports.pending == {"2": NOW})
    assert (await other.online(["1", "2"])).keys() == {"1"}


async def test_closed_node_without_users_leaves_no_keys(slow_nodes: Nodes, server: RedisServer) -> None:
    leaving, _ = slow_nodes.node()
    await register(leaving, "1")
    await leaving.update([], ["1"], NOW)
    await leaving.ack(["1"])
    await leaving.close()
    prefix = leaving._client.prefix
    assert {
        key.decode().removeprefix(prefix)
        for key in server.call("KEYS", "*")
        if key.decode().startswith(prefix)
    } == {"state"}


async def test_close_of_an_unused_registry_does_not_connect() -> None:
    await RedisRegistry("redis://127.0.0.1:1/0", "n", timeout=45).close()


async def test_flushed_scripts_are_loaded_again(slow_nodes: Nodes, server: RedisServer) -> None:
    node, _ = slow_nodes.node()
    await node.update(["1"], [], NOW)
    server.call("SCRIPT", "FLUSH")
    assert (await node.update(["2"], [], NOW)).joined == {"2"}


@pytest.mark.parametrize("malformed", [b"malformed", b"", b"\xff", b"nan", b"inf", b"1e300", b"-5"])
async def test_malformed_activity_hides_one_user_alone(
    slow_nodes: Nodes, server: RedisServer, malformed: bytes
) -> None:
    registry, _ = slow_nodes.node()
    await register(registry, "1", "2")
    server.call("HSET", f"{registry._client.prefix}activity", "1", malformed)
    assert await registry.online(["1", "2"]) == {"2": NOW}
    assert (await registry.update([], ["1", "2"], NOW)).left == {"1", "2"}
