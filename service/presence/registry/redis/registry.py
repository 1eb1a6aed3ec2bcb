"""The presence registry of several nodes: sets and counts on the server, changed by scripts, which Redis runs one at a time.

A node has a lease, and renews it. A node that finds an expired lease removes that node, and takes over its pending
notifications: of users who went offline by that, and of changes that the dead node had not acknowledged. Knows the scripts
and when to run them; does not know who is notified, or how.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import structlog

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.base import PresenceDiff, PresenceRegistry, RegistryListener
from sse_push.service.presence.registry.redis.script_client import ScriptClient

USERS_PER_CALL = 500  # users of one script: Redis does nothing else meanwhile (1 ms)
HANDOVER_S = 10.0  # seconds that users of a node that shuts down have to connect to another: `retry:` and the grace period
RESYNC_S = (
    5.0  # seconds that nodes have to register again after the server lost its data: to connect takes up to 2
)
_LEASE_SHARE = (
    0.6  # of the timeout; the rest is for the node that finds the lease expired, and for a late timer
)
_RENEWALS_PER_LEASE = 6  # some may fail
# Share of a lease that nodes have to come back in after Redis was away. Less than half, or dead nodes would seem alive.
_RETURN_SHARE = 0.45
_LATEST_TIME = 1e11  # seconds since the Unix epoch: the year 5138; a later time was not written by a node

_log = structlog.get_logger()


class RedisRegistry(PresenceRegistry):
    """The registry on the server at *url* (:class:`sse_push.events.engines.redis.address.RedisAddress`).

    Args:
        node_id: The node's name; each run of it counts as a node of its own.
        timeout: Seconds after which the users of a node that died have left, at the latest.
    """

    def __init__(self, url: str, node_id: str, *, timeout: float) -> None:
        run_id = secrets.token_hex(6)
        self._node = f"{node_id}-{run_id}"
        self._client = ScriptClient(url, self._node, f"sse-push-{run_id}-presence")
        self._lease_s = timeout * _LEASE_SHARE
        self._epoch = ""  # of the server's data; another one if it lost them
        self._lease_task: asyncio.Task[None] | None = None
        self._reply_lost = False  # a reply that may have named users this node must notify of
        self._listener = RegistryListener()

    def start(self, listener: RegistryListener) -> None:
        self._listener = listener

    async def update(self, joins: Collection[str], leaves: Collection[str], now: float) -> PresenceDiff:
        await self._start_lease()
        await self._fetch_pending()
        joined: set[str] = set()
        left: set[str] = set()
        resyncing = True
        changes = [(user, True) for user in joins] + [(user, False) for user in leaves]
        for batch in _batches(changes):
            joining = [user for user, joins_ in batch if joins_]
            leaving = [user for user, joins_ in batch if not joins_]
            reply = await self._run_taking_over(
                "update", self._epoch, repr(now), RESYNC_S, len(joining), *joining, *leaving
            )
            if reply is None:
                await self._renew()
                raise EngineUnavailable("the presence registry does not know this node")
            within_resync, joined_count, *users = reply
            resyncing = resyncing and bool(within_resync)
            joined.update(user.decode() for user in users[:joined_count])
            left.update(user.decode() for user in users[joined_count:])
        return PresenceDiff(frozenset(joined), frozenset(left), resyncing)

    async def ack(self, users: Collection[str]) -> None:
        for batch in _batches(users):
            await self._client.run("ack", *batch)

    async def verify(self) -> None:
        if self._lease_task is not None:
            await self._renew()

    async def touch(self, users: Collection[str], now: float) -> None:
        for batch in _batches(users):
            await self._client.run("touch", repr(now), *batch)

    async def online(self, users: Collection[str]) -> dict[str, float]:
        last_active: dict[str, float] = {}
        for batch in _batches(users):
            texts = await self._client.call("HMGET", f"{self._client.prefix}activity", *batch)
            times = zip(batch, map(_parse_time, texts), strict=True)
            last_active.update((user, at) for user, at in times if at is not None)
        return last_active

    async def close(self) -> None:
        if self._lease_task is None:
            return
        self._lease_task.cancel()
        await asyncio.gather(self._lease_task, return_exceptions=True)
        try:
            await self._client.run("deregister", HANDOVER_S)
        except EngineUnavailable as error:
            _log.warning("presence.registry_unreachable", error=str(error))
        self._client.close()

    # -- the lease -----------------------------------------------------------------------------------

    async def _start_lease(self) -> None:
        if self._lease_task is None:
            await self._renew()
            self._lease_task = asyncio.get_running_loop().create_task(
                self._keep_lease(), name="presence-lease"
            )

    async def _keep_lease(self) -> None:
        """Renew the lease, and look for nodes whose lease has expired."""
        failing = False
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS_PER_LEASE * random.uniform(0.8, 1.2))
            try:
                await self._maintain_lease()
            except EngineUnavailable as error:
                if not failing:
                    _log.warning("presence.registry_unreachable", error=str(error))
                failing = True
            except Exception as error:  # noqa: BLE001 - or the lease would expire unnoticed
                _log.error("presence.registry_unhandled_error", exc_info=error)
            else:
                failing = False

    async def _maintain_lease(self) -> None:
        await self._renew()
        await self._fetch_pending()
        await self._expire_nodes()

    async def _renew(self) -> None:
        new_epoch = secrets.token_hex(8)
        epoch, was_known, resync_ms = await self._client.run(
            "renew", self._lease_s, new_epoch, self._epoch, RESYNC_S, self._lease_s * _RETURN_SHARE
        )
        previous, self._epoch = self._epoch, epoch.decode()
        data_lost = previous != self._epoch
        if previous:
            registration_lost = data_lost or not was_known
        else:  # this node is new: it waits with the others, if these register again
            registration_lost = bool(resync_ms)
        if registration_lost:
            self._listener.on_registration_lost(resync_ms / 1000 if data_lost else 0.0)

    # -- pending notifications ------------------------------------------------------------------------

    async def _expire_nodes(self) -> None:
        """Remove nodes whose lease has expired, and take over their pending notifications."""
        may_have_more = 1
        while may_have_more:
            may_have_more, *pending = await self._run_taking_over("expire_node", USERS_PER_CALL)
            if pending:
                self._report(pending)
                _log.warning("presence.node_expired", users=len(pending) // 2)

    async def _run_taking_over(self, script: str, *arguments: str | float) -> Any:
        """Run a script by which this node may become the owner of pending notifications."""
        try:
            return await self._client.run(script, *arguments)
        except EngineUnavailable:
            self._reply_lost = True
            raise

    async def _fetch_pending(self) -> None:
        """After a reply was lost: ask which pending notifications this node owns."""
        if not self._reply_lost:
            return
        self._reply_lost = False  # a reply lost from now on is another one
        cursor = None
        while cursor != "0":
            next_cursor, *pending = await self._run_taking_over(
                "fetch_pending", cursor or "0", USERS_PER_CALL
            )
            cursor = next_cursor.decode()
            if pending:
                self._report(pending)

    def _report(self, pending: Sequence[bytes]) -> None:
        pairs = zip(pending[::2], pending[1::2], strict=True)
        self._listener.on_pending(
            {user.decode(errors="replace"): _parse_time(at) or time.time() for user, at in pairs}
        )


def _parse_time(text: bytes | None) -> float | None:
    """A time from the server; ``None`` if there is none, or something else was written in its place."""
    try:
        at = float(text or b"")
    except ValueError:
        return None
    return at if 0 <= at < _LATEST_TIME else None


def _batches(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """*items* in batches for one call each."""
    rest = iter(items)
    while batch := tuple(islice(rest, USERS_PER_CALL)):
        yield batch
