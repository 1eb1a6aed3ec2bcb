"""Onto the roster and off it: what this node's users do, told to the roster in bulk, and what that was news of.

What could not be done waits; a roster may forget this node. Knows the roster; does not know who is told.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Set

from sse_push.events.errors import EngineUnavailable
from sse_push.events.rosters.base import Roster
from sse_push.service.presence.waiting import put_back, take

News = dict[int, float | None]  # users who are online, or gone since


class Moves:
    """What the roster is to be told.

    Args:
        wake: Called when there is something to do.
        forgotten: Called before a move when the roster forgot whom this node holds
            (:meth:`sse_push.events.rosters.base.Roster.start`).
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        roster: Roster,
        wake: Callable[[], object],
        forgotten: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._roster = roster
        self._wake = wake
        self._forgotten = forgotten
        self._clock = clock
        self._moves: News = {}
        self._quiet: set[int] = set()  # their friends know them as online, though the roster lost them
        self._active: dict[int, None] = {}
        self._told: dict[int, None] = {}
        self._missed = False
        self._forgot: float | None = None

    @property
    def waiting(self) -> bool:
        """There is something to do."""
        return bool(self._moves or self._active or self._told or self._missed) or self._forgot is not None

    @property
    def is_unsure(self) -> bool:
        """What the roster says of anybody may be wrong: it may have lost them all, and nodes may have yet to say so."""
        return self._missed or self._forgot is not None

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

    def told(self, users: Iterable[int]) -> None:
        """The friends of *users* know how they are: if this node dies, no other need tell."""
        self._told.update(dict.fromkeys(users))
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
        """All of *users* onto the roster anew; *quietly*: nobody was told of them as gone, and
        they need not be told of if this is done before anybody looks.
        """
        again = users - {user for user, left in self._moves.items() if left is None}
        self._moves.update(dict.fromkeys(again))
        if quietly:
            self._quiet |= again

    def take_leaves(self) -> dict[int, float]:
        """Those who were about to be taken off, and since when they are gone: they leave later."""
        leaves = {user: left for user, left in self._moves.items() if left is not None}
        for user in leaves:
            del self._moves[user]
        return leaves

    async def work(self) -> News:
        """Bring the roster up to date; who came and who is gone by it.

        Raises:
            EngineUnavailable: It can't be told now; all waits on.
        """
        if self._missed:
            self._missed = False  # what is missed from now on counts anew
            try:
                await self._roster.check()
            except Exception:
                self._missed = True
                raise
        if self._forgot is not None:
            settles, self._forgot = self._forgot, None
            self._forgotten(settles)
        await self._note()  # before what may have to be told of the same users again
        moves, active = take(self._moves), take(self._active)
        try:
            news = await self._write(moves) if moves else {}
            if active:
                await self._roster.touch([str(user) for user in active], self._clock())
        except EngineUnavailable:
            put_back(self._moves, moves)
            raise
        return news

    async def _note(self) -> None:
        told = [*self._told]
        if told:
            await self._roster.told([str(user) for user in told])
        for user in told:
            self._told.pop(user, None)

    async def _write(self, moves: Mapping[int, float | None]) -> News:
        joins = {user for user, left in moves.items() if left is None}
        leaves = moves.keys() - joins
        moved = await self._roster.move(list(map(str, joins)), list(map(str, leaves)), self._clock())
        came = {int(user) for user in moved.came}
        quiet = came & self._quiet if moved.settling else set[int]()
        self.told(quiet)
        news = dict.fromkeys(came - quiet) | {int(user): moves[int(user)] for user in moved.gone}
        self._quiet -= joins
        return news

    async def present(self, users: Collection[int]) -> dict[int, float]:
        """Those of *users* who are present on some node, and when they were last active.

        Raises:
            EngineUnavailable: It can't be told now.
        """
        found = await self._roster.present([str(user) for user in users]) if users else {}
        return {int(user): at for user, at in found.items()}
