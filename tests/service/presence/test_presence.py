"""Presence when what it needs is away, and what it keeps at the end. tests/handlers/test_presence.py sees it through HTTP."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

import pytest

from events.emitter import SSE_KEPT, Emitter
from events.engines.base import Engine
from events.errors import DatabaseUnavailable, EngineUnavailable
from events.event import MAX_USERS, Event, PushEvent
from events.rosters.base import Forgotten, Moved, Untold
from events.rosters.local import LocalRoster
from events.router import Router
from service.presence import clerk
from service.presence.circles import Circle
from service.presence.presence import Presence
from service.presence.watches import MAX_HELD_BYTES, Watch
from service.streams.presence import TOPIC
from tests.conftest import until
from tests.events.fakes import Clock


class FakeRoster(LocalRoster):
    """A roster that can be away: before a move is done, or before it is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.answers_away = False
        self.moves = 0
        self.closed = False
        self.held_elsewhere: set[str] = set()
        self.owed: dict[str, float] = {}  # answers that were lost
        self.acknowledged: set[str] = set()

    def start(self, untold: Untold, forgotten: Forgotten) -> None:
        self.untold, self.forgotten = untold, forgotten

    async def move(self, joins: Collection[str], leaves: Collection[str], now: float) -> Moved:
        self.moves += 1
        self._check()
        moved = await super().move(joins, [user for user in leaves if user not in self.held_elsewhere], now)
        if self.answers_away:
            self.owed.update(dict.fromkeys(moved.came | moved.gone, now))
            raise EngineUnavailable("Redis is away")
        if self.owed:
            self.untold(self.owed)
            self.owed = {}
        return moved

    async def told(self, users: Collection[str]) -> None:
        self._check()
        self.acknowledged.update(users)

    async def present(self, users: Collection[str]) -> dict[str, float]:
        self._check()
        return await super().present(users)

    async def close(self) -> None:
        self.closed = True

    def holds(self, user: str) -> bool:
        return user in self._active

    def lose(self) -> None:
        self._active.clear()

    def _check(self) -> None:
        if self.away:
            raise EngineUnavailable("Redis is away")


class FakeCircles:
    """Everybody is everybody's friend."""

    def __init__(self, users: Collection[int]) -> None:
        self.users = users
        self.away = False
        self.seen: dict[int, float] = {}
        self.version = 0

    async def known(self, users: Collection[int]) -> dict[int, int]:
        self._check()
        return {user: self.version for user in users if user in self.users}

    async def of(self, users: Collection[int]) -> dict[int, Circle]:
        self._check()
        return {
            user: {friend: self.seen.get(friend) for friend in self.users if friend != user} for user in users
        }

    async def saw(self, seen: Mapping[int, float]) -> None:
        self._check()
        self.seen.update(seen)

    def _check(self) -> None:
        if self.away:
            raise DatabaseUnavailable("the database can't be reached now")


class FakeEngine:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.reachable = True
        self.loses = False

    def listen(self, keys: Collection[str]) -> None:
        self.heard += keys

    def unlisten(self, keys: Collection[str]) -> None:
        for key in keys:
            self.heard.remove(key)

    async def settle(self, keys: Collection[str]) -> None:
        assert set(keys) <= set(self.heard)
        if self.loses:
            raise EngineUnavailable("Redis is away")


class FakeConnection:
    """What a watch knows of a connection."""

    def __init__(self, router: Router) -> None:
        self.lane = router.lanes[False, False]
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    @property
    def names(self) -> list[str]:
        return [
            line[7:].decode() for part in self.written for line in part.split(b"\n") if line[:6] == b"event:"
        ]


class Stage:
    """A presence with everything around it, and what it tells friends: ``(user, online, audience)``."""

    def __init__(self, **more: Any) -> None:
        self.clock = Clock()
        self.roster = FakeRoster()
        self.circles = FakeCircles(range(1, 5))
        self.engine: Any = FakeEngine()
        self.router = Router()
        self.emitter = Emitter()
        self.emitter.on("sse.push", self._pushed)
        self.emitter.on(SSE_KEPT, self.router.deliver)
        self.told: list[tuple[int, bool, list[str]]] = []
        given: dict[str, Any] = {"grace": 0.0, "beat": 30.0, **more}
        engine: Engine = self.engine
        circles: Any = self.circles
        self.presence = Presence(
            self.roster, lambda: circles, engine, self.emitter, clock=self.clock, **given
        )
        self.presence.start()

    def _pushed(self, push: PushEvent) -> None:
        assert push.user_ids is not None
        self.told.append((push.data["user_id"], push.data["is_online"], push.user_ids))

    def open(self, user: int) -> tuple[Watch, FakeConnection]:
        watch, connection = Watch(self.presence, TOPIC, user, 0), FakeConnection(self.router)
        watch.opened(connection)  # type: ignore[arg-type]
        return watch, connection

    def deliver(self, watch: Watch, name: str, size: int = 1) -> None:
        """Something comes for *watch* from another node."""
        self.router.deliver([Event("presence", watch.keys, b"1" * size, name, kept=False)])

    def happens_while_looking(self, happen: Callable[[], None]) -> None:
        """*happen* is called each time when it is looked who the friends are."""
        original = self.circles.of

        async def of(users: Collection[int]) -> dict[int, Circle]:
            happen()
            return await original(users)

        self.circles.of = of  # type: ignore[method-assign]

    async def idle(self) -> None:
        await until(lambda: self.presence.is_idle)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(clerk, "AGAIN_S", 0.01)
    stage = Stage()
    yield stage
    await stage.presence.close()
    await stage.emitter.close()


async def test_change_is_told_to_the_friends_who_are_online(stage: Stage) -> None:
    stage.open(1)
    stage.open(2)
    await stage.idle()
    watch, _ = stage.open(3)
    await stage.idle()
    watch.closed()
    await stage.idle()
    assert stage.told[-2:] == [(3, True, ["1", "2"]), (3, False, ["1", "2"])]
    watch.closed()
    assert sorted(stage.engine.heard) == ["presence\x1f@1", "presence\x1f@2"]


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


async def test_moves_wait_for_a_roster_that_is_away(stage: Stage) -> None:
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


async def test_roster_that_lost_all_learns_again_who_is_here_and_friends_see_nothing(stage: Stage) -> None:
    for user in (1, 2):
        stage.open(user)
    await stage.idle()
    stage.told.clear()
    stage.roster.lose()
    stage.roster.forgotten(0.05)
    await stage.idle()
    assert (await stage.roster.present(["1", "2"])).keys() == {"1", "2"}
    assert stage.told == []


async def test_nobody_leaves_and_nothing_is_shown_until_all_nodes_have_said_whom_they_hold(
    stage: Stage,
) -> None:
    connections = [stage.open(1)[1], stage.open(1)[1]]
    leaving, _ = stage.open(2)
    held_elsewhere, _ = stage.open(3)
    await stage.idle()
    stage.told.clear()
    stage.roster.away = True
    moves = stage.roster.moves
    for watch in (leaving, held_elsewhere):
        watch.closed()
    await until(lambda: stage.roster.moves > moves + 1)
    stage.roster.lose()
    stage.roster.forgotten(0.2)
    stage.presence.refresh()
    stage.roster.away = False
    await until(lambda: stage.roster.holds("2"))
    stage.roster.held_elsewhere.add("3")
    _, new = stage.open(4)
    assert [connection.names for connection in (*connections, new)] == [["initial"], ["initial"], []]
    await until(lambda: not stage.roster.holds("2"))
    await stage.idle()
    assert stage.told == [(4, True, ["1", "2", "3"]), (2, False, ["1", "3", "4"])]
    assert [connection.names for connection in (*connections, new)] == [
        ["initial"] * 2,
        ["initial"] * 2,
        ["initial"],
    ]


async def test_node_that_was_taken_for_dead_tells_that_its_users_are_online(stage: Stage) -> None:
    for user in (1, 2):
        stage.open(user)
    await stage.idle()
    stage.told.clear()
    stage.roster.lose()
    stage.roster.forgotten(0.0)
    await stage.idle()
    assert sorted(stage.told) == [(1, True, ["2"]), (2, True, ["1"])]


async def test_users_of_a_dead_node_are_told_of_as_gone_when_they_were_active_last(stage: Stage) -> None:
    stage.open(1)
    await stage.idle()
    stage.roster.untold({"3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1"])]
    assert stage.circles.seen[3] == stage.clock() - 20


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
    stage.roster.lose()
    stage.roster.forgotten(0.05)
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
    stage.emitter.on("sse.push", lambda push: stage.roster._active.setdefault("3", stage.clock()))
    stage.roster.untold({"3": stage.clock() - 20})
    await stage.idle()
    assert stage.told == [(3, False, ["1"]), (3, True, ["1"])]


async def test_what_happens_before_initial_is_written_comes_behind_it(stage: Stage) -> None:
    stage.circles.away = True
    watch, connection = stage.open(1)
    stage.deliver(watch, "early")
    assert connection.written == []
    stage.happens_while_looking(lambda: stage.deliver(watch, "meanwhile"))
    stage.circles.away = False
    await stage.idle()
    assert connection.names == ["initial", "meanwhile"]
    stage.deliver(watch, "later")
    assert connection.names[2:] == ["later"]


async def test_what_happens_while_a_stream_is_told_anew_comes_behind_that(stage: Stage) -> None:
    watch, connection = stage.open(1)
    await stage.idle()
    stage.happens_while_looking(lambda: stage.deliver(watch, "meanwhile"))
    stage.presence.refresh()
    await stage.idle()
    assert connection.names == ["initial", "initial", "meanwhile"]
    stage.deliver(watch, "later")
    assert connection.names[3:] == ["later"]


async def test_stream_that_misses_what_could_not_be_held_back_is_told_anew(stage: Stage) -> None:
    watch, connection = stage.open(1)
    looks = iter([MAX_HELD_BYTES, 10])

    def happen() -> None:
        stage.deliver(watch, "early")
        stage.deliver(watch, "large", next(looks))
        stage.deliver(watch, "late")

    stage.happens_while_looking(happen)
    await stage.idle()
    assert connection.names == ["initial", "late", "initial", "early", "large", "late"]
    stage.deliver(watch, "live")
    assert connection.names[6:] == ["live"]


async def test_held_back_are_so_many_bytes_at_the_most(stage: Stage) -> None:
    stage.circles.away = True
    watch, _ = stage.open(1)
    for _ in range(10):
        stage.deliver(watch, "early", MAX_HELD_BYTES // 3)
        assert watch._held is not None
        assert sum(map(len, watch._held)) <= MAX_HELD_BYTES
    stage.circles.away = False
    await stage.idle()


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


async def test_refresh_tells_every_stream_anew(stage: Stage) -> None:
    connections = [stage.open(user)[1] for user in (1, 1, 2)]
    await stage.idle()
    stage.told.clear()
    stage.presence.refresh()
    await stage.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2] * 3
    assert stage.told == []


async def test_stream_whose_circle_changed_is_told_anew_once(stage: Stage) -> None:
    connections = [stage.open(user)[1] for user in (1, 1, 2)]
    await stage.idle()
    for _ in range(2):
        stage.presence.look([1, 77])
        await stage.idle()
        stage.circles.version = 3
    stage.presence.look([1])
    await stage.idle()
    assert [connection.names for connection in connections] == [["initial"] * 2, ["initial"] * 2, ["initial"]]


async def test_look_at_circles_that_fails_is_left_to_the_next(stage: Stage, logged: list[Any]) -> None:
    _, connection = stage.open(1)
    await stage.idle()
    stage.circles.version, stage.circles.away = 1, True
    stage.presence.look([1])
    await stage.idle()
    assert [line["event"] for line in logged] == ["presence.failed"]
    stage.circles.away = False
    stage.presence.look([1])
    await stage.idle()
    assert connection.names == ["initial", "initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


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


async def test_stream_that_was_never_opened_leaves_nothing(stage: Stage) -> None:
    watch = await stage.presence.watch(1)
    assert watch is not None
    watch.closed()
    assert len(stage.presence) == 0
    assert await stage.presence.watch(77) is None


async def test_close_keeps_when_everybody_was_last_seen() -> None:
    stage = Stage(grace=60.0)
    stage.open(1)
    watch, _ = stage.open(2)
    await until(lambda: stage.presence.is_idle)
    watch.closed()
    stage.clock.now += 7
    await stage.presence.close()
    assert stage.circles.seen == {1: stage.clock.now, 2: stage.clock.now - 7}
    assert stage.roster.closed
    await stage.emitter.close()


async def test_nobody_is_told_of_as_gone_while_the_node_goes_away() -> None:
    stage = Stage()
    stage.open(1)
    watch, _ = stage.open(2)
    await stage.idle()
    stage.told.clear()
    stage.presence.drain()
    watch.closed()
    await stage.presence.close()
    assert stage.told == []
    await stage.emitter.close()
