"""Public keys from a JWKS document, fetched when first needed and again when a token names a new one.

The only part of the service that calls out.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import jwt
import structlog

from events.errors import Unauthenticated

REFRESH_AT_MOST_EVERY_S = 10.0  # seconds: a stranger's made-up key ids must not make us hammer the issuer
FETCH_TIMEOUT_S = 5.0  # seconds
MAX_DOCUMENT_BYTES = 256 * 1024  # bytes: some hundred keys

_log = structlog.get_logger()


class KeySet:
    """The keys of one JWKS document, by their ``kid``."""

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()

    async def key_for(self, token: str) -> Any:
        """The public key that *token*'s head names (or the only one there is).

        Raises:
            Unauthenticated: There is none such.
            jwt.PyJWTError: It has no readable head.
        """
        head = jwt.get_unverified_header(token)
        key = self._find(head.get("kid"))
        if key is None:
            await self._refresh()
            key = self._find(head.get("kid"))
        # A key serves its own algorithm only; the configuration says which may be used at all.
        if key is None or head.get("alg") != key.algorithm_name:
            raise Unauthenticated("the token is not valid")
        return key.key

    def _find(self, kid: object) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock() - self._fetched < REFRESH_AT_MOST_EVERY_S:
                return
            self._fetched = self._clock()
            try:
                self._keys = self._read(await self._fetch())
                _log.info("jwks.fetched", keys=len(self._keys))
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, RecursionError) as error:  # fmt: skip
                # The keys known so far stay good: the issuer being away must not lock everybody out.
                _log.error("jwks.failed", error=repr(error))

    async def _fetch(self) -> Any:
        timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.get(self._url) as answer,
        ):
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError("the document is too large")
            return json.loads(body)

    def _read(self, document: Any) -> dict[str | None, jwt.PyJWK]:
        keys: dict[str | None, jwt.PyJWK] = {}
        for entry in document["keys"]:
            if not isinstance(entry, dict):
                raise TypeError("a key is no object")  # no JWKS document: what is known stays
            try:
                key = jwt.PyJWK(entry)
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
                continue  # of a kind we don't know, or broken: others may still serve
            if key.algorithm_name in self._algorithms and entry.get("use", "sig") == "sig":
                keys[entry.get("kid")] = key
        return keys
