"""Telling friends, once, when registry, database or engine are away, or a node died."""

from typing import Any

import pytest

from sse_push.events.event import MAX_USERS
from sse_push.service.presence import notifier
from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_changes_wait_for_a_database_that_is_away_and_the_last_counts(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    harness.friend_lists.unavailable = True
    left, _ = harness.open(2)
    came, _ = harness.open(3)
    _, connection = harness.open(1)
    await until(lambda: harness.registry.updates > 1)
    left.closed()
    came.closed()
    await until(lambda: len(harness.tracker) == 1)
    harness.open(3)
    await until(lambda: [line["event"] for line in logged] == ["presence.failed"])
    assert connection.written == []
    harness.friend_lists.unavailable = False
    await harness.idle()
    assert sorted(harness.announced) == [(2, False, ["1", "3"]), (3, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_moves_wait_for_a_roster_that_is_away_which_is_told_once(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.unavailable = True
    _, connection = harness.open(2)
    await until(lambda: harness.registry.updates > 3)
    assert connection.written == []
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.announced == [(2, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_check_waits_for_a_roster_that_is_away(harness: PresenceHarness, logged: list[Any]) -> None:
    harness.registry.unavailable = True
    harness.tracker.refresh()
    await until(lambda: logged)
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.registry.verifications == 1


async def test_change_waits_for_an_engine_that_cannot_carry_it_to_other_nodes(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    harness.engine.reachable = False
    harness.open(2)
    await until(lambda: harness.friend_lists.last_seen.keys() == {1, 2})
    assert harness.announced == []
    harness.engine.reachable = True
    await harness.idle()
    assert harness.announced == [(2, True, ["1"])]


async def test_change_that_may_have_been_lost_on_its_way_is_told_again(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    harness.engine.loses_events = True
    await until(lambda: harness.announced)
    harness.engine.loses_events = False
    await harness.idle()
    assert harness.announced[-1] == (3, False, ["1"])
    assert len(harness.announced) > 1


async def test_move_that_was_done_and_not_answered_is_told_all_the_same(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    for online in (True, False):
        harness.registry.loses_replies = True
        moves = harness.registry.updates
        if online:
            session, _ = harness.open(2)
        else:
            session.closed()
        await until(lambda moves=moves: harness.registry.updates > moves + 1)
        harness.registry.loses_replies = False
        await harness.idle()
        assert harness.announced.pop() == (2, online, ["1"])
    assert harness.announced == []


async def test_users_of_a_dead_node_are_told_of_as_gone_when_they_were_active_last(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    await harness.idle()
    assert harness.announced == [(3, False, ["1"])]
    assert harness.friend_lists.last_seen[3] == harness.clock() - 20


async def test_of_two_who_tell_when_a_user_was_active_last_the_later_counts(harness: PresenceHarness) -> None:
    for ago in (20, 10, 30):
        harness.registry.listener.on_pending({"3": harness.clock() - ago})
    await harness.idle()
    assert harness.friend_lists.last_seen[3] == harness.clock() - 10


async def test_two_who_became_friends_are_told_when_the_database_is_back(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.friend_lists.unavailable = True
    harness.tracker.announce_friendship(1, 2)
    await until(lambda: logged)
    harness.friend_lists.unavailable = False
    await harness.idle()
    assert sorted(harness.announced) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_two_who_parted_again_at_once_are_told_nothing(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    harness.tracker.announce_friendship(1, 7)
    await harness.idle()
    assert (harness.announced, logged) == ([], [])


async def test_what_is_told_is_acknowledged_and_nothing_before(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.acked.clear()
    harness.engine.loses_events = True
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    await until(lambda: len(harness.announced) > 2)
    assert harness.registry.acked == set()
    harness.engine.loses_events = False
    await harness.idle()
    assert harness.registry.acked == {"3"}


async def test_acknowledgement_waits_for_a_roster_that_is_away_and_nothing_is_told_again(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    harness.emitter.on(
        "sse.push", lambda push: setattr(harness.registry, "unavailable", push.data["user_id"] == 2)
    )
    harness.registry.acked.clear()
    harness.open(2)
    await until(lambda: harness.registry.unavailable)
    assert harness.registry.acked == set()
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.registry.acked == {"2"}
    assert harness.announced == [(2, True, ["1"])]


async def test_users_who_are_taken_back_quietly_are_acknowledged(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.acked.clear()
    harness.registry.lose_data(0.05)
    await harness.idle()
    assert harness.registry.acked == {"1"}


async def test_one_of_whom_a_dead_node_had_yet_to_tell_is_told_of_as_they_are(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.registry.listener.on_pending({"2": harness.clock() - 20, "3": harness.clock() - 20})
    await harness.idle()
    assert harness.announced == [(3, False, ["1", "2"]), (2, True, ["1"])]


async def test_one_who_came_back_elsewhere_while_they_were_told_of_as_gone_is_online(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    acknowledged: list[bool] = []

    def come_back(_: Any) -> None:
        harness.registry.join_elsewhere("3", harness.clock())
        acknowledged.append("3" in harness.registry.acked)

    harness.emitter.on("sse.push", come_back)
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    await harness.idle()
    assert harness.announced == [(3, False, ["1"]), (3, True, ["1"])]
    assert acknowledged == [False, False], "not before the last word"


async def test_more_friends_than_one_event_may_name_are_told_by_several(harness: PresenceHarness) -> None:
    friends = range(2, 2 * MAX_USERS + 5)
    harness.friend_lists.users = range(1, friends.stop)
    await harness.registry.update([str(friend) for friend in friends], [], harness.clock())
    harness.open(1)
    await harness.idle()
    assert [(user, online, len(audience)) for user, online, audience in harness.announced] == [
        (1, True, MAX_USERS), (1, True, MAX_USERS), (1, True, 3)
    ]  # fmt: skip
    assert [int(friend) for _, _, audience in harness.announced for friend in audience] == [*friends]


async def test_telling_that_crashes_is_over(
    harness: PresenceHarness, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.open(1)
    await harness.idle()
    with monkeypatch.context() as patched:
        patched.setattr(notifier, "status_change", None)
        harness.open(2)
        await until(lambda: "presence.unhandled_error" in [line["event"] for line in logged])
        await harness.idle()
    assert not harness.tracker.is_announcing()
    session, connection = harness.open(3)
    harness.on_friend_lists_read(lambda: harness.deliver(session, "meanwhile"))
    await harness.idle()
    assert connection.names == ["initial", "meanwhile"]


async def test_crash_is_logged_and_does_not_end_it(harness: PresenceHarness, logged: list[Any]) -> None:
    harness.open(1)
    await harness.idle()
    original, harness.friend_lists.of = harness.friend_lists.of, None  # type: ignore[assignment, method-assign]
    _, connection = harness.open(2)
    await until(lambda: "presence.unhandled_error" in [line["event"] for line in logged])
    harness.friend_lists.of = original  # type: ignore[method-assign]
    await harness.idle()
    assert connection.names == ["initial"]
    harness.open(3)
    await harness.idle()
    assert (3, True, ["1", "2"]) in harness.announced
