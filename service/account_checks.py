"""Whether the account of a token that a login gave is still as the token says.

The token names a generation of its account's tokens; the account goes on to the next one when it is disabled or gets
another password or role. Knows accounts and streams; does not know how a token is read.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import structlog

from sse_push.events.errors import DatabaseUnavailable, Unauthenticated
from sse_push.service.batches import Batch
from sse_push.service.connection import Connection
from sse_push.service.connections import Connections
from sse_push.service.database import Database
from sse_push.service.identity import Caller
from sse_push.service.people import user_number

if TYPE_CHECKING:
    from sse_push.service.accounts import Accounts

CHECK_S = 5.0  # seconds for which an account is believed unseen, and between looks for those that changed
LOOK_BACK_S = (
    30.0  # seconds before the last look: transactions commit late, clocks differ, streams open meanwhile
)
KEEP_S = 3_600.0  # seconds for which the last answer counts while the database is away
MAX_KNOWN = 10_000  # accounts whose answer is remembered; past it the oldest is forgotten
BATCH_ACCOUNTS = 500  # accounts asked for in one query: some ms
ENDED = "the account of this token was removed, disabled or changed: log in again"

_log = structlog.get_logger()


@dataclass(slots=True)
class _Answer:
    generation: int | None  # ``None`` for an account that is removed or disabled
    answered: float
    asked: float


class AccountChecks:
    """Checks accounts, and ends the streams of those that changed.

    Args:
        database: That of the accounts.
        accounts: Gives the accounts; asked for when one is first checked.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        database: Database,
        accounts: "Callable[[], Accounts]",
        connections: Connections,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._connections = connections
        self._listeners: list[Callable[[str], None]] = []
        self._clock = clock
        self._generations: Batch[int, int] = Batch(
            lambda users: accounts().generations(users), size=BATCH_ACCOUNTS
        )
        self._known: dict[int, _Answer] = {}
        self._changes = 0  # so far: an answer that one overtook is asked for again
        self._looked = clock()
        self._task: asyncio.Task[None] | None = None

    def on_changed(self, listener: Callable[[str], None]) -> None:
        """Call *listener* with the id of a user whose tokens may be good no more."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Look for accounts that other nodes, or the command line, changed."""
        self._task = asyncio.get_running_loop().create_task(self._keep_looking(), name="account checks")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self, caller: Caller, *, fresh: bool = False) -> None:
        """See that the account of *caller* is as their token says; one by another issuer has none here.

        Args:
            fresh: Ask the database, whatever is remembered.

        Raises:
            Unauthenticated: It is not.
            DatabaseUnavailable: That can't be told now.
        """
        if caller.generation is not None and await self._generation(caller, fresh) != caller.generation:
            raise Unauthenticated(ENDED)

    async def changed(self, user: int) -> None:
        """An account was changed or removed: forget its tokens, and end its streams."""
        self._forget(user)
        with suppress(DatabaseUnavailable):  # then the next look ends them
            await self._end_streams([user])

    async def look(self) -> None:
        """See to the accounts that changed since the last look, and some time before."""
        began = self._clock()
        since = min(self._looked, began) - LOOK_BACK_S  # a clock may be set back
        users = await self._accounts().changed_since(since)
        self._looked = began
        for user in users:
            self._forget(user)
        await self._end_streams(users)

    async def _generation(self, caller: Caller, fresh: bool) -> int | None:
        user, now = user_number(caller.require_user()), self._clock()
        if user is None:
            return None
        known = self._known.get(user)
        if known is not None and not fresh and abs(now - known.asked) < CHECK_S:
            return known.generation
        try:
            generation = await self._ask(user)
        except DatabaseUnavailable:
            if fresh or known is None or now - known.answered > KEEP_S:
                raise
            known.asked = now
            return known.generation
        self._known.pop(user, None)
        self._known[user] = _Answer(generation, now, now)
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return generation

    async def _ask(self, user: int) -> int | None:
        while True:
            changes = self._changes
            generation = await self._generations.get(user)
            if self._changes == changes:
                return generation

    def _forget(self, user: int) -> None:
        self._changes += 1
        self._known.pop(user, None)
        for listener in self._listeners:
            listener(str(user))

    async def _end_streams(self, users: Iterable[int]) -> None:
        """End the streams that tokens of an earlier generation opened, and those of presence, which want an account."""
        names = {str(user) for user in users}
        if not names:
            return
        streams = chain(self._connections, self._connections.opening)
        bound = {its.caller_id for its in streams if its.caller_id in names and _is_bound(its)}
        now = {name: await self._ask(int(name)) for name in bound}

        def is_over(its: Connection) -> bool:
            if its.caller_id not in now or not _is_bound(its):
                return False
            generation = now[its.caller_id]
            return generation is None or its.generation not in (None, generation)

        if now:
            await self._connections.revoke("account_changed", is_over)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                if self._database.is_wanted:
                    await self.look()
            except DatabaseUnavailable:
                pass  # the database has said so itself; what was missed is looked for when it is back
            except Exception as error:  # noqa: BLE001 - the next look must come
                _log.error("account_checks.failed", error=repr(error))


def _is_bound(connection: Connection) -> bool:
    """Whether a stream needs its user's account: by its token, or for what it gives."""
    return connection.generation is not None or bool(connection.sessions)
