"""Passwords: hashed with argon2id beside the event loop, a few at a time. Knows no accounts.

A hash takes 64 MiB and 0.16 s of processor time (the second choice of RFC 9106: 3 passes over 64 MiB in 4 lanes; measured
on a core of a cloud machine, two of which verify 5 to 10 a second), so a crowd that logs in waits in line rather than
take the machine, and one that is too long is turned away.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from sse_push.events.errors import OverLimit

if TYPE_CHECKING:
    from argon2 import PasswordHasher

HASHERS = 2  # hashes at once: argon2 leaves the interpreter meanwhile, and each takes a core and 64 MiB
MAX_WAITING_HASHES = 100  # that wait for their turn: 10 to 20 s; past it logins are told to come again
RETRY_AFTER_S = 5  # seconds, for those

Result = TypeVar("Result")


class Passwords:
    """Hashes and verifies."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._hasher: PasswordHasher | None = None
        self._nobodys: str | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash of *password*, with its salt and parameters.

        Raises:
            OverLimit: ``logins``; too many wait.
        """
        return await self._aside(lambda hasher: hasher.hash(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether *password* is that of *hashed*. ``None`` is nobody's, and takes as long to say no to.

        Raises:
            OverLimit: ``logins``; too many wait.
        """
        if self._nobodys is None:
            self._nobodys = await self.hash(secrets.token_urlsafe())
        against = hashed or self._nobodys
        return await self._aside(lambda hasher: _matches(hasher, password, against)) and hashed is not None

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    async def _aside(self, work: "Callable[[PasswordHasher], Result]") -> Result:
        if self._waiting >= MAX_WAITING_HASHES:
            raise OverLimit("logins", RETRY_AFTER_S)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(HASHERS, "passwords")
        hasher = self._hasher = self._hasher or new_hasher()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, hasher)
        finally:
            self._waiting -= 1


def new_hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


def _matches(hasher: "PasswordHasher", password: str, hashed: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
