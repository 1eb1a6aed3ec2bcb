"""Telling friends, once, when registry, database or engine are away, or a node died."""

from typing import Any

import pytest

from sse_push.events.event import MAX_USERS
from sse_push.service.presence import notifier
from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_changes_wait_for_a_database_that_is_away_and_the_last_counts(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    stage.open(1)
    await stage.idle()
    stage.friend_lists.away = True
    left, _ = stage.open(2)
    came, _ = stage.open(3)
    _, connection = stage.open(1)
    await until(lambda: stage.registry.updates > 1)
    left.closed()
    came.closed()
    await until(lambda: len(stage.presence) == 1)
    stage.open(3)
    await until(lambda: [line["event"] for line in logged] == ["presence.failed"])
    assert connection.written == []
    stage.friend_lists.away = False
    await stage.idle()
    assert sorted(stage.told) == [(2, False, ["1", "3"]), (3, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_moves_wait_for_a_roster_that_is_away_which_is_told_once(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    stage.open(1)
    await stage.idle()
    stage.registry.away = True
    _, connection = stage.open(2)
    await until(lambda: stage.registry.updates > 3)
    assert connection.written == []
    stage.registry.away = False
    await stage.idle()
    assert stage.told == [(2, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_check_waits_for_a_roster_that_is_away(stage: PresenceHarness, logged: list[Any]) -> None:
    stage.registry.away = True
    stage.presence.refresh()
    await until(lambda: logged)
    stage.registry.away = False
    await stage.idle()
    assert stage.registry.checks == 1


async def test_change_waits_for_an_engine_that_cannot_carry_it_to_other_nodes(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    stage.engine.reachable = False
    stage.open(2)
    await until(lambda: stage.friend_lists.seen.keys() == {1, 2})
    assert stage.told == []
    stage.engine.reachable = True
    await stage.idle()
    assert stage.told == [(2, True, ["1"])]


async def test_change_that_may_have_been_lost_on_its_way_is_told_again(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    stage.registry.on_pending({"3": stage.clock() - 20})
    stage.engine.loses = True
    await until(lambda: stage.told)
    stage.engine.loses = False
    await stage.idle()
    assert stage.told[-1] == (3, False, ["1"])
    assert len(stage.told) > 1


async def test_move_that_was_done_and_not_answered_is_told_all_the_same(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    for online in (True, False):
        stage.registry.answers_away = True
        moves = stage.registry.updates
        if online:
            watch, _ = stage.open(2)
        else:
            watch.closed()
        await until(lambda moves=moves: stage.registry.updates > moves + 1)
        stage.registry.answers_away = False
        await stage.idle()
        assert stage.told.pop() == (2, online, ["1"])
    assert stage.told == []


async def test_users_of_a_dead_node_are_told_of_as_gone_when_they_were_active_last(
    stage: PresenceHarness,
) -> None:
    stage.open(1)
    await stage.idle()
    stage.registry.on_pending({"3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1"])]
    assert stage.friend_lists.seen[3] == stage.clock() - 20


async def test_of_two_who_tell_when_a_user_was_active_last_the_later_counts(stage: PresenceHarness) -> None:
    for ago in (20, 10, 30):
        stage.registry.on_pending({"3": stage.clock() - ago})
    await stage.idle()
    assert stage.friend_lists.seen[3] == stage.clock() - 10


async def test_two_who_became_friends_are_told_when_the_database_is_back(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.friend_lists.away = True
    stage.presence.met(1, 2)
    await until(lambda: logged)
    stage.friend_lists.away = False
    await stage.idle()
    assert sorted(stage.told) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_two_who_parted_again_at_once_are_told_nothing(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    stage.open(1)
    await stage.idle()
    stage.presence.met(1, 7)
    await stage.idle()
    assert (stage.told, logged) == ([], [])


async def test_what_is_told_is_acknowledged_and_nothing_before(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    stage.registry.acknowledged.clear()
    stage.engine.loses = True
    stage.registry.on_pending({"3": stage.clock() - 20})
    await until(lambda: len(stage.told) > 2)
    assert stage.registry.acknowledged == set()
    stage.engine.loses = False
    await stage.idle()
    assert stage.registry.acknowledged == {"3"}


async def test_acknowledgement_waits_for_a_roster_that_is_away_and_nothing_is_told_again(
    stage: PresenceHarness,
) -> None:
    stage.open(1)
    await stage.idle()
    stage.emitter.on("sse.push", lambda push: setattr(stage.registry, "away", push.data["user_id"] == 2))
    stage.registry.acknowledged.clear()
    stage.open(2)
    await until(lambda: stage.registry.away)
    assert stage.registry.acknowledged == set()
    stage.registry.away = False
    await stage.idle()
    assert stage.registry.acknowledged == {"2"}
    assert stage.told == [(2, True, ["1"])]


async def test_users_who_are_taken_back_quietly_are_acknowledged(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    stage.registry.acknowledged.clear()
    stage.registry.lose(0.05)
    await stage.idle()
    assert stage.registry.acknowledged == {"1"}


async def test_one_of_whom_a_dead_node_had_yet_to_tell_is_told_of_as_they_are(stage: PresenceHarness) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.registry.on_pending({"2": stage.clock() - 20, "3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1", "2"]), (2, True, ["1"])]


async def test_one_who_came_back_elsewhere_while_they_were_told_of_as_gone_is_online(
    stage: PresenceHarness,
) -> None:
    stage.open(1)
    await stage.idle()
    acknowledged: list[bool] = []

    def come_back(_: Any) -> None:
        stage.registry._active.setdefault("3", stage.clock())
        acknowledged.append("3" in stage.registry.acknowledged)

    stage.emitter.on("sse.push", come_back)
    stage.registry.on_pending({"3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1"]), (3, True, ["1"])]
    assert acknowledged == [False, False], "not before the last word"


async def test_more_friends_than_one_event_may_name_are_told_by_several(stage: PresenceHarness) -> None:
    friends = range(2, 2 * MAX_USERS + 5)
    stage.friend_lists.users = range(1, friends.stop)
    await stage.registry.update([str(friend) for friend in friends], [], stage.clock())
    stage.open(1)
    await stage.idle()
    assert [(user, online, len(audience)) for user, online, audience in stage.told] == [
        (1, True, MAX_USERS), (1, True, MAX_USERS), (1, True, 3)
    ]  # fmt: skip
    assert [int(friend) for _, _, audience in stage.told for friend in audience] == [*friends]


async def test_telling_that_crashes_is_over(
    stage: PresenceHarness, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.open(1)
    await stage.idle()
    with monkeypatch.context() as patched:
        patched.setattr(notifier, "change", None)
        stage.open(2)
        await until(lambda: "presence.unhandled_error" in [line["event"] for line in logged])
        await stage.idle()
    assert not stage.presence.is_notifying
    watch, connection = stage.open(3)
    stage.happens_while_looking(lambda: stage.deliver(watch, "meanwhile"))
    await stage.idle()
    assert connection.names == ["initial", "meanwhile"]


async def test_crash_is_logged_and_does_not_end_it(stage: PresenceHarness, logged: list[Any]) -> None:
    stage.open(1)
    await stage.idle()
    original, stage.friend_lists.of = stage.friend_lists.of, None  # type: ignore[assignment, method-assign]
    _, connection = stage.open(2)
    await until(lambda: "presence.unhandled_error" in [line["event"] for line in logged])
    stage.friend_lists.of = original  # type: ignore[method-assign]
    await stage.idle()
    assert connection.names == ["initial"]
    stage.open(3)
    await stage.idle()
    assert (3, True, ["1", "2"]) in stage.told
