"""Every change is reported to a node, though nodes die and replies are lost."""

from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.base import PresenceDiff
from sse_push.service.presence.registry.redis import registry as module
from sse_push.service.presence.registry.redis.registry import RedisRegistry
from tests.conftest import until
from tests.service.presence.registry.contract import NOW
from tests.service.presence.registry.redis.nodes import Nodes, keys_of, lost_replies, register, silence


async def test_users_of_a_dead_node_are_reported_to_exactly_one_other(nodes: Nodes, monkeypatch: Any) -> None:
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
    await until(lambda: sum(reports.count for _, reports in others) >= 39)
    left = {user: at for _, reports in others for user, at in reports.pending.items()}
    assert left == {user: at for user, at in users.items() if user != "0"}
    assert sum(reports.count for _, reports in others) == 39
    assert (await others[0][0].online([*users, "77"])).keys() == {"0", "77"}


async def test_pending_notifications_of_a_dead_node_are_reported_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 7)
    first, _ = nodes.node()
    successor, successor_reports = nodes.node()
    users = [str(number) for number in range(20)]
    await register(first, *users)
    await successor.update(["77"], [], NOW)
    nodes.kill(first)
    await until(lambda: len(successor_reports.pending) == len(users))
    await successor.ack(users[:10])
    nodes.kill(successor)
    others = [nodes.node() for _ in range(2)]
    for other, _ in others:
        await other.update(["88"], [], NOW)
    await until(lambda: sum(reports.count for _, reports in others) >= 11)
    left = {user: at for _, reports in others for user, at in reports.pending.items()}
    assert left == dict.fromkeys([*users[10:], "77"], NOW)
    assert sum(reports.count for _, reports in others) == 11


async def test_last_node_that_got_a_change_owns_its_notification(nodes: Nodes) -> None:
    (dead, _), (other, reports) = nodes.node(), nodes.node()
    await other.update(["77"], [], NOW)
    await dead.update(["1", "2", "3"], [], NOW)
    await other.update(["2"], [], NOW + 1)
    await dead.update([], ["1", "2", "3"], NOW + 2)
    assert (await other.update(["1"], [], NOW + 3)).joined == {"1"}
    await other.ack(["77", "1", "2"])  # it does not own 2: that stays the dead node's
    nodes.kill(dead)
    await until(lambda: reports.count)
    assert reports.pending == {"2": NOW, "3": NOW}, "only pending ones"
    await other.ack(["2", "3"])
    assert (
        await other._client.call("EXISTS", *await keys_of(other, "pending", "pending:*", "orphaned:*"))
    ) == 0


async def test_pending_notification_of_a_closed_node_goes_to_another(nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "HANDOVER_S", 0.1)
    (leaving, _), (other, reports) = nodes.node(), nodes.node()
    await other.update(["77"], [], NOW)
    await leaving.update(["1"], [], NOW)
    await leaving.update([], ["1"], NOW)
    await leaving.close()
    await until(lambda: reports.pending == {"1": NOW})


async def test_changes_of_a_lost_reply_are_reported_later(slow_nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "USERS_PER_CALL", 3)
    node, reports = slow_nodes.node()
    await register(node, "0")
    users = [str(number) for number in range(1, 9)]
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update(users, ["0"], NOW)
    assert (await node.update(users, ["0"], NOW)).joined == {*users[3:]}
    assert reports.pending == dict.fromkeys(users[:3], NOW)
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update([], users[:2], NOW)
    assert await node.update([], users[:2], NOW) == PresenceDiff(frozenset(), frozenset())
    assert reports.pending.keys() == {"0", *users}, "all that are not acknowledged"


async def test_lost_reply_is_not_reported_if_another_node_owns_a_newer_change(slow_nodes: Nodes) -> None:
    (node, reports), (other, _) = slow_nodes.node(), slow_nodes.node()
    await register(node, "1", "2")
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update([], ["1", "2"], NOW)
    assert (await other.update(["1"], [], NOW)).joined == {"1"}
    await node.update([], [], NOW)
    assert reports.pending == {"2": NOW}


async def test_lost_reply_larger_than_one_call_is_reported_whole(slow_nodes: Nodes, monkeypatch: Any) -> None:
    node, reports = slow_nodes.node()
    users = [f"user {number}" for number in range(300)]
    with lost_replies(node), pytest.raises(EngineUnavailable):
        await node.update(users, [], NOW)
    monkeypatch.setattr(module, "USERS_PER_CALL", 50)
    await node.update([], [], NOW)
    assert reports.pending.keys() == set(users)


async def test_users_of_a_dead_node_are_reported_although_the_reply_was_lost(nodes: Nodes) -> None:
    (dead, _), (other, reports) = nodes.node(), nodes.node()
    await dead.update(["1"], [], NOW)
    await register(other, "77")
    silence(other)
    nodes.kill(dead)
    with lost_replies(other), pytest.raises(EngineUnavailable):
        await maintain_lease_forever(other)
    assert reports.pending == {}
    await other._maintain_lease()
    assert reports.pending == {"1": NOW}


async def maintain_lease_forever(registry: RedisRegistry) -> None:
    while True:
        await registry._maintain_lease()
