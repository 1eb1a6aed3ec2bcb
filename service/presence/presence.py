"""Who of this node's users is online: their streams, their heartbeats, the grace of those who left.

Counts, and keeps two timers for all of them; what follows from it is the clerk's work (clerk.py).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from sse_push.events.emitter import Emitter
from sse_push.events.engines.base import Engine
from sse_push.events.errors import DatabaseUnavailable
from sse_push.events.event import Event
from sse_push.events.group import EventGroup, EventList
from sse_push.events.rosters.base import Roster
from sse_push.service.batches import Batch
from sse_push.service.presence.clerk import Clerk
from sse_push.service.presence.statuses import connected, heartbeat
from sse_push.service.presence.waiting import BULK
from sse_push.service.presence.watches import Watch
from sse_push.service.streams.presence import TOPIC

if TYPE_CHECKING:
    from sse_push.service.presence.circles import Circles

SLOTS = 60  # a heartbeat's period is spread over so many ticks


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
        beat: Seconds between two heartbeats of a user.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        roster: Roster,
        circles: "Callable[[], Circles]",
        engine: Engine,
        emitter: Emitter,
        deliver: Callable[[EventGroup], object],
        *,
        grace: float,
        beat: float,
        clock: Callable[[], float],
    ) -> None:
        self._roster = roster
        self._circles = circles
        self._deliver = deliver
        self._grace = grace
        self._tick_s = beat / SLOTS
        self._clock = clock
        self._known: Batch[int, int] = Batch(lambda users: circles().known(users), size=BULK)
        self._clerk = Clerk(roster, circles, engine, emitter, self._hold_again, clock)
        self._here: dict[int, _Here] = {}
        self._slots: list[set[int]] = [set() for _ in range(SLOTS)]
        self._hand = 0
        # Users without a stream, and until when, by the loop's time, they may return.
        self._leaving: dict[int, float] = {}
        self._settled = 0.0  # by the loop's time before which nobody leaves
        self._beat: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self.engine = engine

    def __len__(self) -> int:
        """Users of this node who are online."""
        return len(self._here)

    @property
    def is_idle(self) -> bool:
        """Nobody is about to leave, and all is told."""
        return not self._leaving and self._clerk.is_idle

    @property
    def is_telling(self) -> bool:
        """Friends are told of a change in this turn of the loop."""
        return self._clerk.is_telling

    def start(self) -> None:
        self._roster.start(self._inherited, self._clerk.moves.forgot)

    async def watch(self, user: int) -> Watch | None:
        """For a stream of *user*'s that is about to open; ``None`` where there is no such user.

        Raises:
            DatabaseUnavailable: It can't be told now.
        """
        version = await self._known.get(user)
        return None if version is None else Watch(self, TOPIC, user, version)

    def connected(self, user: int) -> Event:
        """What a stream of *user*'s begins with."""
        return connected(user, self._clock())

    def set_online(self, user: int, watch: Watch) -> None:
        """A stream of *user*'s is open."""
        here = self._here.get(user)
        if here is None:
            here = self._enter(user)
            self._clerk.moves.join(user)
        self._leaving.pop(user, None)
        here.watches.add(watch)
        self._clerk.ask([watch])
        if self._beat is None and not self._draining:
            self._beat = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def set_offline(self, user: int, watch: Watch) -> None:
        """It is closed. If it was their last, *user* is offline when the grace is over."""
        here = self._here[user]
        here.watches.discard(watch)
        self._clerk.forget(watch)
        if not here.watches:
            here.left = self._clock()
            self._leaving[user] = max(asyncio.get_running_loop().time() + self._grace, self._settled)
            self._arm_sweep()

    def update_activity(self, users: Iterable[int]) -> None:
        """*users* are active now."""
        self._clerk.moves.touch(users)

    def met(self, one: int, other: int) -> None:
        """Two became friends: each learns at once how the other is."""
        self._clerk.introduce(one, other)

    def refresh(self) -> None:
        """Something may have been missed: tell every stream anew how all friends are."""
        self._clerk.moves.check()
        for here in self._here.values():
            self._clerk.ask(here.watches)

    def look(self, users: Iterable[int]) -> None:
        """See whether the circles of *users* have changed, and if so, tell their streams here who is in them."""
        here = [self._here[user] for user in users if user in self._here]
        self._clerk.compare(watch for one in here for watch in one.watches)

    def look_again(self, watch: Watch) -> None:
        """What *watch* is told is old already: tell it anew how all friends are."""
        self._clerk.ask([watch])

    def drain(self) -> None:
        """This node goes away: who leaves it now is about to come to another."""
        self._draining = True
        for timer in (self._beat, self._sweep):
            if timer is not None:
                timer.cancel()

    async def close(self) -> None:
        """Leave the roster, and keep when those who are here were last seen."""
        self.drain()
        await self._clerk.close()
        now = self._clock()
        seen = {user: here.left if user in self._leaving else now for user, here in self._here.items()}
        try:
            if seen:
                await self._circles().saw(seen)
        except DatabaseUnavailable:
            pass  # the database has said so itself; they were seen when they came
        await self._roster.close()

    def _enter(self, user: int) -> _Here:
        here = self._here[user] = _Here(
            self._hand - 1
        )  # the slot just served: the first beat is a period away
        self._slots[here.slot].add(user)
        return here

    def _tick(self) -> None:
        if not self._here:
            self._beat = None
            return
        self._beat = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        users = self._slots[self._hand]
        self._hand = (self._hand + 1) % SLOTS
        if users:
            self._deliver(EventList([heartbeat(users, self._clock())]))
            self.update_activity(users)
            self.look(users)

    def _arm_sweep(self) -> None:
        """Look again when the first to leave, who stands first, has no more grace."""
        if self._leaving and self._sweep is None and not self._draining:
            loop = asyncio.get_running_loop()
            due = next(iter(self._leaving.values()))
            self._sweep = loop.call_later(max(0.0, due - loop.time()), self._end_grace)

    def _end_grace(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        while self._leaving and next(iter(self._leaving.values())) <= now:
            user = next(iter(self._leaving))
            del self._leaving[user]
            here = self._here.pop(user)
            self._slots[here.slot].discard(user)
            self._clerk.moves.leave(user, here.left)
        self._arm_sweep()

    def _inherited(self, users: Mapping[str, float]) -> None:
        """A node died: of these it can't tell any more."""
        self._clerk.tell_for_others({int(user): at for user, at in users.items()})

    def _hold_again(self, settles: float) -> None:
        """The roster forgot this node: everybody onto it anew.

        Where it lost all, nobody was told of as gone, and nobody will be told that they came. Who has left meanwhile leaves
        later, and nobody is told how all friends are before: other nodes may hold them, and must have said so.
        """
        if settles:
            self._settled = asyncio.get_running_loop().time() + settles
            self._clerk.wait_to_tell(settles)
            for user, left in self._clerk.moves.take_leaves().items():
                self._enter(user).left = left
                self._leaving[user] = 0.0
            self._leaving = dict.fromkeys(self._leaving, self._settled)
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
            self._arm_sweep()
        self._clerk.moves.join_again(self._here.keys(), quietly=bool(settles))
