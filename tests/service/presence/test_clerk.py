"""Telling friends, once, when roster, database or engine are away, or a node died."""

from typing import Any

import pytest

from sse_push.events.event import MAX_USERS
from sse_push.service.presence import clerk
from tests.conftest import until
from tests.service.presence.stage import Stage


async def test_changes_wait_for_a_database_that_is_away_and_the_last_counts(
    stage: Stage, logged: list[Any]
) -> None:
    stage.open(1)
    await stage.idle()
    stage.circles.away = True
    left, _ = stage.open(2)
    came, _ = stage.open(3)
    _, connection = stage.open(1)
    await until(lambda: stage.roster.moves > 1)
    left.closed()
    came.closed()
    await until(lambda: len(stage.presence) == 1)
    stage.open(3)
    await until(lambda: [line["event"] for line in logged] == ["presence.failed"])
    assert connection.written == []
    stage.circles.away = False
    await stage.idle()
    assert sorted(stage.told) == [(2, False, ["1", "3"]), (3, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_moves_wait_for_a_roster_that_is_away_which_is_told_once(
    stage: Stage, logged: list[Any]
) -> None:
    stage.open(1)
    await stage.idle()
    stage.roster.away = True
    _, connection = stage.open(2)
    await until(lambda: stage.roster.moves > 3)
    assert connection.written == []
    stage.roster.away = False
    await stage.idle()
    assert stage.told == [(2, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_check_waits_for_a_roster_that_is_away(stage: Stage, logged: list[Any]) -> None:
    stage.roster.away = True
    stage.presence.refresh()
    await until(lambda: logged)
    stage.roster.away = False
    await stage.idle()
    assert stage.roster.checks == 1


async def test_change_waits_for_an_engine_that_cannot_carry_it_to_other_nodes(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    stage.engine.reachable = False
    stage.open(2)
    await until(lambda: stage.circles.seen.keys() == {1, 2})
    assert stage.told == []
    stage.engine.reachable = True
    await stage.idle()
    assert stage.told == [(2, True, ["1"])]


async def test_change_that_may_have_been_lost_on_its_way_is_told_again(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    stage.roster.untold({"3": stage.clock() - 20})
    stage.engine.loses = True
    await until(lambda: stage.told)
    stage.engine.loses = False
    await stage.idle()
    assert stage.told[-1] == (3, False, ["1"])
    assert len(stage.told) > 1


async def test_move_that_was_done_and_not_answered_is_told_all_the_same(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    for online in (True, False):
        stage.roster.answers_away = True
        moves = stage.roster.moves
        if online:
            watch, _ = stage.open(2)
        else:
            watch.closed()
        await until(lambda moves=moves: stage.roster.moves > moves + 1)
        stage.roster.answers_away = False
        await stage.idle()
        assert stage.told.pop() == (2, online, ["1"])
    assert stage.told == []


async def test_users_of_a_dead_node_are_told_of_as_gone_when_they_were_active_last(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    stage.roster.untold({"3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1"])]
    assert stage.circles.seen[3] == stage.clock() - 20


async def test_of_two_who_tell_when_a_user_was_active_last_the_later_counts(stage: Stage) -> None:
    for ago in (20, 10, 30):
        stage.roster.untold({"3": stage.clock() - ago})
    await stage.idle()
    assert stage.circles.seen[3] == stage.clock() - 10


async def test_two_who_became_friends_are_told_when_the_database_is_back(
    stage: Stage, logged: list[Any]
) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.circles.away = True
    stage.presence.met(1, 2)
    await until(lambda: logged)
    stage.circles.away = False
    await stage.idle()
    assert sorted(stage.told) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_two_who_parted_again_at_once_are_told_nothing(stage: Stage, logged: list[Any]) -> None:
    stage.open(1)
    await stage.idle()
    stage.presence.met(1, 7)
    await stage.idle()
    assert (stage.told, logged) == ([], [])


async def test_what_is_told_is_acknowledged_and_nothing_before(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    stage.roster.acknowledged.clear()
    stage.engine.loses = True
    stage.roster.untold({"3": stage.clock() - 20})
    await until(lambda: len(stage.told) > 2)
    assert stage.roster.acknowledged == set()
    stage.engine.loses = False
    await stage.idle()
    assert stage.roster.acknowledged == {"3"}


async def test_acknowledgement_waits_for_a_roster_that_is_away_and_nothing_is_told_again(
    stage: Stage,
) -> None:
    stage.open(1)
    await stage.idle()
    stage.emitter.on("sse.push", lambda push: setattr(stage.roster, "away", push.data["user_id"] == 2))
    stage.roster.acknowledged.clear()
    stage.open(2)
    await until(lambda: stage.roster.away)
    assert stage.roster.acknowledged == set()
    stage.roster.away = False
    await stage.idle()
    assert stage.roster.acknowledged == {"2"}
    assert stage.told == [(2, True, ["1"])]


async def test_users_who_are_taken_back_quietly_are_acknowledged(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    stage.roster.acknowledged.clear()
    stage.roster.lose(0.05)
    await stage.idle()
    assert stage.roster.acknowledged == {"1"}


async def test_one_of_whom_a_dead_node_had_yet_to_tell_is_told_of_as_they_are(stage: Stage) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.roster.untold({"2": stage.clock() - 20, "3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1", "2"]), (2, True, ["1"])]


async def test_one_who_came_back_elsewhere_while_they_were_told_of_as_gone_is_online(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    acknowledged: list[bool] = []

    def come_back(_: Any) -> None:
        stage.roster._active.setdefault("3", stage.clock())
        acknowledged.append("3" in stage.roster.acknowledged)

    stage.emitter.on("sse.push", come_back)
    stage.roster.untold({"3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1"]), (3, True, ["1"])]
    assert acknowledged == [False, False], "not before the last word"


async def test_more_friends_than_one_event_may_name_are_told_by_several(stage: Stage) -> None:
    friends = range(2, 2 * MAX_USERS + 5)
    stage.circles.users = range(1, friends.stop)
    await stage.roster.move([str(friend) for friend in friends], [], stage.clock())
    stage.open(1)
    await stage.idle()
    assert [(user, online, len(audience)) for user, online, audience in stage.told] == [
        (1, True, MAX_USERS), (1, True, MAX_USERS), (1, True, 3)
    ]  # fmt: skip
    assert [int(friend) for _, _, audience in stage.told for friend in audience] == [*friends]


async def test_telling_that_crashes_is_over(
    stage: Stage, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.open(1)
    await stage.idle()
    with monkeypatch.context() as patched:
        patched.setattr(clerk, "change", None)
        stage.open(2)
        await until(lambda: "presence.crashed" in [line["event"] for line in logged])
        await stage.idle()
    assert not stage.presence.is_telling
    watch, connection = stage.open(3)
    stage.happens_while_looking(lambda: stage.deliver(watch, "meanwhile"))
    await stage.idle()
    assert connection.names == ["initial", "meanwhile"]


async def test_crash_is_logged_and_does_not_end_it(stage: Stage, logged: list[Any]) -> None:
    stage.open(1)
    await stage.idle()
    original, stage.circles.of = stage.circles.of, None  # type: ignore[assignment, method-assign]
    _, connection = stage.open(2)
    await until(lambda: "presence.crashed" in [line["event"] for line in logged])
    stage.circles.of = original  # type: ignore[method-assign]
    await stage.idle()
    assert connection.names == ["initial"]
    stage.open(3)
    await stage.idle()
    assert (3, True, ["1", "2"]) in stage.told
