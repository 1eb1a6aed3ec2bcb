"""What a stream is told, and in which order, while it is looked how all friends are."""

from typing import Any

from sse_push.service.presence.subscription import MAX_BUFFERED_BYTES
from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_what_happens_before_initial_is_written_comes_behind_it(stage: PresenceHarness) -> None:
    stage.friend_lists.away = True
    watch, connection = stage.open(1)
    stage.deliver(watch, "early")
    assert connection.written == []
    stage.happens_while_looking(lambda: stage.deliver(watch, "meanwhile"))
    stage.friend_lists.away = False
    await stage.idle()
    assert connection.names == ["initial", "meanwhile"]
    stage.deliver(watch, "later")
    assert connection.names[2:] == ["later"]


async def test_stream_is_heard_before_it_is_looked_how_the_friends_are(stage: PresenceHarness) -> None:
    watch, _ = stage.open(1)
    settled: list[str] = []
    stage.happens_while_looking(lambda: settled.extend(stage.engine.settled))
    await stage.idle()
    assert settled == [*watch.keys]


async def test_what_happens_while_a_stream_is_told_anew_comes_behind_that(stage: PresenceHarness) -> None:
    watch, connection = stage.open(1)
    await stage.idle()
    stage.happens_while_looking(lambda: stage.deliver(watch, "meanwhile"))
    stage.presence.refresh()
    await stage.idle()
    assert connection.names == ["initial", "initial", "meanwhile"]
    stage.deliver(watch, "later")
    assert connection.names[3:] == ["later"]


async def test_change_that_initial_shows_already_is_not_told_behind_it(stage: PresenceHarness) -> None:
    stage.open(1)
    await stage.idle()
    watch, connection = stage.open(1)
    stage.open(2)
    stage.emitter.on("sse.push", lambda _: stage.deliver(watch, "status_change"))
    await stage.idle()
    assert (stage.told, connection.names) == ([(2, True, ["1"])], ["initial"])


async def test_stream_that_misses_what_could_not_be_held_back_is_told_anew(stage: PresenceHarness) -> None:
    watch, connection = stage.open(1)
    looks = iter([MAX_BUFFERED_BYTES, 10])

    def happen() -> None:
        stage.deliver(watch, "early")
        stage.deliver(watch, "large", next(looks))
        stage.deliver(watch, "late")

    stage.happens_while_looking(happen)
    await stage.idle()
    assert connection.names == ["initial", "late", "initial", "early", "large", "late"]
    stage.deliver(watch, "live")
    assert connection.names[6:] == ["live"]


async def test_held_back_are_so_many_bytes_at_the_most(stage: PresenceHarness) -> None:
    stage.friend_lists.away = True
    watch, _ = stage.open(1)
    for _ in range(10):
        stage.deliver(watch, "early", MAX_BUFFERED_BYTES // 3)
        assert watch._buffered is not None
        assert sum(map(len, watch._buffered)) <= MAX_BUFFERED_BYTES
    stage.friend_lists.away = False
    await stage.idle()


async def test_refresh_tells_every_stream_anew(stage: PresenceHarness) -> None:
    connections = [stage.open(user)[1] for user in (1, 1, 2)]
    await stage.idle()
    stage.told.clear()
    stage.presence.refresh()
    await stage.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2] * 3
    assert stage.told == []


async def test_stream_whose_circle_changed_is_told_anew_once(stage: PresenceHarness) -> None:
    connections = [stage.open(user)[1] for user in (1, 1, 2)]
    await stage.idle()
    for _ in range(2):
        stage.presence.check_friend_lists([1, 77])
        await stage.idle()
        stage.friend_lists.version = 3
    stage.presence.check_friend_lists([1])
    await stage.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2, ["initial"] * 2, ["initial"]]


async def test_stream_whose_user_was_removed_is_told_anew_once(stage: PresenceHarness) -> None:
    _, connection = stage.open(1)
    await stage.idle()
    stage.friend_lists.users = range(2, 5)
    for _ in range(2):
        stage.presence.check_friend_lists([1])
        await stage.idle()
    assert connection.names == ["initial", "initial"]


async def test_stream_that_is_closed_before_its_circle_is_looked_at_is_told_nothing(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    watch, connection = stage.open(1)
    await stage.idle()
    stage.friend_lists.version = 1
    stage.presence.check_friend_lists([1])
    watch.closed()
    await stage.idle()
    assert (connection.names, logged) == (["initial"], [])


async def test_stream_that_is_closed_while_it_could_not_be_told_is_asked_for_no_more(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    watch, _ = stage.open(1)

    def happen() -> None:
        stage.friend_lists.away = watch.is_open
        watch.closed()

    stage.happens_while_looking(happen)
    await until(lambda: logged)
    stage.friend_lists.away = False
    await stage.idle()
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_refresh_waits_until_all_nodes_have_said_whom_they_hold(stage: PresenceHarness) -> None:
    _, connection = stage.open(1)
    await stage.idle()
    stage.registry.on_registration_lost(0.05)
    stage.presence.refresh()
    await stage.idle()
    assert connection.names == ["initial"]
    await until(lambda: connection.names == ["initial", "initial"])


async def test_look_at_circles_that_fails_is_left_to_the_next(
    stage: PresenceHarness, logged: list[Any]
) -> None:
    _, connection = stage.open(1)
    await stage.idle()
    stage.friend_lists.version, stage.friend_lists.away = 1, True
    stage.presence.check_friend_lists([1])
    await stage.idle()
    assert [line["event"] for line in logged] == ["presence.failed"]
    stage.friend_lists.away = False
    stage.presence.check_friend_lists([1])
    await stage.idle()
    assert connection.names == ["initial", "initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]
