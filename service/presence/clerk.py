"""Works off what streams cause: tells the roster, then the friends. In bulk, in order, by one task that lives while there is
something to do.

Whatever happens is written into dictionaries, at once; what can't be done now (roster or database away) stays there, and
of a user the last state counts. Knows roster, friends and emitter; knows neither streams nor timers.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import structlog

from events.emitter import SSE_PUSH, Emitter
from events.engines.base import Engine
from events.errors import DatabaseUnavailable, EngineUnavailable
from events.rosters.base import Roster
from service.presence.circles import Circle
from service.presence.statuses import change, initial
from service.presence.watches import Watch

if TYPE_CHECKING:
    from service.presence.circles import Circles

BULK = 25  # users seen to at once: some 7,500 friends, 10 ms
TOLD_PER_TURN = 5  # users told of, or told, in one turn of the loop (some ms): live events go on between
AGAIN_S = 1.0  # seconds until what could not be done is tried again

_log = structlog.get_logger()
Key = TypeVar("Key")
Value = TypeVar("Value")


class Clerk:
    """What is to be done for the presence of one node's users.

    Args:
        circles: Gives what the database knows; asked for when it is first wanted.
        forgotten: Called when the roster forgot whom this node holds (:meth:`events.rosters.base.Roster.start`).
        clock: Seconds since the Unix epoch.

    Attributes:
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
        self._roster = roster
        self._circles = circles
        self._engine = engine
        self._emitter = emitter
        self._forgotten = forgotten
        self._clock = clock
        self._moves: dict[int, float | None] = {}  # onto the roster, or off it: since when they are gone
        self._doubtful: set[int] = set()  # a move of theirs failed, and may have been done all the same
        self._quiet: set[int] = set()  # their friends know them as online, though the roster forgot them
        self._active: dict[int, None] = {}
        self._news: dict[int, float | None] = {}  # to be told: online, or gone since
        self._asking: dict[Watch, None] = {}  # streams to be told how all friends are
        self._met: dict[tuple[int, int], None] = {}  # two who became friends
        self._settled = 0.0  # by the loop's time when all nodes have said whom they hold
        self._missed = False  # something may have been, and the roster lost
        self._forgot: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self.is_telling = False

    @property
    def is_idle(self) -> bool:
        return self._task is None

    # -- what is to be done --------------------------------------------------------------------------

    def join(self, user: int) -> None:
        """*user* is here now."""
        self._moves[user] = None
        self._wake()

    def leave(self, user: int, left: float) -> None:
        """*user* is here no more, since *left*."""
        self._moves[user] = left
        self._wake()

    def touch(self, users: Iterable[int]) -> None:
        """*users*, who are here, are active."""
        self._active.update(dict.fromkeys(users))
        self._wake()

    def ask(self, watches: Iterable[Watch]) -> None:
        """Tell each of *watches* how all friends are."""
        self._asking.update(dict.fromkeys(watches))
        self._wake()

    def forget(self, watch: Watch) -> None:
        """*watch* is closed."""
        self._asking.pop(watch, None)

    def introduce(self, one: int, other: int) -> None:
        """Tell two who became friends of each other."""
        self._met[one, other] = None
        self._wake()

    def tell_gone(self, gone: Mapping[int, float]) -> None:
        """Users of a dead node are nowhere, since so long."""
        self._news.update(gone)
        self._wake()

    def check(self) -> None:
        """Something may have been missed: see first whether the roster still knows whom this node holds."""
        self._missed = True
        self._wake()

    def forgot(self, settles: float) -> None:
        """The roster does not."""
        self._forgot = settles
        self._wake()

    def join_again(self, users: Set[int], *, quietly: bool) -> None:
        """All of *users* onto the roster anew; *quietly*: nobody was told of them as gone."""
        again = users - {user for user, left in self._moves.items() if left is None}
        self._moves.update(dict.fromkeys(again))
        if quietly:
            self._quiet |= again

    def hold_leaves(self, seconds: float) -> dict[int, float]:
        """Nobody is taken off the roster, and nobody told how all friends are, for *seconds*: other nodes say whom they hold.

        Returns:
            Those who were about to be taken off, and since when they are gone: to leave later.
        """
        loop = asyncio.get_running_loop()
        self._settled = loop.time() + seconds
        loop.call_later(seconds, self._wake)
        leaves = {user: left for user, left in self._moves.items() if left is not None}
        for user in leaves:
            del self._moves[user]
        self._doubtful -= leaves.keys()
        return leaves

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
        if self._moves or self._active or self._news or self._met or self._missed or self._forgot is not None:
            return True
        return bool(self._asking) and self._is_settled()

    def _is_settled(self) -> bool:
        return asyncio.get_running_loop().time() >= self._settled

    async def _work(self) -> None:
        try:
            while self._has_work():
                try:
                    await self._move()
                    await self._tell()
                    self._recovered()
                except (DatabaseUnavailable, EngineUnavailable) as error:
                    self._failed(error)
                    await asyncio.sleep(AGAIN_S)
                except Exception as error:  # noqa: BLE001 - what it was doing is lost, what comes next must not be
                    _log.error("presence.crashed", exc_info=error)
        finally:
            self._task = None

    async def _move(self) -> None:
        """Bring the roster up to date; who came and who is gone is news."""
        if self._missed:
            await self._roster.check()
            self._missed = False
        if self._forgot is not None:
            settles, self._forgot = self._forgot, None
            self._forgotten(settles)
        moves, active = _take(self._moves), _take(self._active)
        try:
            if moves:
                news = await self._write(moves)
            if active:
                await self._roster.touch([str(user) for user in active], self._clock())
        except EngineUnavailable:
            _put_back(self._moves, moves)
            self._doubtful |= moves.keys()
            raise
        if moves:
            self._doubtful -= moves.keys()
            self._news.update(news)

    async def _write(self, moves: Mapping[int, float | None]) -> dict[int, float | None]:
        """Tell the roster of *moves*: who came by them, and who is gone since when."""
        joins = {user for user, left in moves.items() if left is None}
        leaves = moves.keys() - joins
        moved = await self._roster.move(list(map(str, joins)), list(map(str, leaves)), self._clock())
        doubtful = self._doubtful & moves.keys()
        absent = doubtful - (await self._present(doubtful)).keys()
        came = {int(user) for user in moved.came} - self._quiet | (doubtful & joins)
        gone = {int(user) for user in moved.gone} | (absent & leaves)
        self._quiet -= joins
        return dict.fromkeys(came) | {user: moves[user] for user in gone}

    async def _tell(self) -> None:
        """Tell the news to the friends who are present, and streams how all friends are."""
        news, met = _take(self._news), _take(self._met)
        asking = _take(self._asking) if self._is_settled() else {}
        if not (news or asking or met):
            return
        met_users = {user for pair in met for user in pair}
        try:
            await self._begin(asking, news)
            found = await self._circles().of({*news, *(watch.user for watch in asking), *met_users})
            friends = {friend for circle in found.values() for friend in circle}
            present = await self._present(friends | news.keys() | met_users)
        except (DatabaseUnavailable, EngineUnavailable):
            _put_back(self._news, news)
            _put_back(self._asking, {watch: None for watch in asking if watch.is_open})
            _put_back(self._met, met)
            raise
        await self._tell_news(news, found, present)
        for one, other in met:
            self._introduce(one, other, found, present)
        await self._tell_all(asking, found, present)
        await self._look_again([user for user, left in news.items() if left is not None])

    async def _begin(self, asking: Collection[Watch], news: Mapping[int, float | None]) -> None:
        if asking:
            await self._engine.settle([key for watch in asking for key in watch.keys])
            for watch in asking:
                watch.begin()
        if news:
            now = self._clock()
            await self._circles().saw({user: now if left is None else left for user, left in news.items()})

    async def _tell_news(
        self, news: Mapping[int, float | None], found: Mapping[int, Circle], present: Mapping[int, float]
    ) -> None:
        for count, (user, left) in enumerate(news.items(), 1):
            if (user in present) is (left is None):  # else they changed their mind, and it is news again
                self._change(user, present, left, [friend for friend in found[user] if friend in present])
            if count % TOLD_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _tell_all(
        self, asking: Iterable[Watch], found: Mapping[int, Circle], present: Mapping[int, float]
    ) -> None:
        for count, watch in enumerate(asking, 1):
            watch.tell(initial(watch.user, found[watch.user], present, self._clock()))
            if count % TOLD_PER_TURN == 0:
                await asyncio.sleep(0)

    def _introduce(
        self, one: int, other: int, found: Mapping[int, Circle], present: Mapping[int, float]
    ) -> None:
        for user, friend in ((one, other), (other, one)):
            if user in present and friend in found[user]:  # else they parted again
                self._change(friend, present, found[user][friend], [user])

    def _change(
        self, user: int, present: Mapping[int, float], seen: float | None, audience: Collection[int]
    ) -> None:
        if audience:
            self.is_telling = True
            self._emitter.emit(SSE_PUSH, change(user, present.get(user), seen, audience))
            self.is_telling = False

    async def _look_again(self, gone: Collection[int]) -> None:
        """Whoever came back on another node while this one told that they are gone is told of again: theirs is the last word."""
        for user in await self._present(gone):
            self._news.setdefault(user, None)

    async def _present(self, users: Collection[int]) -> dict[int, float]:
        found = await self._roster.present([str(user) for user in users]) if users else {}
        return {int(user): at for user, at in found.items()}

    def _failed(self, error: Exception) -> None:
        """Once for each time that it fails, not for each try."""
        if not self._failing:
            self._failing = True
            _log.error("presence.failed", error=str(error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("presence.recovered")


def _take(waiting: dict[Key, Value]) -> dict[Key, Value]:
    """The first of what waits, no more than is done at once."""
    taken = dict(islice(waiting.items(), BULK))
    for key in taken:
        del waiting[key]
    return taken


def _put_back(waiting: dict[Key, Value], taken: Mapping[Key, Value]) -> None:
    """What could not be done waits again; where something newer does already, that stays."""
    for key, value in taken.items():
        waiting.setdefault(key, value)
