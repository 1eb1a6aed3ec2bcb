"""The public keys that verify tokens: a JWKS document, fetched at the start and again on a period.

A token that names a key which the document does not have makes it be fetched earlier. The only part of the service
that calls out.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import aiohttp
import jwt
import structlog

from sse_push.events.errors import KeysUnavailable, Unauthenticated
from sse_push.service.claims import INVALID
from sse_push.service.jwk_document import MAX_KEY_ID_CHARS, Keys, read_document

FETCH_TIMEOUT_S = 5.0  # seconds
MAX_DOCUMENT_BYTES = 256 * 1024  # bytes: some hundred keys
KEEP_S = (
    86_400.0  # seconds for which keys are trusted while the document can't be fetched: an issuer's bad day
)
MAX_RETRY_S = 30.0  # seconds between two tries of a document that can't be fetched; begins with 1, doubles
# Seconds between two fetches for keys that are not known: made-up key ids must not make us hammer the issuer. A fetch
# that brings no new key doubles the first up to the second; one that does begins again.
MIN_SPACING_S = 1.0
MAX_SPACING_S = 10.0
UNKNOWN_KEY_S = 10.0  # seconds for which a key id that the document did not have is refused without a fetch
MAX_UNKNOWN_KEYS = 1_000  # such key ids remembered; past it the oldest is forgotten
MAX_WAITING_TOKENS = 1_000  # requests that wait for a fetch; past it they get 503

UNAVAILABLE = "the keys that verify tokens can't be fetched now"

_log = structlog.get_logger()


class KeySet:
    """The keys of one JWKS document.

    Args:
        url: May hold credentials: it never reaches logs or answers.
        clock: Monotonic seconds.
        refresh: Seconds between two fetches.
    """

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
        *,
        refresh: float = 300.0,
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._period = refresh
        self._clock = clock
        self._keys = Keys({}, ())
        self._fetched: float | None = None  # when the keys came
        self._fetching = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None  # a fetch that has not begun
        self._refreshing: asyncio.Task[None] | None = None
        self._failures = 0  # in a row
        self._spacing = MIN_SPACING_S
        self._earliest = float("-inf")  # of the next fetch for a key that is not known
        self._unknown: dict[str, float] = {}  # key ids, and when the document was found not to have them
        self._waiting = 0
        self._listeners: list[Callable[[Collection[str]], None]] = []

    def on_removed(self, listener: Callable[[Collection[str]], None]) -> None:
        """Call *listener* with the ids of keys that left the document, or are other keys now."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Fetch the document, now and on its period; a fetch that fails is tried again, later and later."""
        self._refreshing = asyncio.get_running_loop().create_task(self._keep_fresh(), name="jwks")

    async def close(self) -> None:
        tasks = [task for task in (self._refreshing, self._next) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def key_for(self, token: str, *, besides: Any = None) -> tuple[str, Any]:
        """The public key that *token*'s header names (or the only key there is), behind its id in the document.

        Args:
            besides: A key that the token is not signed with: the issuer may use its id, or none, for a newer one.

        Raises:
            Unauthenticated: There is none such.
            KeysUnavailable: The document can't be fetched, so that is not known.
            jwt.PyJWTError: It has no readable header.
        """
        header = jwt.get_unverified_header(token)
        key_id, algorithm = header.get("kid"), header.get("alg")
        # The configuration says which algorithms may be used, and a key serves its own alone.
        if algorithm not in self._algorithms or not (key_id is None or isinstance(key_id, str)):
            raise Unauthenticated(INVALID)
        await self._wait_for_first()
        found = self._find(key_id, algorithm)
        is_another = besides is not None and found is not None and found[1] == besides
        if is_another or (found is None and key_id is not None and not self.has(key_id)):
            await self._look_for(key_id or "", besides)
            found = self._find(key_id, algorithm)
        if found is None or (besides is not None and found[1] == besides):
            raise Unauthenticated(INVALID)
        return found

    def has(self, key_id: str) -> bool:
        """Whether the document has the key that :meth:`key_for` gave with *key_id*."""
        return any((known or "") == key_id for known, _ in self._keys.usable)

    def _find(self, key_id: str | None, algorithm: str) -> tuple[str, Any] | None:
        usable = self._keys.usable
        if key_id is None and len(usable) == 1:
            [((its_id, its_algorithm), key)] = usable.items()
            return (its_id or "", key) if its_algorithm == algorithm else None
        key = None if key_id is None else usable.get((key_id, algorithm))
        return None if key_id is None or key is None else (key_id, key)

    def _is_usable(self) -> bool:
        return self._fetched is not None and self._clock() - self._fetched < KEEP_S

    async def _wait_for_first(self) -> None:
        """See that there are keys.

        Raises:
            KeysUnavailable: There are none, after the fetch that is under way or may be made now.
        """
        if not self._is_usable() and (self._fetching.locked() or self._clock() >= self._earliest):
            await self._wait(self._fetch_begun_or_next)
        if not self._is_usable():
            raise KeysUnavailable(UNAVAILABLE)

    async def _look_for(self, key_id: str, besides: Any) -> None:
        """Fetch for a key id that is not known, or is another key's by now, unless that was in vain a moment ago.

        Raises:
            KeysUnavailable: The document can't be fetched, so that it is not known whether the key is there now.
        """
        if len(key_id) > MAX_KEY_ID_CHARS:
            return
        if self._clock() - self._unknown.get(key_id, float("-inf")) < UNKNOWN_KEY_S:
            return
        await self._wait(self._next_fetch)
        if self._failures:
            if besides is not None:
                return  # as far as is known the signature is wrong
            raise KeysUnavailable(UNAVAILABLE)
        if not self.has(key_id) or (besides is not None and besides in self._keys.usable.values()):
            self._unknown.pop(key_id, None)
            self._unknown[key_id] = self._clock()
            if len(self._unknown) > MAX_UNKNOWN_KEYS:
                del self._unknown[next(iter(self._unknown))]

    async def _wait(self, fetch: Callable[[], Awaitable[None]]) -> None:
        if self._waiting >= MAX_WAITING_TOKENS:
            raise KeysUnavailable(UNAVAILABLE)
        self._waiting += 1
        try:
            await asyncio.shield(fetch())  # a request that is given up must not end it for the others
        finally:
            self._waiting -= 1

    async def _fetch_begun_or_next(self) -> None:
        if self._fetching.locked():
            async with self._fetching:
                return
        await asyncio.shield(self._next_fetch())

    def _next_fetch(self) -> "asyncio.Task[None]":
        """The fetch that has not begun: whoever waits for it gets a document that is newer than their question."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._fetch_spaced(), name="jwks fetch")
        return self._next

    async def _fetch_spaced(self) -> None:
        await asyncio.sleep(max(0.0, self._earliest - self._clock()))
        self._next = None
        before = set(self._keys.usable)
        if self._clock() - self._earliest > MAX_SPACING_S:
            self._spacing = MIN_SPACING_S
        await self._refresh()
        found_more = not before.issuperset(self._keys.usable)
        self._spacing = MIN_SPACING_S if found_more else min(MAX_SPACING_S, self._spacing * 2)
        self._earliest = self._clock() + self._spacing

    async def _keep_fresh(self) -> None:
        while True:
            await self._refresh()
            retry = min(MAX_RETRY_S, 2.0 ** min(self._failures - 1, 10))
            await asyncio.sleep((retry if self._failures else self._period) * random.uniform(0.9, 1.0))

    async def _refresh(self) -> None:
        """Fetch the document. The keys known so far stay good where that fails: it must not lock everybody out."""
        async with self._fetching:
            try:
                keys = read_document(await _fetch(self._url), self._algorithms)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next fetch must come
                self._failures += 1
                _log.error("jwks.failed", error=_described(error), failures=self._failures)
                return
        self._failures = 0
        self._fetched = self._clock()
        self._take(keys)

    def _take(self, keys: Keys) -> None:
        before, self._keys = self._keys, keys
        if keys.usable != before.usable or not before.usable:
            _log.info("jwks.fetched", keys=len(keys.usable))
        for key_id, reason in keys.refused:
            if (key_id, reason) not in before.refused:
                _log.warning("jwks.key_refused", key_id=key_id, reason=reason)
        removed = {name[0] or "" for name, key in before.usable.items() if keys.usable.get(name) != key}
        if removed:
            _log.info("jwks.keys_removed", key_ids=sorted(removed))
            for listener in self._listeners:
                listener(removed)


async def _fetch(url: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(url) as answer,
    ):
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError("the document is too large")
        return json.loads(body)


def _described(error: Exception) -> str:
    """What went wrong, without the URL, which most of aiohttp's messages quote and which may hold credentials."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{name}: status {error.status}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{name}: {error.os_error}"
    if isinstance(error, aiohttp.ClientError):  # InvalidURL is a ValueError too
        return name
    return f"{name}: {error}" if str(error) else name
