"""The roster on Redis: the contract, and what several nodes and a server that comes and goes add to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import count
from typing import Any

import pytest

from events.errors import EngineUnavailable
from events.rosters import open_roster
from events.rosters.redis import roster as module
from events.rosters.redis.roster import RedisRoster
from tests.conftest import until
from tests.events.rosters.contract import NOW, RosterContract
from tests.redis_server import RedisServer

_number = count()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


class Told:
    """What a node is told."""

    def __init__(self) -> None:
        self.gone: dict[str, float] = {}
        self.times = 0
        self.forgotten: list[float] = []

    def hear(self, gone: Mapping[str, float]) -> None:
        self.times += len(gone)
        self.gone.update(gone)


class Nodes:
    """Nodes that share a roster on *server*."""

    def __init__(self, server: RedisServer, timeout: float) -> None:
        self._url = f"{server.url}?prefix=roster{next(_number)}"
        self._timeout = timeout
        self._made: list[RedisRoster] = []

    def node(self, name: str = "n") -> tuple[RedisRoster, Told]:
        roster, told = RedisRoster(self._url, name, timeout=self._timeout), Told()
        roster.start(told.hear, told.forgotten.append)
        self._made.append(roster)
        return roster, told

    def kill(self, roster: RedisRoster) -> None:
        """Without a word."""
        if roster._keeper is not None:
            roster._keeper.cancel()
        roster._link.abort()
        self._made.remove(roster)

    async def close(self) -> None:
        for roster in self._made:
            await roster.close()


@pytest.fixture
async def nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    nodes = Nodes(server, timeout=0.5)
    yield nodes
    await nodes.close()


@pytest.fixture
async def slow_nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    """Nodes whose lease does not end while a test runs."""
    nodes = Nodes(server, timeout=60)
    yield nodes
    await nodes.close()


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


async def test_users_of_a_node_that_died_are_told_of_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 7)
    dead, _ = nodes.node("same name")
    others = [nodes.node("same name") for _ in range(3)]
    users = {str(number): NOW + number for number in range(40)}
    for user, at in users.items():
        await dead.move([user], [], at)
    for other, _ in others:
        await other.move(["0", "77"], [], NOW)
    nodes.kill(dead)
    await until(lambda: sum(told.times for _, told in others) >= 39)
    gone = {user: at for _, told in others for user, at in told.gone.items()}
    assert gone == {user: at for user, at in users.items() if user != "0"}
    assert sum(told.times for _, told in others) == 39
    assert (await others[0][0].present([*users, "77"])).keys() == {"0", "77"}


async def test_node_that_was_taken_for_dead_is_told_so_and_holds_nobody(nodes: Nodes) -> None:
    (silent, told), (other, others) = nodes.node(), nodes.node()
    await silent.move(["1", "2"], [], NOW)
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
    await silent.move(users, [], NOW)
    await other.move(["77"], [], NOW)
    for node in (silent, other):
        assert node._keeper is not None
        node._keeper.cancel()
    for _ in range(5):  # silence of all would be an outage
        await asyncio.sleep(0.1)
        await other._renew()
    taken = await other._run("sweep", 3)
    assert told.forgotten == []
    with pytest.raises(EngineUnavailable):
        await silent.move([], ["0"], NOW)
    assert told.forgotten == [0.0]
    came = [user for user in users if (await silent.move([user], [], NOW)).came]
    assert {user.decode() for user in taken[1::2]} == set(came)
    await other._sweep()
    assert others.times == 0
    assert (await other.present(users)).keys() == set(users)


async def test_node_that_goes_away_gives_its_users_time_to_come_to_another(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "RETIRE_S", 0.3)
    (leaving, _), (other, told) = nodes.node(), nodes.node()
    await leaving.move(["1", "2"], [], NOW)
    await other.move(["77"], [], NOW)
    await leaving.close()
    assert (await other.move(["1"], [], NOW)).came == frozenset()
    assert (await other.present(["1", "2"])).keys() == {"1", "2"}
    await until(lambda: told.gone == {"2": NOW})
    assert (await other.present(["1", "2"])).keys() == {"1"}


async def test_node_without_users_leaves_nothing(slow_nodes: Nodes, server: RedisServer) -> None:
    leaving, _ = slow_nodes.node()
    await leaving.move(["1"], [], NOW)
    await leaving.move([], ["1"], NOW)
    await leaving.close()
    prefix = leaving._prefix
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


async def test_server_that_lost_all_is_noticed_and_nobody_is_told_of_as_gone(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server, timeout=1.5)
    (one, told), (other, others) = nodes.node(), nodes.node()
    await one.move(["1"], [], NOW)
    await other.move(["2"], [], NOW)
    redis_server.kill()
    with pytest.raises(EngineUnavailable):
        await one.present(["1"])
    redis_server.start()
    await until(lambda: told.forgotten and others.forgotten)
    assert all(4 < settles <= module.SETTLE_S for settles in [*told.forgotten, *others.forgotten])
    assert await one.present(["1", "2"]) == {}
    assert (await one.move(["1"], [], NOW)).came == {"1"}
    assert told.times == others.times == 0
    new, of_new = nodes.node()
    await new.move(["3"], [], NOW)
    assert of_new.forgotten, "one that is new waits with the others"
    await nodes.close()


async def test_node_that_finds_another_roster_too_late_is_told_so(
    redis_server: RedisServer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0.01)
    nodes = Nodes(redis_server, timeout=60)
    (one, told), (other, others) = nodes.node(), nodes.node()
    await one.move(["1"], [], NOW)
    await other.move(["2"], [], NOW)
    redis_server.call("FLUSHALL")
    await one.check()
    await asyncio.sleep(0.02)
    await other.check()
    assert told.forgotten[0] > 0
    assert others.forgotten == [0.0]
    await nodes.close()


async def test_outage_longer_than_a_lease_kills_nobody(redis_server: RedisServer) -> None:
    redis_server.stop()
    redis_server.start(aof=True)
    nodes = Nodes(redis_server, timeout=0.5)
    (one, told), (other, others) = nodes.node(), nodes.node()
    await one.move(["1"], [], NOW)
    await other.move(["2"], [], NOW)
    redis_server.kill()
    await asyncio.sleep(0.6)
    redis_server.start(aof=True)
    for node in (one, other, one):
        await node._renew()
        await node._sweep()
    assert (told.times, others.times, told.forgotten, others.forgotten) == (0, 0, [], [])
    assert (await one.present(["1", "2"])).keys() == {"1", "2"}
    await nodes.close()


async def test_server_that_hangs_is_given_up(redis_server: RedisServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "CALL_S", 0.1)
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.move(["1"], [], NOW)
    redis_server.pause()
    try:
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await node.present(["1"])
    finally:
        redis_server.resume()
    assert await node.present(["1"]) == {"1": NOW}
    await nodes.close()


async def test_server_that_refuses_is_told_of(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server, timeout=60)
    node, _ = nodes.node()
    await node.move(["1"], [], NOW)
    redis_server.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(EngineUnavailable, match="refuses"):
        await node.move(["2"], [], NOW)
    redis_server.call("CONFIG", "SET", "maxmemory", "0")
    assert (await node.move(["2"], [], NOW)).came == {"2"}
    await nodes.close()
