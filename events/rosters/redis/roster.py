"""The roster of many nodes: sets and counts on the server, changed by scripts, which Redis runs alone.

A node has a lease, which it renews; who finds one that is over buries the node and is told its users, each once, whoever
looks. Knows the scripts and when to call them; does not know whom it tells, nor how.
"""

import asyncio
import random
import secrets
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any

import hiredis
import structlog

from events.engines.redis.link import Address, Link
from events.errors import EngineUnavailable
from events.rosters.base import Forgotten, Gone, Moved, Roster

CALL_S = 5.0  # seconds without an answer after which the connection is given up
CALL_USERS = 500  # users of one script: Redis does nothing else meanwhile (1 ms)
RETIRE_S = 10.0  # seconds that users of a node that goes away have to come to another: what `retry:` tells, and the grace
SETTLE_S = (
    5.0  # seconds that nodes have to say anew whom they hold, after the server lost all: to connect takes 2
)
_LEASE = 0.6  # of the timeout: the rest is for whoever finds it over, and for a tick that is late
_TICKS = 6  # renewals in a lease: some may fail
_SCRIPTS = ("renew", "move", "touch", "sweep", "retire")
_KEYS = ("nodes", "holders", "activity", "graves", "state")

_log = structlog.get_logger()


@lru_cache
def _script(name: str) -> str:
    folder = files("events.rosters.redis") / "scripts"
    return (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()


class RedisRoster(Roster):
    """Holds its users on the server at *url* (:class:`events.engines.redis.link.Address`).

    Args:
        node_id: The node's name; each of its lives is a node of its own.
        timeout: Seconds after which the users of a node that died are told of as gone, at the latest.
    """

    def __init__(self, url: str, node_id: str, *, timeout: float) -> None:
        self._address = Address.parse(url)
        self._prefix = f"{{{self._address.prefix}}}:presence:"
        self._name = secrets.token_hex(6)
        self._node = f"{node_id}-{self._name}"
        self._lease = timeout * _LEASE
        self._epoch = ""
        self._link = Link()
        self._shas: dict[str, str] = {}
        self._connecting = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._gone: Gone = dict
        self._forgotten: Forgotten = float

    def start(self, gone: Gone, forgotten: Forgotten) -> None:
        self._gone, self._forgotten = gone, forgotten

    async def move(self, joins: Collection[str], leaves: Collection[str], now: float) -> Moved:
        await self._begin()
        came: set[str] = set()
        gone: set[str] = set()
        moves = [(user, True) for user in joins] + [(user, False) for user in leaves]
        for part in _parts(moves):
            coming = [user for user, stays in part if stays]
            leaving = [user for user, stays in part if not stays]
            answer = await self._run("move", self._epoch, repr(now), len(coming), *coming, *leaving)
            if answer is None:
                await self._renew()
                raise EngineUnavailable("the roster does not know this node")
            count, *told = answer
            came.update(user.decode() for user in told[:count])
            gone.update(user.decode() for user in told[count:])
        return Moved(frozenset(came), frozenset(gone))

    async def check(self) -> None:
        if self._keeper is not None:
            await self._renew()

    async def touch(self, users: Collection[str], now: float) -> None:
        for part in _parts(users):
            await self._run("touch", repr(now), *part)

    async def present(self, users: Collection[str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for part in _parts(users):
            active = await self._call("HMGET", f"{self._prefix}activity", *part)
            found.update((user, float(at)) for user, at in zip(part, active, strict=True) if at is not None)
        return found

    async def close(self) -> None:
        if self._keeper is None:
            return
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        try:
            await self._run("retire", RETIRE_S)
        except EngineUnavailable as error:
            _log.warning("roster.unreachable", error=str(error))
        self._link.abort()

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
                await self._renew()
                await self._sweep()
            except EngineUnavailable as error:
                if not failing:
                    _log.warning("roster.unreachable", error=str(error))
                failing = True
            except Exception as error:  # noqa: BLE001 - or the lease would end unseen
                _log.error("roster.crashed", exc_info=error)
            else:
                failing = False

    async def _renew(self) -> None:
        epoch, known, ms = await self._run("renew", self._lease, secrets.token_hex(8), self._epoch, SETTLE_S)
        before, self._epoch = self._epoch, epoch.decode()
        lost = before != self._epoch
        if (before and (lost or not known)) or (not before and ms):
            self._forgotten(ms / 1000 if lost else 0.0)

    async def _sweep(self) -> None:
        while True:
            taken, *told = await self._run("sweep", CALL_USERS)
            if told:
                users = zip(told[::2], told[1::2], strict=True)
                self._gone({user.decode(): float(at) for user, at in users})
                _log.warning("roster.swept", users=len(told) // 2)
            if not taken:
                return

    # -- calling -------------------------------------------------------------------------------------

    async def _run(self, name: str, *arguments: str | float) -> Any:
        keys = [self._prefix + key for key in _KEYS]
        more = (len(keys), *keys, self._prefix, self._node, *arguments)
        await self._connect()
        try:
            return await self._call("EVALSHA", self._shas[name], *more)
        except EngineUnavailable as error:
            if not isinstance(error.__cause__, hiredis.ReplyError) or "NOSCRIPT" not in str(error.__cause__):
                raise
            return await self._call(
                "EVAL", _script(name), *more
            )  # the server forgot it, and knows it again by this

    async def _call(self, *command: str | float) -> Any:
        """What the server answers.

        Raises:
            EngineUnavailable: It does not, or it refuses.
        """
        await self._connect()
        try:
            async with asyncio.timeout(CALL_S):
                return await self._link.call(*command)
        except TimeoutError:
            self._drop()
            raise EngineUnavailable("Redis does not answer") from None
        except hiredis.HiredisError as error:
            if str(error).startswith("READONLY"):
                self._drop()  # it is a replica by now: another may be found under its name
            raise EngineUnavailable(f"Redis refuses: {error}") from error

    def _drop(self) -> None:
        self._link.abort()
        self._link = Link()

    async def _connect(self) -> None:
        async with self._connecting:
            if self._link.open:
                return
            link = Link()
            await link.connect(self._address, f"sse-push-{self._name}-roster")
            try:
                async with asyncio.timeout(CALL_S):
                    for name in _SCRIPTS:
                        self._shas[name] = (await link.call("SCRIPT", "LOAD", _script(name))).decode()
            except (TimeoutError, hiredis.HiredisError) as error:
                link.abort()
                raise EngineUnavailable(f"can't use Redis at {self._address}: {error}") from None
            self._link = link


def _parts(users: Collection[Any]) -> Iterator[Sequence[Any]]:
    """*users* in parts of what one call takes."""
    rest = iter(users)
    while part := tuple(islice(rest, CALL_USERS)):
        yield part
