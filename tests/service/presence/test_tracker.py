"""Who of a node's users is online, and what is kept at the end. tests/handlers/presence/ sees it through HTTP."""

from collections.abc import Collection
from typing import Any

from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def forget_two(stage: PresenceHarness, *, settles: float) -> None:
    """The registry forgets users 1 and 2, says so, and that in *settles* seconds all nodes have told whom they hold."""
    for user in (1, 2):
        stage.open(user)
    await stage.idle()
    stage.told.clear()
    stage.registry.lose(settles)
    await stage.idle()


async def test_change_is_told_to_the_friends_who_are_online(stage: PresenceHarness) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    watch, _ = stage.open(3)
    await stage.idle()
    watch.closed()
    await stage.idle()
    assert stage.told[-2:] == [(3, True, ["1", "2"]), (3, False, ["1", "2"])]
    watch.closed()


async def test_roster_that_lost_all_learns_again_who_is_here_and_friends_see_nothing(
    stage: PresenceHarness,
) -> None:
    await forget_two(stage, settles=0.05)
    assert (await stage.registry.present(["1", "2"])).keys() == {"1", "2"}
    assert stage.told == []


async def test_user_who_was_about_to_come_when_the_roster_lost_all_is_told_of(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    stage.registry.away = True
    stage.open(2)
    await until(lambda: stage.registry.updates > 1)
    stage.registry.lose(0.05)
    stage.registry.away = False
    await stage.idle()
    assert stage.told == [(2, True, ["1"])]


async def test_user_who_was_taken_back_quietly_is_told_of_when_they_come_again(
    stage: PresenceHarness,
) -> None:
    stage.open(1)
    watch, _ = stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.registry.lose(0.02)
    await until(lambda: stage.registry.holds("2"))
    watch.closed()
    await until(lambda: not stage.registry.holds("2"))
    await stage.idle()
    stage.open(2)
    await stage.idle()
    assert stage.told == [(2, False, ["1"]), (2, True, ["1"])]


async def test_nobody_leaves_and_nothing_is_shown_until_all_nodes_have_said_whom_they_hold(
    stage: PresenceHarness,
) -> None:
    connections = [stage.open(1)[1], stage.open(1)[1]]
    leaving, _ = stage.open(2)
    held_elsewhere, _ = stage.open(3)
    await stage.idle()
    stage.told.clear()
    stage.registry.away = True
    moves = stage.registry.updates
    for watch in (leaving, held_elsewhere):
        watch.closed()
    await until(lambda: stage.registry.updates > moves + 1)
    stage.registry.lose(0.2)
    stage.presence.refresh()
    stage.registry.away = False
    await until(lambda: stage.registry.holds("2"))
    stage.registry.held_elsewhere.add("3")
    _, new = stage.open(4)
    assert [connection.names for connection in (*connections, new)] == [["initial"], ["initial"], []]
    await until(lambda: not stage.registry.holds("2"))
    await stage.idle()
    assert stage.told == [(4, True, ["1", "2", "3"]), (2, False, ["1", "3", "4"])]
    assert [connection.names for connection in (*connections, new)] == [
        ["initial"] * 2,
        ["initial"] * 2,
        ["initial"],
    ]


async def test_node_that_says_too_late_whom_it_holds_tells_of_them(stage: PresenceHarness) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.registry.lose(0.05)
    stage.registry.resyncing = False
    await stage.idle()
    assert sorted(stage.told) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_nothing_is_shown_of_a_roster_that_may_have_lost_all_before_it_is_asked(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    _, connection = stage.open(1)
    stage.open(2)
    await stage.idle()
    known = stage.friend_lists.versions

    async def known_meanwhile(users: Collection[int]) -> dict[int, int]:
        stage.registry.lose(0.05, asked=True)
        stage.presence.refresh()
        return await known(users)

    stage.friend_lists.versions = known_meanwhile  # type: ignore[method-assign]
    stage.presence.check_friend_lists([1])
    await until(lambda: connection.names == ["initial"] * 2)
    assert logged == []
    assert b'"2":{"user_id":2,"is_online":true' in connection.written[-1]


async def test_nothing_is_shown_of_a_roster_that_loses_all_while_it_is_looked(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    losses = [0.05]

    def lose_once() -> None:
        if losses:
            stage.registry.lose(losses.pop())

    stage.happens_while_looking(lose_once)
    _, connection = stage.open(2)
    await until(lambda: connection.names)
    assert b'"1":{"user_id":1,"is_online":true' in connection.written[-1]


async def test_node_that_was_taken_for_dead_tells_that_its_users_are_online(stage: PresenceHarness) -> None:
    await forget_two(stage, settles=0.0)
    assert sorted(stage.told) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_stream_that_was_never_opened_leaves_nothing(stage: PresenceHarness) -> None:
    watch = await stage.presence.watch(1)
    assert watch is not None
    watch.closed()
    assert len(stage.presence) == 0
    assert await stage.presence.watch(77) is None


async def test_close_keeps_when_everybody_was_last_seen() -> None:
    stage = PresenceHarness(grace=60.0)
    stage.open(1)
    watch, _ = stage.open(2)
    await until(lambda: stage.presence.is_idle)
    watch.closed()
    stage.clock.now += 7
    await stage.presence.close()
    assert stage.friend_lists.seen == {1: stage.clock.now, 2: stage.clock.now - 7}
    assert stage.registry.closed
    await stage.emitter.close()


async def test_close_needs_no_database() -> None:
    stage = PresenceHarness()
    stage.open(1)
    await stage.idle()
    stage.friend_lists.away = True
    await stage.presence.close()
    assert stage.registry.closed
    await stage.emitter.close()


async def test_nobody_is_told_of_as_gone_while_the_node_goes_away() -> None:
    stage = PresenceHarness()
    stage.open(1)
    watch, _ = stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.presence.drain()
    watch.closed()
    await stage.presence.close()
    assert stage.told == []
    await stage.emitter.close()
