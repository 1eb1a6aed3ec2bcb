"""Who comes and goes is told by somebody, whoever dies and whatever answer is lost."""

from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.base import PresenceDiff
from sse_push.service.presence.registry.redis import registry as module
from sse_push.service.presence.registry.redis.registry import RedisRegistry
from tests.conftest import until
from tests.service.presence.registry.contract import NOW
from tests.service.presence.registry.redis.nodes import Nodes, hold, keys_of, lost_answers


async def test_users_of_a_node_that_died_are_told_of_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 7)
    dead, _ = nodes.node("same name")
    others = [nodes.node("same name") for _ in range(3)]
    users = {str(number): NOW + number for number in range(40)}
    for user, at in users.items():
        await dead.update([user], [], at)
    await dead.ack(users)
    for other, _ in others:
        await other.update(["0", "77"], [], NOW)
    nodes.kill(dead)
    await until(lambda: sum(told.times for _, told in others) >= 39)
    gone = {user: at for _, told in others for user, at in told.left.items()}
    assert gone == {user: at for user, at in users.items() if user != "0"}
    assert sum(told.times for _, told in others) == 39
    assert (await others[0][0].present([*users, "77"])).keys() == {"0", "77"}


async def test_what_a_node_had_yet_to_tell_when_it_died_is_told_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 7)
    first, _ = nodes.node()
    heir, heard = nodes.node()
    users = [str(number) for number in range(20)]
    await hold(first, *users)
    await heir.update(["77"], [], NOW)
    nodes.kill(first)
    await until(lambda: len(heard.left) == len(users))
    await heir.ack(users[:10])
    nodes.kill(heir)
    others = [nodes.node() for _ in range(2)]
    for other, _ in others:
        await other.update(["88"], [], NOW)
    await until(lambda: sum(told.times for _, told in others) >= 11)
    gone = {user: at for _, told in others for user, at in told.left.items()}
    assert gone == dict.fromkeys([*users[10:], "77"], NOW)
    assert sum(told.times for _, told in others) == 11


async def test_change_is_owed_by_whoever_was_told_of_it_last(nodes: Nodes) -> None:
    (dead, _), (other, told) = nodes.node(), nodes.node()
    await other.update(["77"], [], NOW)
    await dead.update(["1", "2", "3"], [], NOW)
    await other.update(["2"], [], NOW + 1)
    await dead.update([], ["1", "2", "3"], NOW + 2)
    assert (await other.update(["1"], [], NOW + 3)).joined == {"1"}
    await other.ack(["77", "1", "2"])  # of 2 it has nothing to tell: that stays the dead one's
    nodes.kill(dead)
    await until(lambda: told.times)
    assert told.left == {"2": NOW, "3": NOW}, "whoever is present among them is told of as that"
    await other.ack(["2", "3"])
    assert (
        await other._client.call("EXISTS", *await keys_of(other, "pending", "to_notify:*", "inherited:*"))
    ) == 0


async def test_node_that_owes_and_goes_away_leaves_it_to_another(nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "DEREGISTER_S", 0.1)
    (leaving, _), (other, told) = nodes.node(), nodes.node()
    await other.update(["77"], [], NOW)
    await leaving.update(["1"], [], NOW)
    await leaving.update([], ["1"], NOW)
    await leaving.close()
    await until(lambda: told.left == {"1": NOW})


async def test_answer_that_was_lost_is_told_later(slow_nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 3)
    node, told = slow_nodes.node()
    await hold(node, "0")
    users = [str(number) for number in range(1, 9)]
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.update(users, ["0"], NOW)
    assert (await node.update(users, ["0"], NOW)).joined == {*users[3:]}
    assert told.left == dict.fromkeys(users[:3], NOW)
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.update([], users[:2], NOW)
    assert await node.update([], users[:2], NOW) == PresenceDiff(frozenset(), frozenset())
    assert told.left.keys() == {"0", *users}, "all that is not acknowledged"


async def test_answer_that_was_lost_is_not_told_where_another_has_newer_to_tell(slow_nodes: Nodes) -> None:
    (node, told), (other, _) = slow_nodes.node(), slow_nodes.node()
    await hold(node, "1", "2")
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.update([], ["1", "2"], NOW)
    assert (await other.update(["1"], [], NOW)).joined == {"1"}
    await node.update([], [], NOW)
    assert told.left == {"2": NOW}


async def test_lost_answer_of_more_than_one_call_takes_is_told_whole(
    slow_nodes: Nodes, monkeypatch: Any
) -> None:
    node, told = slow_nodes.node()
    users = [f"user {number}" for number in range(300)]
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.update(users, [], NOW)
    monkeypatch.setattr(module, "CALL_USERS", 50)
    await node.update([], [], NOW)
    assert told.left.keys() == set(users)


async def test_users_of_a_dead_node_whose_sweep_was_not_answered_are_told_of(nodes: Nodes) -> None:
    (dead, _), (other, told) = nodes.node(), nodes.node()
    await dead.update(["1"], [], NOW)
    await hold(other, "77")
    assert other._lease_task is not None
    other._lease_task.cancel()
    nodes.kill(dead)
    with lost_answers(other), pytest.raises(EngineUnavailable):
        await look_for_ever(other)
    assert told.left == {}
    await other._tick()
    assert told.left == {"1": NOW}


async def look_for_ever(roster: RedisRegistry) -> None:
    while True:
        await roster._tick()
