"""Who comes and goes is told by somebody, whoever dies and whatever answer is lost."""

from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.events.rosters.base import Moved
from sse_push.events.rosters.redis import roster as module
from sse_push.events.rosters.redis.roster import RedisRoster
from tests.conftest import until
from tests.events.rosters.contract import NOW
from tests.events.rosters.redis.nodes import Nodes, hold, keys_of, lost_answers


async def test_users_of_a_node_that_died_are_told_of_to_exactly_one_other(
    nodes: Nodes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 7)
    dead, _ = nodes.node("same name")
    others = [nodes.node("same name") for _ in range(3)]
    users = {str(number): NOW + number for number in range(40)}
    for user, at in users.items():
        await dead.move([user], [], at)
    await dead.told(users)
    for other, _ in others:
        await other.move(["0", "77"], [], NOW)
    nodes.kill(dead)
    await until(lambda: sum(told.times for _, told in others) >= 39)
    gone = {user: at for _, told in others for user, at in told.gone.items()}
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
    await heir.move(["77"], [], NOW)
    nodes.kill(first)
    await until(lambda: len(heard.gone) == len(users))
    await heir.told(users[:10])
    nodes.kill(heir)
    others = [nodes.node() for _ in range(2)]
    for other, _ in others:
        await other.move(["88"], [], NOW)
    await until(lambda: sum(told.times for _, told in others) >= 11)
    gone = {user: at for _, told in others for user, at in told.gone.items()}
    assert gone == dict.fromkeys([*users[10:], "77"], NOW)
    assert sum(told.times for _, told in others) == 11


async def test_change_is_owed_by_whoever_was_told_of_it_last(nodes: Nodes) -> None:
    (dead, _), (other, told) = nodes.node(), nodes.node()
    await other.move(["77"], [], NOW)
    await dead.move(["1", "2", "3"], [], NOW)
    await other.move(["2"], [], NOW + 1)
    await dead.move([], ["1", "2", "3"], NOW + 2)
    assert (await other.move(["1"], [], NOW + 3)).came == {"1"}
    await other.told(["77", "1", "2"])  # of 2 it has nothing to tell: that stays the dead one's
    nodes.kill(dead)
    await until(lambda: told.times)
    assert told.gone == {"2": NOW, "3": NOW}, "whoever is present among them is told of as that"
    await other.told(["2", "3"])
    assert (await other._calls.call("EXISTS", *await keys_of(other, "untold", "owed:*", "will:*"))) == 0


async def test_node_that_owes_and_goes_away_leaves_it_to_another(nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "RETIRE_S", 0.1)
    (leaving, _), (other, told) = nodes.node(), nodes.node()
    await other.move(["77"], [], NOW)
    await leaving.move(["1"], [], NOW)
    await leaving.move([], ["1"], NOW)
    await leaving.close()
    await until(lambda: told.gone == {"1": NOW})


async def test_answer_that_was_lost_is_told_later(slow_nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "CALL_USERS", 3)
    node, told = slow_nodes.node()
    await hold(node, "0")
    users = [str(number) for number in range(1, 9)]
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.move(users, ["0"], NOW)
    assert (await node.move(users, ["0"], NOW)).came == {*users[3:]}
    assert told.gone == dict.fromkeys(users[:3], NOW)
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.move([], users[:2], NOW)
    assert await node.move([], users[:2], NOW) == Moved(frozenset(), frozenset())
    assert told.gone.keys() == {"0", *users}, "all that is not acknowledged"


async def test_answer_that_was_lost_is_not_told_where_another_has_newer_to_tell(slow_nodes: Nodes) -> None:
    (node, told), (other, _) = slow_nodes.node(), slow_nodes.node()
    await hold(node, "1", "2")
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.move([], ["1", "2"], NOW)
    assert (await other.move(["1"], [], NOW)).came == {"1"}
    await node.move([], [], NOW)
    assert told.gone == {"2": NOW}


async def test_lost_answer_of_more_than_one_call_takes_is_told_whole(
    slow_nodes: Nodes, monkeypatch: Any
) -> None:
    node, told = slow_nodes.node()
    users = [f"user {number}" for number in range(300)]
    with lost_answers(node), pytest.raises(EngineUnavailable):
        await node.move(users, [], NOW)
    monkeypatch.setattr(module, "CALL_USERS", 50)
    await node.move([], [], NOW)
    assert told.gone.keys() == set(users)


async def test_users_of_a_dead_node_whose_sweep_was_not_answered_are_told_of(nodes: Nodes) -> None:
    (dead, _), (other, told) = nodes.node(), nodes.node()
    await dead.move(["1"], [], NOW)
    await hold(other, "77")
    assert other._keeper is not None
    other._keeper.cancel()
    nodes.kill(dead)
    with lost_answers(other), pytest.raises(EngineUnavailable):
        await look_for_ever(other)
    assert told.gone == {}
    await other._look()
    assert told.gone == {"1": NOW}


async def look_for_ever(roster: RedisRoster) -> None:
    while True:
        await roster._look()
