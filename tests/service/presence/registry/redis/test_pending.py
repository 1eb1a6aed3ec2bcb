"""Who comes and goes is told by somebody, whoever dies and whatever answer is lost."""

from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.base import PresenceDiff
from sse_push.service.presence.registry.redis import registry as module
from sse_push.service.presence.registry.redis.registry import RedisRegistry
from tests.conftest import until
from tests.service.presence.registry.contract import NOW
from tests.service.presence.registry.redis.nodes import Nodes, keys_of, lost_replies, register, silence


async def test_users_of_a_node_that_died_are_told_of_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 7)
    dead, _ = nodes.node("same name")
    others = [nodes.node("same name") for _ in range(3)]
    users = {str(number): NOW + number for number in range(40)}
    for user, at in users.items():
        await dead.update([user], [], at)
    await dead.ack(users)
    for other, _ in others:
        await other.update(["0", "77"], [], NOW)
    nodes.kill(dead)
    await until(lambda: sum(told.count for _, told in others) >= 39)
    left = {user: at for _, told in others for user, at in told.pending.items()}
    assert left == {user: at for user, at in users.items() if user != "0"}
    assert sum(told.count for _, told in others) == 39
    assert (await others[0][0].online([*users, "77"])).keys() == {"0", "77"}


async def test_what_a_node_had_yet_to_tell_when_it_died_is_told_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 7)
    first, _ = nodes.node()
    heir, heard = nodes.node()
    users = [str(number) for number in range(20)]
    await register(first, *users)
    await heir.update(["77"], [], NOW)
    nodes.kill(first)
    await until(lambda: len(heard.pending) == len(users))
    await heir.ack(users[:10])
    nodes.kill(heir)
    others = [nodes.node() for _ in range(2)]
    for other, _ in others:
        await other.update(["88"], [], NOW)
    await until(lambda: sum(told.count for _, told in others) >= 11)
    left = {user: at for _, told in others for user, at in told.pending.items()}
    assert left == dict.fromkeys([*users[10:], "77"], NOW)
    assert sum(told.count for _, told in others) == 11


async def test_change_is_owed_by_whoever_was_told_of_it_last(nodes: Nodes) -> None:
    (dead, _), (other, told) = nodes.node(), nodes.node()
    await other.update(["77"], [], NOW)
    await dead.update(["1", "2", "3"], [], NOW)
    await other.update(["2"], [], NOW + 1)
    await dead.update([], ["1", "2", "3"], NOW + 2)
    assert (await other.update(["1"], [], NOW + 3)).joined == {"1"}
    await other.ack(["77", "1", "2"])  # of 2 it has nothing to tell: that stays the dead one's
    nodes.kill(dead)
    await until(lambda: told.count)
    assert told.pending == {"2": NOW, "3": NOW}, "whoever is present among them is told of as that"
    await other.ack(["2", "3"])
    assert (
        await other._client.call("EXISTS", *await keys_of(other, "pending", "pending:*", "orphaned:*"))
    ) == 0


async def test_node_that_owes_and_goes_away_leaves_it_to_another(nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "HANDOVER_S", 0.1)
    (leaving, _), (other, told) = nodes.node(), nodes.node()
    await other.update(["77"], [], NOW)
    await leaving.update(["1"], [], NOW)
    await leaving.update([], ["1"], NOW)
    await leaving.close()
    await until(lambda: told.pending == {"1": NOW})


async def test_answer_that_was_lost_is_told_later(slow_nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 3)
    node, told = slow_nodes.node()
    await register(node, "0")
    users = [str(number) for number in range(1, 9)]
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update(users, ["0"], NOW)
    assert (await node.update(users, ["0"], NOW)).joined == {*users[3:]}
    assert told.pending == dict.fromkeys(users[:3], NOW)
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update([], users[:2], NOW)
    assert await node.update([], users[:2], NOW) == PresenceDiff(frozenset(), frozenset())
    assert told.pending.keys() == {"0", *users}, "all that is not acknowledged"


async def test_answer_that_was_lost_is_not_told_where_another_has_newer_to_tell(slow_nodes: Nodes) -> None:
    (node, told), (other, _) = slow_nodes.node(), slow_nodes.node()
    await register(node, "1", "2")
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update([], ["1", "2"], NOW)
    assert (await other.update(["1"], [], NOW)).joined == {"1"}
    await node.update([], [], NOW)
    assert told.pending == {"2": NOW}


async def test_lost_answer_of_more_than_one_call_takes_is_told_whole(
    slow_nodes: Nodes, monkeypatch: Any
) -> None:
    node, told = slow_nodes.node()
    users = [f"user {number}" for number in range(300)]
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update(users, [], NOW)
    monkeypatch.setattr(module, "USERS_PER_CALL", 50)
    await node.update([], [], NOW)
    assert told.pending.keys() == set(users)


async def test_users_of_a_dead_node_whose_sweep_was_not_answered_are_told_of(nodes: Nodes) -> None:
    (dead, _), (other, told) = nodes.node(), nodes.node()
    await dead.update(["1"], [], NOW)
    await register(other, "77")
    silence(other)
    nodes.kill(dead)
    with lost_replies(other), pytest.raises(EngineUnavailable):
        await look_for_ever(other)
    assert told.pending == {}
    await other._maintain_lease()
    assert told.pending == {"1": NOW}


async def look_for_ever(registry: RedisRegistry) -> None:
    while True:
        await registry._maintain_lease()
