"""What a stream is told, and in which order, while it is looked how all friends are."""

from typing import Any

from sse_push.service.presence.subscription import MAX_BUFFER_BYTES
from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_what_happens_before_initial_is_written_comes_behind_it(harness: PresenceHarness) -> None:
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


async def test_stream_is_heard_before_it_is_looked_how_the_friends_are(harness: PresenceHarness) -> None:
    session, _ = harness.open(1)
    settled: list[str] = []
    harness.on_friend_lists_read(lambda: settled.extend(harness.engine.caught_up))
    await harness.idle()
    assert settled == [*session.keys]


async def test_what_happens_while_a_stream_is_told_anew_comes_behind_that(harness: PresenceHarness) -> None:
    session, connection = harness.open(1)
    await harness.idle()
    harness.on_friend_lists_read(lambda: harness.deliver(session, "meanwhile"))
    harness.tracker.refresh()
    await harness.idle()
    assert connection.names == ["initial", "initial", "meanwhile"]
    harness.deliver(session, "later")
    assert connection.names[3:] == ["later"]


async def test_change_that_initial_shows_already_is_not_told_behind_it(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    session, connection = harness.open(1)
    harness.open(2)
    harness.emitter.on("sse.push", lambda _: harness.deliver(session, "status_change"))
    await harness.idle()
    assert (harness.announced, connection.names) == ([(2, True, ["1"])], ["initial"])


async def test_stream_that_misses_what_could_not_be_held_back_is_told_anew(harness: PresenceHarness) -> None:
    session, connection = harness.open(1)
    looks = iter([MAX_BUFFER_BYTES, 10])

    def happen() -> None:
        harness.deliver(session, "early")
        harness.deliver(session, "large", next(looks))
        harness.deliver(session, "late")

    harness.on_friend_lists_read(happen)
    await harness.idle()
    assert connection.names == ["initial", "late", "initial", "early", "large", "late"]
    harness.deliver(session, "live")
    assert connection.names[6:] == ["live"]


async def test_buffer_of_a_snapshot_is_bounded(harness: PresenceHarness) -> None:
    session, connection = harness.open(1)
    counts = iter([10, 0])

    def deliver_large() -> None:
        for _ in range(next(counts)):
            harness.deliver(session, "large", MAX_BUFFER_BYTES // 3)

    harness.on_friend_lists_read(deliver_large)
    await harness.idle()
    assert all(len(data) < 2 * MAX_BUFFER_BYTES for data in connection.written)
    assert connection.names.count("initial") == 2


async def test_refresh_tells_every_stream_anew(harness: PresenceHarness) -> None:
    connections = [harness.open(user)[1] for user in (1, 1, 2)]
    await harness.idle()
    harness.announced.clear()
    harness.tracker.refresh()
    await harness.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2] * 3
    assert harness.announced == []


async def test_stream_whose_circle_changed_is_told_anew_once(harness: PresenceHarness) -> None:
    connections = [harness.open(user)[1] for user in (1, 1, 2)]
    await harness.idle()
    for _ in range(2):
        harness.tracker.check_friend_lists([1, 77])
        await harness.idle()
        harness.friend_lists.version = 3
    harness.tracker.check_friend_lists([1])
    await harness.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2, ["initial"] * 2, ["initial"]]


async def test_stream_whose_user_was_removed_is_told_anew_once(harness: PresenceHarness) -> None:
    _, connection = harness.open(1)
    await harness.idle()
    harness.friend_lists.users = range(2, 5)
    for _ in range(2):
        harness.tracker.check_friend_lists([1])
        await harness.idle()
    assert connection.names == ["initial", "initial"]


async def test_stream_that_is_closed_before_its_circle_is_looked_at_is_told_nothing(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    session, connection = harness.open(1)
    await harness.idle()
    harness.friend_lists.version = 1
    harness.tracker.check_friend_lists([1])
    session.closed()
    await harness.idle()
    assert (connection.names, logged) == (["initial"], [])


async def test_stream_that_is_closed_while_it_could_not_be_told_is_asked_for_no_more(
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


async def test_refresh_waits_until_all_nodes_have_said_whom_they_hold(harness: PresenceHarness) -> None:
    _, connection = harness.open(1)
    await harness.idle()
    harness.registry.listener.on_registration_lost(0.05)
    harness.tracker.refresh()
    await harness.idle()
    assert connection.names == ["initial"]
    await until(lambda: connection.names == ["initial", "initial"])


async def test_look_at_circles_that_fails_is_left_to_the_next(
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
