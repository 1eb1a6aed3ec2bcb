"""The presence registry of many nodes, on Redis: sets and counters, changed by scripts that Redis runs atomically.

A node has a lease, which it renews. Whoever finds an expired lease expires the node and takes over: it gets the users who
left by that, and the users for whom the crashed node had not notified friends yet. Knows the scripts and when to call
them; does not know who is notified, nor how.
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
from sse_push.service.presence.registry.base import (
    OnPending,
    OnRegistrationLost,
    PresenceDiff,
    PresenceRegistry,
)
from sse_push.service.presence.registry.redis.script_client import ScriptClient

CALL_USERS = 500  # users of one script: Redis is blocked meanwhile (1 ms)
DEREGISTER_S = (
    10.0  # seconds that users of a stopping node have to join another: the `retry:` time and the grace period
)
RESYNC_S = 5.0  # seconds that nodes have to register their users again after the server lost its data; connecting takes 2
_NO_TIME = 1e11  # seconds since the Unix epoch (year 5138); a later time was not written by a node
_LEASE = 0.6  # share of the timeout; the rest is for the node that finds it expired, and for late ticks
_TICKS = 6  # renewals per lease: some may fail
_GRACE = 0.45  # share of a lease that nodes have to return after a Redis outage; less than half, or crashed nodes would seem alive

_log = structlog.get_logger()


class RedisRegistry(PresenceRegistry):
    """A node's registry on the server at *url* (:class:`sse_push.events.engines.redis.link.Address`).

    Args:
        node_id: The node's name; every start of it is a node of its own.
        timeout: Seconds after which the users of a crashed node are reported as left, at the latest.
    """

    def __init__(self, url: str, node_id: str, *, timeout: float) -> None:
        life = secrets.token_hex(6)
        self._node = f"{node_id}-{life}"
        self._client = ScriptClient(url, self._node, f"sse-push-{life}-registry")
        self._lease = timeout * _LEASE
        self._epoch = ""
        self._lease_task: asyncio.Task[None] | None = None
        self._reply_lost = False  # a reply was lost: it may have had pending users
        self._on_pending: OnPending = dict
        self._on_registration_lost: OnRegistrationLost = float

    def start(self, on_pending: OnPending, on_registration_lost: OnRegistrationLost) -> None:
        self._on_pending, self._on_registration_lost = on_pending, on_registration_lost

    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        await self._begin()
        await self._fetch_pending()
        joined: set[str] = set()
        left: set[str] = set()
        resyncing = True
        changes = [(user, True) for user in joins] + [(user, False) for user in leaves]
        for part in _parts(changes):
            coming = [user for user, stays in part if stays]
            leaving = [user for user, stays in part if not stays]
            answer = await self._run_pending(
                "update", self._epoch, repr(now), RESYNC_S, len(coming), *coming, *leaving
            )
            if answer is None:
                await self._renew()
                raise EngineUnavailable("the registry does not know this node")
            within, count, *reply = answer
            resyncing = resyncing and bool(within)
            joined.update(user.decode() for user in reply[:count])
            left.update(user.decode() for user in reply[count:])
        return PresenceDiff(frozenset(joined), frozenset(left), resyncing)

    async def ack(self, users: Collection[str]) -> None:
        for part in _parts(users):
            await self._client.run("ack", *part)

    async def check(self) -> None:
        if self._lease_task is not None:
            await self._renew()

    async def touch(self, users: Collection[str], now: float) -> None:
        for part in _parts(users):
            await self._client.run("touch", repr(now), *part)

    async def present(self, users: Collection[str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for part in _parts(users):
            active = await self._client.call("HMGET", f"{self._client.prefix}activity", *part)
            times = zip(part, map(_time_of, active), strict=True)
            found.update((user, at) for user, at in times if at is not None)
        return found

    async def close(self) -> None:
        if self._lease_task is None:
            return
        self._lease_task.cancel()
        await asyncio.gather(self._lease_task, return_exceptions=True)
        try:
            await self._client.run("deregister", DEREGISTER_S)
        except EngineUnavailable as error:
            _log.warning("presence.registry_unreachable", error=str(error))
        self._client.close()

    # -- the lease -----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._lease_task is None:
            await self._renew()
            self._lease_task = asyncio.get_running_loop().create_task(self._keep_lease(), name="registry")

    async def _keep_lease(self) -> None:
        """Renew the lease, and expire nodes whose lease is over."""
        failing = False
        while True:
            await asyncio.sleep(self._lease / _TICKS * random.uniform(0.8, 1.2))
            try:
                await self._tick()
            except EngineUnavailable as error:
                if not failing:
                    _log.warning("presence.registry_unreachable", error=str(error))
                failing = True
            except Exception as error:  # noqa: BLE001 - the lease must be renewed after any error
                _log.error("presence.registry_unhandled_error", exc_info=error)
            else:
                failing = False

    async def _tick(self) -> None:
        await self._renew()
        await self._fetch_pending()
        await self._expire_nodes()

    async def _renew(self) -> None:
        reply = (self._lease, secrets.token_hex(8), self._epoch, RESYNC_S, self._lease * _GRACE)
        epoch, known, ms = await self._client.run("renew", *reply)
        before, self._epoch = self._epoch, epoch.decode()
        lost = before != self._epoch
        if (before and (lost or not known)) or (not before and ms):
            self._on_registration_lost(ms / 1000 if lost else 0.0)

    # -- what is to be reply ---------------------------------------------------------------------------

    async def _expire_nodes(self) -> None:
        more = 1
        while more:
            more, *reply = await self._run_pending("expire_node", CALL_USERS)
            if reply:
                self._report_pending(reply)
                _log.warning("presence.node_expired", users=len(reply) // 2)

    async def _run_pending(self, name: str, *arguments: str | float) -> Any:
        """Run a script that may make users pending on this node."""
        try:
            return await self._client.run(name, *arguments)
        except EngineUnavailable:
            self._reply_lost = True
            raise

    async def _fetch_pending(self) -> None:
        """After a lost reply: fetch the pending users of this node."""
        if not self._reply_lost:
            return
        self._reply_lost = False  # a reply that is lost from now on needs another fetch
        cursor = None
        while cursor != "0":
            answer, *reply = await self._run_pending("fetch_pending", cursor or "0", CALL_USERS)
            cursor = answer.decode()
            if reply:
                self._report_pending(reply)

    def _report_pending(self, reply: Sequence[bytes]) -> None:
        users = zip(reply[::2], reply[1::2], strict=True)
        self._on_pending({user.decode(errors="replace"): _time_of(at) or time.time() for user, at in users})


def _time_of(text: bytes | None) -> float | None:
    """A time stored on the server; ``None`` if it is missing or malformed."""
    try:
        at = float(text or b"")
    except ValueError:
        return None
    return at if 0 <= at < _NO_TIME else None


def _parts(users: Collection[Any]) -> Iterator[Sequence[Any]]:
    """*users* in batches of one call."""
    rest = iter(users)
    while part := tuple(islice(rest, CALL_USERS)):
        yield part
