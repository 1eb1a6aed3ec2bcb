"""Notifying friends: once, though the registry, database or engine is unavailable, or a node died."""

from typing import Any

import pytest

from sse_push.events.event import MAX_USERS
from sse_push.service.presence import notifier
from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_changes_wait_for_the_database_and_the_newest_state_counts(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    harness.friend_lists.unavailable = True
    leaving, _ = harness.open(2)
    returning, _ = harness.open(3)
    _, connection = harness.open(1)
    await until(lambda: harness.registry.updates > 1)
    leaving.closed()
    returning.closed()
    await until(lambda: len(harness.tracker) == 1)
    harness.open(3)
    await until(lambda: [line["event"] for line in logged] == ["presence.failed"])
    assert connection.written == []
    harness.friend_lists.unavailable = False
    await harness.idle()
    assert sorted(harness.announced) == [(2, False, ["1", "3"]), (3, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_change_waits_until_the_engine_reaches_other_nodes(
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


async def test_change_that_may_be_lost_in_the_engine_is_announced_again(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    harness.engine.loses_events = True
    await until(lambda: harness.announced)
    harness.engine.loses_events = False
    await harness.idle()
    assert harness.announced[-1] == (3, False, ["1"])
    assert len(harness.announced) > 1


async def test_users_of_a_dead_node_are_announced_offline_with_their_last_activity(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    await harness.idle()
    assert harness.announced == [(3, False, ["1"])]
    assert harness.friend_lists.last_seen[3] == harness.clock() - 20


async def test_latest_of_several_reported_activities_counts(harness: PresenceHarness) -> None:
    for ago in (20, 10, 30):
        harness.registry.listener.on_pending({"3": harness.clock() - ago})
    await harness.idle()
    assert harness.friend_lists.last_seen[3] == harness.clock() - 10


async def test_friendship_is_announced_when_the_database_is_back(
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


async def test_friendship_that_ended_at_once_is_not_announced(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    harness.tracker.announce_friendship(1, 7)
    await harness.idle()
    assert (harness.announced, logged) == ([], [])


async def test_change_is_acknowledged_only_once_it_is_announced(harness: PresenceHarness) -> None:
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


async def test_pending_user_of_a_dead_node_is_announced_with_the_present_status(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.registry.listener.on_pending({"2": harness.clock() - 20, "3": harness.clock() - 20})
    await harness.idle()
    assert harness.announced == [(3, False, ["1", "2"]), (2, True, ["1"])]


async def test_user_who_returns_on_another_node_meanwhile_is_announced_online_last(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    acknowledged: list[bool] = []

    def return_elsewhere(_: Any) -> None:
        harness.registry.join_elsewhere("3", harness.clock())
        acknowledged.append("3" in harness.registry.acked)

    harness.emitter.on("sse.push", return_elsewhere)
    harness.registry.listener.on_pending({"3": harness.clock() - 20})
    await harness.idle()
    assert harness.announced == [(3, False, ["1"]), (3, True, ["1"])]
    assert acknowledged == [False, False], "only after the last change"


async def test_audience_larger_than_an_event_allows_gets_several_events(harness: PresenceHarness) -> None:
    friends = range(2, 2 * MAX_USERS + 5)
    harness.friend_lists.users = range(1, friends.stop)
    await harness.registry.update([str(friend) for friend in friends], [], harness.clock())
    harness.open(1)
    await harness.idle()
    assert [(user, online, len(audience)) for user, online, audience in harness.announced] == [
        (1, True, MAX_USERS), (1, True, MAX_USERS), (1, True, 3)
    ]  # fmt: skip
    assert [int(friend) for _, _, audience in harness.announced for friend in audience] == [*friends]


async def test_announcing_ends_with_an_unexpected_error(
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
