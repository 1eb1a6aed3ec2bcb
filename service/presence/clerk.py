"""Works off what streams cause: tells the roster, then the friends. In bulk, in order, by one task that lives while there is
something to do.

Whatever happens is written into dictionaries, at once; what can't be done now (roster or database away) stays there, and
of a user the last state counts. Knows roster, friends and emitter; knows neither streams nor timers.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable, EngineUnavailable
from sse_push.events.event import MAX_USERS
from sse_push.events.rosters.base import Roster
from sse_push.service.presence.moves import Moves, News
from sse_push.service.presence.statuses import change, initial
from sse_push.service.presence.waiting import put_back, take
from sse_push.service.presence.watches import Watch

if TYPE_CHECKING:
    from sse_push.service.presence.circles import Circle, Circles

TOLD_PER_TURN = 5  # users told of, or told, in one turn of the loop (some ms): live events go on between
COMPARED = 500  # streams of whose circles it is seen at once whether they changed: a number each, some ms
AGAIN_S = 1.0  # seconds until what could not be done is tried again
NOBODYS = -1  # the version of the circle of one who has no account any more

_log = structlog.get_logger()


class Clerk:
    """What is to be done for the presence of one node's users.

    Args:
        circles: Gives what the database knows; asked for when it is first wanted.
        forgotten: Called when the roster forgot whom this node holds (:meth:`sse_push.events.rosters.base.Roster.start`).
        clock: Seconds since the Unix epoch.

    Attributes:
        moves: What the roster is to be told.
        is_telling: Friends are told of a change right now, in this turn of the loop.
    """

    def __init__(
        self,
        roster: Roster,
        circles: "Callable[[], Circles]",
        engine: Engine,
        emitter: Emitter,
        forgotten: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._circles = circles
        self._engine = engine
        self._emitter = emitter
        self._clock = clock
        self._news: News = {}  # to be told
        self._asking: dict[Watch, None] = {}  # streams to be told how all friends are
        self._comparing: dict[Watch, None] = {}  # streams whose circle may be another by now
        self._met: dict[tuple[int, int], None] = {}  # two who became friends
        self._settled = 0.0  # by the loop's time when all nodes have said whom they hold
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self.moves = Moves(roster, self._wake, forgotten, clock)
        self.is_telling = False

    @property
    def is_idle(self) -> bool:
        return self._task is None

    # -- what is to be done --------------------------------------------------------------------------

    def ask(self, watches: Iterable[Watch]) -> None:
        """Tell each of *watches* how all friends are."""
        self._asking.update(dict.fromkeys(watches))
        self._wake()

    def forget(self, watch: Watch) -> None:
        """*watch* is closed."""
        self._asking.pop(watch, None)
        self._comparing.pop(watch, None)

    def compare(self, watches: Iterable[Watch]) -> None:
        """Tell those of *watches* whose circle is another by now how all friends are."""
        self._comparing.update(dict.fromkeys(watches))
        self._wake()

    def introduce(self, one: int, other: int) -> None:
        """Tell two who became friends of each other."""
        self._met[one, other] = None
        self._wake()

    def tell_for_others(self, users: Mapping[int, float]) -> None:
        """Nobody has told how *users* are, who were last active then: most are gone, their node died."""
        for user, active in users.items():
            self._news[user] = max(active, self._news.get(user) or 0.0)
        self._wake()

    def wait_to_tell(self, seconds: float) -> None:
        """Tell no stream how all friends are for *seconds*: other nodes say whom they hold."""
        loop = asyncio.get_running_loop()
        self._settled = loop.time() + seconds
        loop.call_later(seconds, self._wake)

    async def close(self) -> None:
        """Leave what is left as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- doing it ------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._task is None and self._has_work():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="presence")

    def _has_work(self) -> bool:
        if self.moves.waiting or self._news or self._met or self._comparing:
            return True
        return bool(self._asking) and self._is_settled()

    def _is_settled(self) -> bool:
        return asyncio.get_running_loop().time() >= self._settled

    async def _work(self) -> None:
        try:
            while self._has_work():
                try:
                    self._news.update(await self.moves.work())
                    await self._compare()
                    await self._tell()
                    self._recovered()
                except (DatabaseUnavailable, EngineUnavailable) as error:
                    self._failed(error)
                    await asyncio.sleep(AGAIN_S)
                except Exception as error:  # noqa: BLE001 - what it was telling is lost, what comes next must not be
                    _log.error("presence.crashed", exc_info=error)
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._task = None

    async def _compare(self) -> None:
        """What can't be done is left: it is done again with the next heartbeat."""
        watches = take(self._comparing, COMPARED)
        if watches:
            versions = await self._circles().known({watch.user for watch in watches})
            for watch in watches:
                version = versions.get(watch.user, NOBODYS)
                if watch.version != version:
                    watch.version = version
                    self._asking[watch] = None

    async def _tell(self) -> None:
        """Tell the news to the friends who are present, and streams how all friends are."""
        news, met = take(self._news), take(self._met)
        asking = take(self._asking) if self._is_settled() and not self.moves.is_unsure else {}
        if not (news or asking or met):
            return
        try:
            await self._do_tell(news, asking, met)
        except (DatabaseUnavailable, EngineUnavailable):
            put_back(self._news, news)
            put_back(self._met, met)
            self._ask_again(asking)
            raise
        except Exception:
            self._ask_again(asking)  # they hold back what happens until they are told
            raise

    def _ask_again(self, watches: Collection[Watch]) -> None:
        put_back(self._asking, {watch: None for watch in watches if watch.is_open})

    async def _do_tell(
        self,
        news: News,
        asking: Collection[Watch],
        met: Collection[tuple[int, int]],
    ) -> None:
        await self._begin(asking, news)
        met_users = {user for pair in met for user in pair}
        found = await self._circles().of({*news, *(watch.user for watch in asking), *met_users})
        friends = {friend for circle in found.values() for friend in circle}
        present = await self.moves.present(friends | news.keys() | met_users)
        if not self._engine.reachable:
            raise EngineUnavailable("what is told now would not come to other nodes")
        if self.moves.is_unsure:
            raise EngineUnavailable("the roster may have lost meanwhile whom it held")
        await self._tell_news(news, found, present)
        for one, other in met:
            self._introduce(one, other, found, present)
        if news or met:
            await self._engine.wait_caught_up(())  # it is on its way to all, or is told again
        await self._tell_all(asking, found, present)
        await self._look_again([user for user, left in news.items() if left is not None])
        self.moves.told(user for user in news if user not in self._news)

    async def _begin(self, asking: Collection[Watch], news: News) -> None:
        if asking:
            await self._engine.wait_caught_up([key for watch in asking for key in watch.keys])
            for watch in asking:
                watch.begin()
        if news:
            now = self._clock()
            await self._circles().saw({user: now if left is None else left for user, left in news.items()})

    async def _tell_news(
        self, news: News, found: "Mapping[int, Circle]", present: Mapping[int, float]
    ) -> None:
        for count, (user, left) in enumerate(news.items(), 1):
            if (user in present) is (left is None):  # else they changed their mind, and it is news again
                self._change(user, present, left, [friend for friend in found[user] if friend in present])
            if count % TOLD_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _tell_all(
        self, asking: Iterable[Watch], found: "Mapping[int, Circle]", present: Mapping[int, float]
    ) -> None:
        for count, watch in enumerate(asking, 1):
            watch.tell(initial(watch.user, found[watch.user], present, self._clock()))
            if count % TOLD_PER_TURN == 0:
                await asyncio.sleep(0)

    def _introduce(
        self, one: int, other: int, found: "Mapping[int, Circle]", present: Mapping[int, float]
    ) -> None:
        for user, friend in ((one, other), (other, one)):
            if user in present and friend in found[user]:  # else they parted again
                self._change(friend, present, found[user][friend], [user])

    def _change(
        self, user: int, present: Mapping[int, float], seen: float | None, audience: Collection[int]
    ) -> None:
        friends = list(audience)
        self.is_telling = True
        try:
            for start in range(0, len(friends), MAX_USERS):  # one event names no more
                some = friends[start : start + MAX_USERS]
                self._emitter.emit(SSE_PUSH, change(user, present.get(user), seen, some))
        finally:
            self.is_telling = False

    async def _look_again(self, gone: Collection[int]) -> None:
        """Whoever came back on another node while this one told that they are gone is told of again: theirs is the last word."""
        for user in await self.moves.present(gone):
            self._news.setdefault(user, None)

    def _failed(self, error: Exception) -> None:
        """Once for each time that it fails, not for each try."""
        if not self._failing:
            self._failing = True
            _log.error("presence.failed", error=str(error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("presence.recovered")
