"""Who of this node's users is online, and telling their friends: the rules of docs/design/0007-presence.md.

Knows the roster, the friends and the streams that watch. All that waits for one of those is done in bulk, in order, by one
task that lives while there is something to do: no stream has a timer or a task of its own.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import structlog

from events.emitter import SSE_KEPT, SSE_PUSH, Emitter
from events.engines.base import Engine
from events.errors import DatabaseUnavailable, EngineUnavailable
from events.event import Event, PushEvent
from events.rosters.base import Roster
from events.topics import event_keys
from service.batches import Batch
from service.streams.presence import TOPIC, Connected, Heartbeat, Initial, StatusChange
from service.timestamps import timestamp
from service.watches import Watch

if TYPE_CHECKING:
    from service.circles import Circle, Circles

SLOTS = 60  # a heartbeat's period is spread over so many ticks
BULK = 50  # users seen to at once: some 15,000 friends, 20 ms
AGAIN_S = 1.0  # seconds until what could not be done is tried again

_log = structlog.get_logger()
Key = TypeVar("Key")
Value = TypeVar("Value")


class _Here:
    """A user of this node: their streams, their place on the wheel, and when the last stream was closed."""

    __slots__ = ("left", "slot", "watches")

    def __init__(self, slot: int) -> None:
        self.watches: set[Watch] = set()
        self.slot = slot
        self.left = 0.0


class Presence:
    """The presence of this node's users.

    Args:
        circles: Gives what the database knows; asked for when it is first wanted.
        grace: Seconds without a stream after which a user is offline: a page that is loaded again shows no flicker.
        heartbeat: Seconds between two heartbeats of a user.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        roster: Roster,
        circles: "Callable[[], Circles]",
        engine: Engine,
        emitter: Emitter,
        *,
        grace: float,
        heartbeat: float,
        clock: Callable[[], float],
    ) -> None:
        self._roster = roster
        self._circles = circles
        self.engine = engine
        self._emitter = emitter
        self._grace = grace
        self._tick_s = heartbeat / SLOTS
        self._clock = clock
        self._known: Batch[int, bool] = Batch(lambda users: circles().known(users), size=BULK)
        self._here: dict[int, _Here] = {}
        self._slots: list[set[int]] = [set() for _ in range(SLOTS)]
        self._hand = 0
        self._leaving: dict[
            int, float
        ] = {}  # users without a stream, and by the loop's time until when they may return
        # What is to be done, by its kind: the clerk takes it from here.
        self._moves: dict[int, bool] = {}  # onto the roster, or off it
        self._doubtful: set[int] = set()  # a move of theirs failed, and may have been done all the same
        self._announced: set[int] = set()  # their friends know them as online, though the roster forgot
        self._missed = False  # something may have been, and the roster lost
        self._forgot: float | None = (
            None  # the roster did; the seconds until all nodes have said whom they hold
        )
        self._settles = 0.0  # by the loop's time until when they have
        self._active: dict[int, float] = {}
        self._left: dict[int, float] = {}
        self._news: dict[int, float | None] = {}  # to be told: online, or offline since
        self._asking: dict[Watch, None] = {}  # streams to be told how all friends are
        self._met: dict[tuple[int, int], None] = {}  # two who became friends
        self._clerk: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self._failing = False
        self.is_telling = False  # what is told now, new streams learn by how all friends are

    def __len__(self) -> int:
        """Users of this node who are online."""
        return len(self._here)

    @property
    def is_idle(self) -> bool:
        """Nothing is to be told or to be kept."""
        return self._clerk is None

    @property
    def is_waiting(self) -> bool:
        """Somebody has left, and may come back before their grace is over."""
        return bool(self._leaving)

    def start(self) -> None:
        self._roster.start(self._swept, self._forgotten)

    async def knows(self, user: int) -> bool:
        """Whether there is such a user.

        Raises:
            DatabaseUnavailable: It can't be told now.
        """
        return bool(await self._known.get(user))

    def watch(self, user: int) -> Watch:
        """For a stream of *user*'s that is about to open."""
        return Watch(self, TOPIC, user)

    # -- what happens ------------------------------------------------------------------------------

    def set_online(self, user: int, watch: Watch) -> None:
        """A stream of *user*'s is open."""
        here = self._here.get(user)
        if here is None:
            here = self._here[user] = _Here(
                self._hand - 1
            )  # the slot just served: the first beat is a period away
            self._slots[here.slot].add(user)
            self._moves[user] = True
        self._leaving.pop(user, None)
        here.watches.add(watch)
        self._asking[watch] = None
        if self._beat is None:
            self._beat = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        self._wake()

    def _enter(self, user: int) -> _Here:
        here = self._here[user] = _Here(
            self._hand - 1
        )  # the slot just served: the first beat is a period away
        self._slots[here.slot].add(user)
        return here

    def set_offline(self, user: int, watch: Watch) -> None:
        """It is closed. If it was their last, *user* is offline when the grace is over."""
        here = self._here[user]
        here.watches.discard(watch)
        self._asking.pop(watch, None)
        if not here.watches:
            here.left = self._clock()
            loop = asyncio.get_running_loop()
            self._leaving[user] = max(loop.time() + self._grace, self._settles)
            if self._sweep is None and not self._draining:
                self._sweep = loop.call_later(self._grace, self._end_grace)

    def update_activity(self, users: Iterable[int]) -> None:
        """*users* are active now."""
        self._active.update(dict.fromkeys(users, self._clock()))
        self._wake()

    def met(self, one: int, other: int) -> None:
        """Two became friends: each learns at once how the other is."""
        self._met[one, other] = None
        self._wake()

    def refresh(self) -> None:
        """Something may have been missed: tell every stream anew how all friends are."""
        self._missed = True
        for here in self._here.values():
            self._asking.update(dict.fromkeys(here.watches))
        self._wake()

    def drain(self) -> None:
        """This node goes away: who leaves it now is about to come to another."""
        self._draining = True
        for timer in (self._beat, self._sweep):
            if timer is not None:
                timer.cancel()

    async def close(self) -> None:
        """Leave the roster, and keep when those who are here were last seen."""
        self.drain()
        if self._clerk is not None:
            self._clerk.cancel()
            await asyncio.gather(self._clerk, return_exceptions=True)
        now = self._clock()
        seen = {user: here.left if user in self._leaving else now for user, here in self._here.items()}
        try:
            if seen:
                await self._circles().saw(seen)
        except DatabaseUnavailable as error:
            self._failed(error)
        await self._roster.close()

    def _tick(self) -> None:
        if not self._here:
            self._beat = None
            return
        self._beat = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        users = self._slots[self._hand]
        self._hand = (self._hand + 1) % SLOTS
        if users:
            data = Heartbeat(timestamp=timestamp(self._clock()))
            self._emitter.emit(SSE_KEPT, [self._event(users, data.event_name, data.model_dump_json())])
            self.update_activity(users)

    def _end_grace(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        now = loop.time()
        while self._leaving:
            user, due = next(iter(self._leaving.items()))  # the first to leave: all have the same grace
            if due > now:
                self._sweep = loop.call_later(due - now, self._end_grace)
                break
            self._leave(user)
        self._wake()

    def _leave(self, user: int) -> None:
        del self._leaving[user]
        here = self._here.pop(user)
        self._slots[here.slot].discard(user)
        self._moves[user] = False
        self._left[user] = here.left

    def _swept(self, gone: Mapping[str, float]) -> None:
        """A node died; these were its users, and are nowhere else."""
        self._news.update({int(user): at for user, at in gone.items()})
        self._wake()

    def _forgotten(self, settles: float) -> None:
        """The roster holds nobody of this node any more."""
        self._forgot = settles
        self._wake()

    def _hold_again(self, settles: float) -> None:
        """Everybody onto the roster anew.

        Where it lost all, nobody was told of as gone, and nobody will be told that they came. Who has left meanwhile leaves
        later, and nobody is told how all friends are before: other nodes may hold them, and must have said so.
        """
        if settles:
            self._settle(settles)
        again = self._here.keys() - {user for user, stays in self._moves.items() if stays}
        self._moves.update(dict.fromkeys(again, True))
        if settles:
            self._announced |= again

    def _settle(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._settles = loop.time() + seconds
        for user in [user for user, stays in self._moves.items() if not stays]:
            del self._moves[user]
            self._doubtful.discard(user)
            self._enter(user).left = self._left.pop(user, self._clock())
            self._leaving[user] = 0.0
        self._leaving = dict.fromkeys(self._leaving, self._settles)
        if self._leaving and self._sweep is None and not self._draining:
            self._sweep = loop.call_later(seconds, self._end_grace)
        loop.call_later(seconds, self._wake)

    # -- the clerk ---------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._clerk is None:
            self._clerk = asyncio.get_running_loop().create_task(self._work(), name="presence")

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
            self._clerk = None

    def _has_work(self) -> bool:
        if self._moves or self._active or self._news or self._met or self._missed or self._forgot is not None:
            return True
        return bool(self._asking) and self._is_settled()

    def _is_settled(self) -> bool:
        return asyncio.get_running_loop().time() >= self._settles

    async def _move(self) -> None:
        """Bring the roster up to date; who came and who is gone is news."""
        if self._missed:
            await self._roster.check()
            self._missed = False
        if self._forgot is not None:
            settles, self._forgot = self._forgot, None
            self._hold_again(settles)
        moves, active = _take(self._moves), _take(self._active)
        joins = [str(user) for user, stays in moves.items() if stays]
        leaves = [str(user) for user, stays in moves.items() if not stays]
        try:
            if moves:
                came, gone = await self._roster.move(joins, leaves, self._clock())
            if active:
                await self._roster.touch([str(user) for user in active], self._clock())
            doubtful = self._doubtful & moves.keys()
            absent = doubtful - (await self._present(doubtful)).keys()
        except EngineUnavailable:
            _put_back(self._moves, moves)
            self._doubtful |= moves.keys()
            raise
        if not moves:
            return
        self._doubtful -= doubtful
        quiet = self._announced & moves.keys()
        self._announced -= quiet
        for user in {int(user) for user in came} - quiet | {user for user in doubtful if moves[user]}:
            self._news[user] = None
        for user in {int(user) for user in gone} | {user for user in absent if not moves[user]}:
            self._news[user] = self._left.pop(user, self._clock())

    async def _tell(self) -> None:
        """Tell the news to the friends who are present, and new streams how all friends are."""
        news, met = _take(self._news), _take(self._met)
        asking = _take(self._asking) if self._is_settled() else {}
        if not (news or asking or met):
            return
        try:
            if asking:
                await self.engine.settle([key for watch in asking for key in watch.keys])
            for watch in asking:
                watch.begin()
            now = self._clock()
            circles = self._circles()
            if news:
                await circles.saw({user: now if at is None else at for user, at in news.items()})
            both = {user for pair in met for user in pair}
            found = await circles.of({*news, *(watch.user for watch in asking), *both})
            friends = {friend for circle in found.values() for friend in circle}
            present = await self._present(friends | news.keys() | both)
        except (DatabaseUnavailable, EngineUnavailable):
            _put_back(self._news, news)
            _put_back(self._asking, {watch: None for watch in asking if watch.is_open})
            _put_back(self._met, met)
            raise
        self.is_telling = True
        for user, at in news.items():
            if (user in present) is (at is None):  # else they changed their mind, and it is news again
                self._change(
                    _status(user, present, at), [friend for friend in found[user] if friend in present]
                )
        for one, other in met:
            self._introduce(one, other, found, present)
        self.is_telling = False
        texts: dict[int, str] = {}  # many have the same friends
        for watch in asking:
            watch.tell(self._initial(watch.user, found[watch.user], present, texts))
        await self._look_again([user for user, at in news.items() if at is not None])

    async def _look_again(self, gone: Collection[int]) -> None:
        """Whoever came back on another node while this one told that they are gone is told of again: theirs is the last word."""
        for user in await self._present(gone):
            self._news.setdefault(user, None)

    async def _present(self, users: Collection[int]) -> dict[int, float]:
        found = await self._roster.present([str(user) for user in users]) if users else {}
        return {int(user): at for user, at in found.items()}

    def _introduce(
        self, one: int, other: int, found: "Mapping[int, Circle]", present: Mapping[int, float]
    ) -> None:
        for user, friend in ((one, other), (other, one)):
            if user in present and friend in found[user]:  # else they parted again
                self._change(_status(friend, present, found[user][friend]), [user])

    # -- what is told ------------------------------------------------------------------------------

    def connected(self, user: int) -> Event:
        """The first event of a stream."""
        data = Connected(user_id=user, timestamp=timestamp(self._clock()))
        return self._event([user], data.event_name, data.model_dump_json())

    def _initial(
        self, user: int, circle: "Circle", present: Mapping[int, float], texts: dict[int, str]
    ) -> Event:
        """How all friends of *user* are; *texts* is the JSON of those told of before."""
        for friend in circle.keys() - texts.keys():
            texts[friend] = _status(friend, present, circle[friend]).model_dump_json(exclude_none=True)
        data = ",".join([f'"{friend}":{texts[friend]}' for friend in sorted(circle)])
        return self._event([user], Initial.event_name, f"{{{data}}}")

    def _change(self, status: StatusChange, audience: Collection[int]) -> None:
        if audience:
            users = [str(user) for user in audience]
            data = status.model_dump(exclude_none=True)
            self._emitter.emit(
                SSE_PUSH, PushEvent(topic=TOPIC.name, event=status.event_name, user_ids=users, data=data)
            )

    def _event(self, users: Collection[int], name: str, data: str) -> Event:
        """An event of this node's own for *users*' streams here; it may be larger than what others publish."""
        keys = event_keys(TOPIC, TOPIC.name, list(users))
        return Event(TOPIC.name, keys, data.encode(), name, self._clock(), kept=False, local=True)

    def _failed(self, error: Exception) -> None:
        """Once for each time that it fails, not for each try."""
        if not self._failing:
            self._failing = True
            _log.error("presence.failed", error=str(error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("presence.recovered")


def _status(user: int, present: Mapping[int, float], seen: float | None) -> StatusChange:
    """How *user* is: present, or last seen at *seen*."""
    if user in present:
        return StatusChange(user_id=user, is_online=True, last_activity=timestamp(present[user]))
    return StatusChange(user_id=user, is_online=False, last_seen=None if seen is None else timestamp(seen))


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
