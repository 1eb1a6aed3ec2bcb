"""What a stream gets, and in which order, while a snapshot of its friends is taken."""

from typing import Any

from sse_push.service.presence.subscription import MAX_BUFFER_BYTES
from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_event_during_the_snapshot_is_written_after_initial(harness: PresenceHarness) -> None:
    harness.friend_lists.unavailable = True
    session, connection = harness.open(1)
    harness.deliver(session, "early")
    assert connection.written == []
    harness.on_friend_lists_read(lambda: harness.deliver(session, "meanwhile"))
    harness.friend_lists.unavailable = False
    await harness.idle()
    assert connection.names == ["initial", "meanwhile"]
    harness.deliver(session, "later")
    assert connection.names[2:] == ["later"]


async def test_engine_is_subscribed_before_the_snapshot_is_taken(harness: PresenceHarness) -> None:
    session, _ = harness.open(1)
    caught_up: list[str] = []
    harness.on_friend_lists_read(lambda: caught_up.extend(harness.engine.caught_up))
    await harness.idle()
    assert caught_up == [*session.keys]


async def test_event_during_a_repeated_snapshot_is_written_after_it(harness: PresenceHarness) -> None:
    session, connection = harness.open(1)
    await harness.idle()
    harness.on_friend_lists_read(lambda: harness.deliver(session, "meanwhile"))
    harness.tracker.refresh()
    await harness.idle()
    assert connection.names == ["initial", "initial", "meanwhile"]
    harness.deliver(session, "later")
    assert connection.names[3:] == ["later"]


async def test_change_that_initial_includes_is_not_repeated_after_it(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    session, connection = harness.open(1)
    harness.open(2)
    harness.emitter.on("sse.push", lambda _: harness.deliver(session, "status_change"))
    await harness.idle()
    assert (harness.announced, connection.names) == ([(2, True, ["1"])], ["initial"])


async def test_overflow_of_the_buffer_is_followed_by_another_snapshot(harness: PresenceHarness) -> None:
    session, connection = harness.open(1)
    sizes = iter([MAX_BUFFER_BYTES, 10])

    def deliver_three() -> None:
        harness.deliver(session, "early")
        harness.deliver(session, "large", next(sizes))
        harness.deliver(session, "late")

    harness.on_friend_lists_read(deliver_three)
    await harness.idle()
    assert connection.names == ["initial", "late", "initial", "early", "large", "late"]
    harness.deliver(session, "live")
    assert connection.names[6:] == ["live"]


async def test_refresh_sends_every_stream_initial(harness: PresenceHarness) -> None:
    connections = [harness.open(user)[1] for user in (1, 1, 2)]
    await harness.idle()
    harness.announced.clear()
    harness.tracker.refresh()
    await harness.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2] * 3
    assert harness.announced == []


async def test_changed_friend_list_sends_initial_once(harness: PresenceHarness) -> None:
    connections = [harness.open(user)[1] for user in (1, 1, 2)]
    await harness.idle()
    for _ in range(2):
        harness.tracker.check_friend_lists([1, 77])
        await harness.idle()
        harness.friend_lists.version = 3
    harness.tracker.check_friend_lists([1])
    await harness.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2, ["initial"] * 2, ["initial"]]


async def test_removed_account_sends_initial_once(harness: PresenceHarness) -> None:
    _, connection = harness.open(1)
    await harness.idle()
    harness.friend_lists.users = range(2, 5)
    for _ in range(2):
        harness.tracker.check_friend_lists([1])
        await harness.idle()
    assert connection.names == ["initial", "initial"]


async def test_stream_closed_before_its_friend_list_is_checked_gets_nothing(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    session, connection = harness.open(1)
    await harness.idle()
    harness.friend_lists.version = 1
    harness.tracker.check_friend_lists([1])
    session.closed()
    await harness.idle()
    assert (connection.names, logged) == (["initial"], [])


async def test_stream_closed_while_its_snapshot_fails_is_not_retried(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    session, _ = harness.open(1)
    reads = 0

    def fail_once_and_close() -> None:
        nonlocal reads
        reads += 1
        harness.friend_lists.unavailable = reads == 1
        session.closed()

    harness.on_friend_lists_read(fail_once_and_close)
    await until(lambda: logged)
    harness.friend_lists.unavailable = False
    await harness.idle()
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_refresh_waits_until_all_nodes_have_registered_again(harness: PresenceHarness) -> None:
    _, connection = harness.open(1)
    await harness.idle()
    harness.registry.listener.on_registration_lost(0.05)
    harness.tracker.refresh()
    await harness.idle()
    assert connection.names == ["initial"]
    await until(lambda: connection.names == ["initial", "initial"])


async def test_failed_check_of_friend_lists_is_left_to_the_next(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    _, connection = harness.open(1)
    await harness.idle()
    harness.friend_lists.version, harness.friend_lists.unavailable = 1, True
    harness.tracker.check_friend_lists([1])
    await harness.idle()
    assert [line["event"] for line in logged] == ["presence.failed"]
    harness.friend_lists.unavailable = False
    harness.tracker.check_friend_lists([1])
    await harness.idle()
    assert connection.names == ["initial", "initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]
