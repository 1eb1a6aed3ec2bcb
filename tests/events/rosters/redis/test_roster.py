"""The roster on Redis: the contract suite, and what several nodes add to it."""

import asyncio
from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.events.rosters import open_roster
from sse_push.events.rosters.redis import roster as module
from sse_push.events.rosters.redis.roster import RedisRoster
from tests.conftest import until
from tests.events.rosters.contract import NOW, RosterContract
from tests.events.rosters.redis.nodes import Nodes, hold, keys_of
from tests.redis_server import RedisServer


class TestRedisRoster(RosterContract):
    @pytest.fixture
    def roster(self, slow_nodes: Nodes) -> RedisRoster:
        return slow_nodes.node()[0]


def test_redis_engine_has_the_roster_on_redis() -> None:
    assert isinstance(open_roster("redis://127.0.0.1:1/0", "node", timeout=45), RedisRoster)


async def test_user_of_two_nodes_is_gone_when_both_let_go(slow_nodes: Nodes) -> None:
    (one, _), (other, _) = slow_nodes.node(), slow_nodes.node()
    assert (await one.move(["1"], [], NOW)).came == {"1"}
    assert (await other.move(["1", "2"], [], NOW + 1)).came == {"2"}
    assert await one.present(["1", "2"]) == {"1": NOW + 1, "2": NOW + 1}
    assert (await one.move([], ["1", "2"], NOW)).gone == frozenset()
    assert (await other.move([], ["1"], NOW)).gone == {"1"}


async def test_change_is_told_to_one_node_however_many_act_at_once(slow_nodes: Nodes) -> None:
    many = [slow_nodes.node()[0] for _ in range(4)]
    users = [str(number) for number in range(50)]
    for joins, leaves in ((users, []), ([], users)):
        moved = await asyncio.gather(*(node.move(joins, leaves, NOW) for node in many))
        told = [user for one in moved for user in (*one.came, *one.gone)]
        assert sorted(told) == sorted(users)


async def test_node_that_was_taken_for_dead_is_told_so_and_holds_nobody(nodes: Nodes) -> None:
    (silent, told), (other, others) = nodes.node(), nodes.node()
    await hold(silent, "1", "2")
    await other.move(["2"], [], NOW)
    assert silent._keeper is not None
    silent._keeper.cancel()
    await until(lambda: others.gone == {"1": NOW})
    with pytest.raises(EngineUnavailable):
        await silent.move(["3"], ["2"], NOW)
    assert told.forgotten == [0.0]
    assert (await silent.move(["1", "2"], [], NOW)).came == {"1"}


async def test_node_that_comes_back_while_it_is_buried_takes_its_users_back(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 1)
    (silent, told), (other, others) = nodes.node(), nodes.node()
    users = [str(number) for number in range(6)]
    await hold(silent, *users)
    await hold(other, "77")
    for node in (silent, other):
        assert node._keeper is not None
        node._keeper.cancel()
    for _ in range(5):  # silence of all would be an outage
        await asyncio.sleep(0.1)
        await other._renew()
    taken = await other._calls.run("sweep", 3)
    assert told.forgotten == []
    with pytest.raises(EngineUnavailable):
        await silent.move([], ["0"], NOW)
    assert told.forgotten == [0.0]
    came = [user for user in users if (await silent.move([user], [], NOW)).came]
    assert {user.decode() for user in taken[1::2]} == set(came)
    await other._sweep()
    assert others.times == 0
    assert (await other.present(users)).keys() == set(users)


async def test_node_that_dies_again_before_it_was_buried_leaves_all_its_users(slow_nodes: Nodes) -> None:
    (dead, _), (other, told) = slow_nodes.node(), slow_nodes.node()
    await hold(dead, "0", "1", "2")
    await hold(other, "77")

    async def die() -> None:
        await other._calls.call("ZADD", f"{other._calls.prefix}nodes", 0, dead._node)

    await die()
    taken = await other._calls.run("sweep", 1)
    await dead._renew()
    await hold(dead, "3")
    await die()
    await other._sweep()
    assert told.gone.keys() == {"0", "1", "2", "3"} - {taken[1].decode()}


async def test_move_sent_before_the_node_knew_that_all_was_lost_does_nothing(slow_nodes: Nodes) -> None:
    node, told = slow_nodes.node()
    await hold(node, "1")
    before = node._epoch
    await node._calls.call("DEL", *await keys_of(node, "*"))
    await node.check()
    node._epoch = before
    with pytest.raises(EngineUnavailable):
        await node.move([], ["1"], NOW)
    assert len(told.forgotten) == 2, "who has left leaves again after this"


async def test_node_that_goes_away_gives_its_users_time_to_come_to_another(
    steady_nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "RETIRE_S", 0.3)
    (leaving, _), (other, told) = steady_nodes.node(), steady_nodes.node()
    await hold(leaving, "1", "2")
    await hold(other, "77")
    await leaving.close()
    assert (await other.move(["1"], [], NOW)).came == frozenset()
    assert (await other.present(["1", "2"])).keys() == {"1", "2"}
    await until(lambda: told.gone == {"2": NOW})
    assert (await other.present(["1", "2"])).keys() == {"1"}


async def test_node_without_users_leaves_nothing(slow_nodes: Nodes, server: RedisServer) -> None:
    leaving, _ = slow_nodes.node()
    await hold(leaving, "1")
    await leaving.move([], ["1"], NOW)
    await leaving.told(["1"])
    await leaving.close()
    prefix = leaving._calls.prefix
    assert {
        key.decode().removeprefix(prefix)
        for key in server.call("KEYS", "*")
        if key.decode().startswith(prefix)
    } == {"state"}


async def test_close_of_one_that_was_never_used_does_not_even_connect() -> None:
    await RedisRoster("redis://127.0.0.1:1/0", "n", timeout=45).close()


async def test_scripts_that_the_server_forgot_are_given_again(slow_nodes: Nodes, server: RedisServer) -> None:
    node, _ = slow_nodes.node()
    await node.move(["1"], [], NOW)
    server.call("SCRIPT", "FLUSH")
    assert (await node.move(["2"], [], NOW)).came == {"2"}


@pytest.mark.parametrize("rubbish", [b"rubbish", b"", b"\xff", b"nan", b"inf", b"1e300", b"-5"])
async def test_rubbish_of_others_hides_one_user_and_stops_nothing(
    slow_nodes: Nodes, server: RedisServer, rubbish: bytes
) -> None:
    roster, _ = slow_nodes.node()
    await hold(roster, "1", "2")
    server.call("HSET", f"{roster._calls.prefix}activity", "1", rubbish)
    assert await roster.present(["1", "2"]) == {"2": NOW}
    assert (await roster.move([], ["1", "2"], NOW)).gone == {"1", "2"}
