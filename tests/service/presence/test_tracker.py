"""Who of a node's users is online, and what is kept at the end. tests/handlers/presence/ sees it through HTTP."""

from collections.abc import Collection
from typing import Any

from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def forget_two(harness: PresenceHarness, *, settles: float) -> None:
    """The registry forgets users 1 and 2, says so, and that in *settles* seconds all nodes have told whom they hold."""
    for user in (1, 2):
        harness.open(user)
    await harness.idle()
    harness.announced.clear()
    harness.registry.lose_data(settles)
    await harness.idle()


async def test_change_is_told_to_the_friends_who_are_online(harness: PresenceHarness) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    session, _ = harness.open(3)
    await harness.idle()
    session.closed()
    await harness.idle()
    assert harness.announced[-2:] == [(3, True, ["1", "2"]), (3, False, ["1", "2"])]
    session.closed()


async def test_roster_that_lost_all_learns_again_who_is_here_and_friends_see_nothing(
    harness: PresenceHarness,
) -> None:
    await forget_two(harness, settles=0.05)
    assert (await harness.registry.online(["1", "2"])).keys() == {"1", "2"}
    assert harness.announced == []


async def test_user_who_was_about_to_come_when_the_roster_lost_all_is_told_of(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.unavailable = True
    harness.open(2)
    await until(lambda: harness.registry.updates > 1)
    harness.registry.lose_data(0.05)
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.announced == [(2, True, ["1"])]


async def test_user_who_was_taken_back_quietly_is_told_of_when_they_come_again(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    session, _ = harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.registry.lose_data(0.02)
    await until(lambda: harness.registry.has("2"))
    session.closed()
    await until(lambda: not harness.registry.has("2"))
    await harness.idle()
    harness.open(2)
    await harness.idle()
    assert harness.announced == [(2, False, ["1"]), (2, True, ["1"])]


async def test_nobody_leaves_and_nothing_is_shown_until_all_nodes_have_said_whom_they_hold(
    harness: PresenceHarness,
) -> None:
    connections = [harness.open(1)[1], harness.open(1)[1]]
    leaving, _ = harness.open(2)
    held_elsewhere, _ = harness.open(3)
    await harness.idle()
    harness.announced.clear()
    harness.registry.unavailable = True
    moves = harness.registry.updates
    for session in (leaving, held_elsewhere):
        session.closed()
    await until(lambda: harness.registry.updates > moves + 1)
    harness.registry.lose_data(0.2)
    harness.tracker.refresh()
    harness.registry.unavailable = False
    await until(lambda: harness.registry.has("2"))
    harness.registry.registered_elsewhere.add("3")
    _, new = harness.open(4)
    assert [connection.names for connection in (*connections, new)] == [["initial"], ["initial"], []]
    await until(lambda: not harness.registry.has("2"))
    await harness.idle()
    assert harness.announced == [(4, True, ["1", "2", "3"]), (2, False, ["1", "3", "4"])]
    assert [connection.names for connection in (*connections, new)] == [
        ["initial"] * 2,
        ["initial"] * 2,
        ["initial"],
    ]


async def test_node_that_says_too_late_whom_it_holds_tells_of_them(harness: PresenceHarness) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.registry.lose_data(0.05)
    harness.registry.resyncing = False
    await harness.idle()
    assert sorted(harness.announced) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_nothing_is_shown_of_a_roster_that_may_have_lost_all_before_it_is_asked(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    _, connection = harness.open(1)
    harness.open(2)
    await harness.idle()
    known = harness.friend_lists.versions

    async def known_meanwhile(users: Collection[int]) -> dict[int, int]:
        harness.registry.lose_data(0.05, report=False)
        harness.tracker.refresh()
        return await known(users)

    harness.friend_lists.versions = known_meanwhile  # type: ignore[method-assign]
    harness.tracker.check_friend_lists([1])
    await until(lambda: connection.names == ["initial"] * 2)
    assert logged == []
    assert b'"2":{"user_id":2,"is_online":true' in connection.written[-1]


async def test_nothing_is_shown_of_a_roster_that_loses_all_while_it_is_looked(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    losses = [0.05]

    def lose_once() -> None:
        if losses:
            harness.registry.lose_data(losses.pop())

    harness.on_friend_lists_read(lose_once)
    _, connection = harness.open(2)
    await until(lambda: connection.names)
    assert b'"1":{"user_id":1,"is_online":true' in connection.written[-1]


async def test_node_that_was_taken_for_dead_tells_that_its_users_are_online(harness: PresenceHarness) -> None:
    await forget_two(harness, settles=0.0)
    assert sorted(harness.announced) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_stream_that_was_never_opened_leaves_nothing(harness: PresenceHarness) -> None:
    session = await harness.subscribe(1)
    assert session is not None
    session.closed()
    assert len(harness.tracker) == 0
    assert await harness.subscribe(77) is None


async def test_close_keeps_when_everybody_was_last_seen() -> None:
    harness = PresenceHarness(grace=60.0)
    harness.open(1)
    session, _ = harness.open(2)
    await until(lambda: harness.tracker.is_idle)
    session.closed()
    harness.clock.now += 7
    await harness.tracker.close()
    assert harness.friend_lists.last_seen == {1: harness.clock.now, 2: harness.clock.now - 7}
    assert harness.registry.closed
    await harness.emitter.close()


async def test_close_needs_no_database() -> None:
    harness = PresenceHarness()
    harness.open(1)
    await harness.idle()
    harness.friend_lists.unavailable = True
    await harness.tracker.close()
    assert harness.registry.closed
    await harness.emitter.close()


async def test_nobody_is_told_of_as_gone_while_the_node_goes_away() -> None:
    harness = PresenceHarness()
    harness.open(1)
    session, _ = harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.tracker.drain()
    session.closed()
    await harness.tracker.close()
    assert harness.announced == []
    await harness.emitter.close()
