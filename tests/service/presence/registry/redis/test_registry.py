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


def test_redis_engine_has_the_roster_on_redis() -> None:
    assert isinstance(open_presence_registry("redis://127.0.0.1:1/0", "node", timeout=45), RedisRegistry)


async def test_user_of_two_nodes_is_gone_when_both_let_go(slow_nodes: Nodes) -> None:
    (one, _), (other, _) = slow_nodes.node(), slow_nodes.node()
    assert (await one.update(["1"], [], NOW)).joined == {"1"}
    assert (await other.update(["1", "2"], [], NOW + 1)).joined == {"2"}
    assert await one.online(["1", "2"]) == {"1": NOW + 1, "2": NOW + 1}
    assert (await one.update([], ["1", "2"], NOW)).left == frozenset()
    assert (await other.update([], ["1"], NOW)).left == {"1"}


async def test_change_is_told_to_one_node_however_many_act_at_once(slow_nodes: Nodes) -> None:
    many = [slow_nodes.node()[0] for _ in range(4)]
    users = [str(number) for number in range(50)]
    for joins, leaves in ((users, []), ([], users)):
        moved = await asyncio.gather(*(node.update(joins, leaves, NOW) for node in many))
        told = [user for one in moved for user in (*one.joined, *one.left)]
        assert sorted(told) == sorted(users)


async def test_node_that_was_taken_for_dead_is_told_so_and_holds_nobody(nodes: Nodes) -> None:
    (silent, told), (other, others) = nodes.node(), nodes.node()
    await register(silent, "1", "2")
    await other.update(["2"], [], NOW)
    silence(silent)
    await until(lambda: others.pending == {"1": NOW})
    with pytest.raises(EngineUnavailable):
        await silent.update(["3"], ["2"], NOW)
    assert told.lost == [0.0]
    assert (await silent.update(["1", "2"], [], NOW)).joined == {"1"}


async def test_node_that_comes_back_while_it_is_buried_takes_its_users_back(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 1)
    (silent, told), (other, others) = nodes.node(), nodes.node()
    users = [str(number) for number in range(6)]
    await register(silent, *users)
    await register(other, "77")
    for node in (silent, other):
        silence(node)
    for _ in range(5):  # silence of all would be an outage
        await asyncio.sleep(0.1)
        await other._renew()
    taken = await other._client.run("expire_node", 3)
    assert told.lost == []
    with pytest.raises(EngineUnavailable):
        await silent.update([], ["0"], NOW)
    assert told.lost == [0.0]
    joined = [user for user in users if (await silent.update([user], [], NOW)).joined]
    assert {user.decode() for user in taken[1::2]} == set(joined)
    await other._expire_nodes()
    assert others.count == 0
    assert (await other.online(users)).keys() == set(users)


async def test_node_that_dies_again_before_it_was_buried_leaves_all_its_users(slow_nodes: Nodes) -> None:
    (dead, _), (other, told) = slow_nodes.node(), slow_nodes.node()
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
    assert told.pending.keys() == {"0", "1", "2", "3"} - {taken[1].decode()}


async def test_move_sent_before_the_node_knew_that_all_was_lost_does_nothing(slow_nodes: Nodes) -> None:
    node, told = slow_nodes.node()
    await register(node, "1")
    before = node._epoch
    await node._client.call("DEL", *await keys_of(node, "*"))
    await node.verify()
    node._epoch = before
    with pytest.raises(EngineUnavailable):
        await node.update([], ["1"], NOW)
    assert len(told.lost) == 2, "who has left leaves again after this"


async def test_node_that_goes_away_gives_its_users_time_to_come_to_another(
    steady_nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "HANDOVER_S", 0.3)
    (leaving, _), (other, told) = steady_nodes.node(), steady_nodes.node()
    await register(leaving, "1", "2")
    await register(other, "77")
    await leaving.close()
    assert (await other.update(["1"], [], NOW)).joined == frozenset()
    assert (await other.online(["1", "2"])).keys() == {"1", "2"}
    await until(lambda: told.pending == {"2": NOW})
    assert (await other.online(["1", "2"])).keys() == {"1"}


async def test_node_without_users_leaves_nothing(slow_nodes: Nodes, server: RedisServer) -> None:
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


async def test_close_of_one_that_was_never_used_does_not_even_connect() -> None:
    await RedisRegistry("redis://127.0.0.1:1/0", "n", timeout=45).close()


async def test_scripts_that_the_server_forgot_are_given_again(slow_nodes: Nodes, server: RedisServer) -> None:
    node, _ = slow_nodes.node()
    await node.update(["1"], [], NOW)
    server.call("SCRIPT", "FLUSH")
    assert (await node.update(["2"], [], NOW)).joined == {"2"}


@pytest.mark.parametrize("rubbish", [b"rubbish", b"", b"\xff", b"nan", b"inf", b"1e300", b"-5"])
async def test_rubbish_of_others_hides_one_user_and_stops_nothing(
    slow_nodes: Nodes, server: RedisServer, rubbish: bytes
) -> None:
    registry, _ = slow_nodes.node()
    await register(registry, "1", "2")
    server.call("HSET", f"{registry._client.prefix}activity", "1", rubbish)
    assert await registry.online(["1", "2"]) == {"2": NOW}
    assert (await registry.update([], ["1", "2"], NOW)).left == {"1", "2"}
