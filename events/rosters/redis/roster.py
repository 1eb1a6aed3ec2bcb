"""The roster of many nodes: sets and counts on the server, changed by scripts, which Redis runs alone.

A node has a lease, which it renews; who finds one that is over buries the node and inherits: it is told the users who are
gone by that, and of whom the dead one had yet to tell. Knows the scripts and when to call them; does not know whom it
tells, nor how.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

import structlog

from sse_push.events.errors import EngineUnavailable
from sse_push.events.rosters.base import Forgotten, Moved, Roster, Untold
from sse_push.events.rosters.redis.calls import Calls

CALL_USERS = 500  # users of one script: Redis does nothing else meanwhile (1 ms)
RETIRE_S = 10.0  # seconds that users of a node that goes away have to come to another: what `retry:` tells, and the grace
SETTLE_S = (
    5.0  # seconds that nodes have to say anew whom they hold, after the server lost all: to connect takes 2
)
_NO_TIME = 1e11  # seconds since the Unix epoch: the year 5138; what is later was not written by a node
_LEASE = 0.6  # of the timeout: the rest is for whoever finds it over, and for a tick that is late
_TICKS = 6  # renewals in a lease: some may fail
_RETURN = 0.45  # of a lease: nodes have to come back when Redis was away; less than half, or the dead would seem to live

_log = structlog.get_logger()


class RedisRoster(Roster):
    """Holds its users on the server at *url* (:class:`sse_push.events.engines.redis.link.Address`).

    Args:
        node_id: The node's name; each of its lives is a node of its own.
        timeout: Seconds after which the users of a node that died are told of as gone, at the latest.
    """

    def __init__(self, url: str, node_id: str, *, timeout: float) -> None:
        life = secrets.token_hex(6)
        self._node = f"{node_id}-{life}"
        self._calls = Calls(url, self._node, f"sse-push-{life}-roster")
        self._lease = timeout * _LEASE
        self._epoch = ""
        self._keeper: asyncio.Task[None] | None = None
        self._unsure = False  # an answer was lost: it may have said what this node has to tell
        self._untold: Untold = dict
        self._forgotten: Forgotten = float

    def start(self, untold: Untold, forgotten: Forgotten) -> None:
        self._untold, self._forgotten = untold, forgotten

    async def move(self, joins: Collection[str], leaves: Collection[str], now: float) -> Moved:
        await self._begin()
        await self._recall()
        came: set[str] = set()
        gone: set[str] = set()
        settling = True
        moves = [(user, True) for user in joins] + [(user, False) for user in leaves]
        for part in _parts(moves):
            coming = [user for user, stays in part if stays]
            leaving = [user for user, stays in part if not stays]
            answer = await self._claim(
                "move", self._epoch, repr(now), SETTLE_S, len(coming), *coming, *leaving
            )
            if answer is None:
                await self._renew()
                raise EngineUnavailable("the roster does not know this node")
            within, count, *told = answer
            settling = settling and bool(within)
            came.update(user.decode() for user in told[:count])
            gone.update(user.decode() for user in told[count:])
        return Moved(frozenset(came), frozenset(gone), settling)

    async def told(self, users: Collection[str]) -> None:
        for part in _parts(users):
            await self._calls.run("told", *part)

    async def check(self) -> None:
        if self._keeper is not None:
            await self._renew()

    async def touch(self, users: Collection[str], now: float) -> None:
        for part in _parts(users):
            await self._calls.run("touch", repr(now), *part)

    async def present(self, users: Collection[str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for part in _parts(users):
            active = await self._calls.call("HMGET", f"{self._calls.prefix}activity", *part)
            times = zip(part, map(_time_of, active), strict=True)
            found.update((user, at) for user, at in times if at is not None)
        return found

    async def close(self) -> None:
        if self._keeper is None:
            return
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        try:
            await self._calls.run("retire", RETIRE_S)
        except EngineUnavailable as error:
            _log.warning("roster.unreachable", error=str(error))
        self._calls.close()

    # -- the lease -----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._keeper is None:
            await self._renew()
            self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="roster")

    async def _keep(self) -> None:
        """Renew the lease, and look for nodes whose lease is over."""
        failing = False
        while True:
            await asyncio.sleep(self._lease / _TICKS * random.uniform(0.8, 1.2))
            try:
                await self._look()
            except EngineUnavailable as error:
                if not failing:
                    _log.warning("roster.unreachable", error=str(error))
                failing = True
            except Exception as error:  # noqa: BLE001 - or the lease would end unseen
                _log.error("roster.crashed", exc_info=error)
            else:
                failing = False

    async def _look(self) -> None:
        await self._renew()
        await self._recall()
        await self._sweep()

    async def _renew(self) -> None:
        told = (self._lease, secrets.token_hex(8), self._epoch, SETTLE_S, self._lease * _RETURN)
        epoch, known, ms = await self._calls.run("renew", *told)
        before, self._epoch = self._epoch, epoch.decode()
        lost = before != self._epoch
        if (before and (lost or not known)) or (not before and ms):
            self._forgotten(ms / 1000 if lost else 0.0)

    # -- what is to be told ---------------------------------------------------------------------------

    async def _sweep(self) -> None:
        more = 1
        while more:
            more, *told = await self._claim("sweep", CALL_USERS)
            if told:
                self._tell(told)
                _log.warning("roster.swept", users=len(told) // 2)

    async def _claim(self, name: str, *arguments: str | float) -> Any:
        """Run what may make this node owe something."""
        try:
            return await self._calls.run(name, *arguments)
        except EngineUnavailable:
            self._unsure = True
            raise

    async def _recall(self) -> None:
        """After an answer was lost: ask what this node owes."""
        if not self._unsure:
            return
        self._unsure = False  # an answer that is lost from now on counts anew
        cursor = None
        while cursor != "0":
            answer, *told = await self._claim("recall", cursor or "0", CALL_USERS)
            cursor = answer.decode()
            if told:
                self._tell(told)

    def _tell(self, told: Sequence[bytes]) -> None:
        users = zip(told[::2], told[1::2], strict=True)
        self._untold({user.decode(errors="replace"): _time_of(at) or time.time() for user, at in users})


def _time_of(text: bytes | None) -> float | None:
    """The time that is written on the server; ``None`` if there is none, or what somebody else put there."""
    try:
        at = float(text or b"")
    except ValueError:
        return None
    return at if 0 <= at < _NO_TIME else None


def _parts(users: Collection[Any]) -> Iterator[Sequence[Any]]:
    """*users* in parts of what one call takes."""
    rest = iter(users)
    while part := tuple(islice(rest, CALL_USERS)):
        yield part
