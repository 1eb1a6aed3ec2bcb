"""Which users of a node are online, and what happens when the registry loses data or the node closes.

tests/handlers/presence/ tests the same through HTTP.
"""

from collections.abc import Collection
from typing import Any

from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def lose_two_users(harness: PresenceHarness, *, resync_s: float) -> None:
    """The registry loses the data of users 1 and 2; all nodes register again within *resync_s* seconds."""
    for user in (1, 2):
        harness.open(user)
    await harness.idle()
    harness.announced.clear()
    harness.registry.lose_data(resync_s)
    await harness.idle()


async def test_change_is_announced_to_friends_who_are_online(harness: PresenceHarness) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    session, _ = harness.open(3)
    await harness.idle()
    session.closed()
    await harness.idle()
    assert harness.announced[-2:] == [(3, True, ["1", "2"]), (3, False, ["1", "2"])]
    session.closed()


async def test_users_register_again_after_data_loss_and_friends_see_nothing(
    harness: PresenceHarness,
) -> None:
    await lose_two_users(harness, resync_s=0.05)
    assert (await harness.registry.online(["1", "2"])).keys() == {"1", "2"}
    assert harness.announced == []


async def test_user_who_joins_during_data_loss_is_announced(
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


async def test_user_whose_join_was_suppressed_is_announced_at_the_next_join(
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


async def test_nobody_leaves_and_no_initial_is_sent_until_all_nodes_have_registered_again(
    harness: PresenceHarness,
) -> None:
    connections = [harness.open(1)[1], harness.open(1)[1]]
    leaving, _ = harness.open(2)
    elsewhere, _ = harness.open(3)
    await harness.idle()
    harness.announced.clear()
    harness.registry.unavailable = True
    updates = harness.registry.updates
    for session in (leaving, elsewhere):
        session.closed()
    await until(lambda: harness.registry.updates > updates + 1)
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


async def test_users_of_a_node_that_registers_too_late_are_announced(harness: PresenceHarness) -> None:
    harness.open(1)
    harness.open(2)
    await harness.idle()
    harness.announced.clear()
    harness.registry.lose_data(0.05)
    harness.registry.resyncing = False
    await harness.idle()
    assert sorted(harness.announced) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_no_initial_is_sent_before_the_registration_is_verified(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    _, connection = harness.open(1)
    harness.open(2)
    await harness.idle()
    versions = harness.friend_lists.versions

    async def lose_data_first(users: Collection[int]) -> dict[int, int]:
        harness.registry.lose_data(0.05, report=False)
        harness.tracker.refresh()
        return await versions(users)

    harness.friend_lists.versions = lose_data_first  # type: ignore[method-assign]
    harness.tracker.check_friend_lists([1])
    await until(lambda: connection.names == ["initial"] * 2)
    assert logged == []
    assert b'"2":{"user_id":2,"is_online":true' in connection.written[-1]


async def test_no_initial_is_sent_of_data_lost_during_the_snapshot(
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


async def test_users_of_a_node_taken_for_dead_are_announced_online(harness: PresenceHarness) -> None:
    await lose_two_users(harness, resync_s=0.0)
    assert sorted(harness.announced) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_close_records_when_users_were_last_seen() -> None:
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


async def test_nobody_is_announced_offline_while_the_node_shuts_down() -> None:
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
