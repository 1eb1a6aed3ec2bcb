"""Runs the registry's scripts and plain commands on Redis; scripts are loaded once per connection.

Knows one connection, how to reconnect, and which errors leave it usable. Does not know what the scripts do.
"""

import asyncio
from functools import lru_cache
from importlib.resources import files
from typing import Any

import hiredis

from sse_push.events.engines.redis.link import Address, Link
from sse_push.events.errors import EngineUnavailable

CALL_S = 5.0  # seconds without a reply after which the connection is dropped
_SCRIPTS = ("renew", "update", "ack", "touch", "expire_node", "fetch_pending", "deregister")
_KEYS = ("nodes", "holders", "activity", "tombstones", "state", "pending")


@lru_cache
def _script(name: str) -> str:
    folder = files("sse_push.service.presence.registry.redis") / "scripts"
    return (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()


class ScriptClient:
    """The requests of *node* to the server at *url* (:class:`sse_push.events.engines.redis.link.Address`).

    Args:
        client: The connection's name in CLIENT LIST.
    """

    def __init__(self, url: str, node: str, client: str) -> None:
        self._address = Address.parse(url)
        self._node = node
        self._client = client
        self._link = Link()
        self._shas: dict[str, str] = {}
        self._connecting = asyncio.Lock()
        self.prefix = f"{{{self._address.prefix}}}:presence:"

    async def run(self, name: str, *arguments: str | float) -> Any:
        """Run the script *name*; returns its reply.

        Raises:
            EngineUnavailable: There is no reply, or an error. The script may have run.
        """
        keys = [self.prefix + key for key in _KEYS]
        more = (len(keys), *keys, self.prefix, self._node, *arguments)
        await self._connect()
        try:
            return await self.call("EVALSHA", self._shas[name], *more)
        except EngineUnavailable as error:
            if not isinstance(error.__cause__, hiredis.ReplyError) or "NOSCRIPT" not in str(error.__cause__):
                raise
            return await self.call("EVAL", _script(name), *more)  # EVAL loads it again

    async def call(self, *command: str | bytes | float) -> Any:
        """Run *command*; returns its reply.

        Raises:
            EngineUnavailable: There is no reply, or an error.
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
                self._drop()  # it became a replica: the name may resolve to another server
            raise EngineUnavailable(f"Redis refuses: {error}") from error

    def close(self) -> None:
        self._link.abort()

    def _drop(self) -> None:
        self._link.abort()
        self._link = Link()

    async def _connect(self) -> None:
        async with self._connecting:
            if self._link.open:
                return
            link = Link()
            await link.connect(self._address, self._client)
            try:
                async with asyncio.timeout(CALL_S):
                    for name in _SCRIPTS:
                        self._shas[name] = (await link.call("SCRIPT", "LOAD", _script(name))).decode()
            except (TimeoutError, hiredis.HiredisError) as error:
                link.abort()
                raise EngineUnavailable(f"can't use Redis at {self._address}: {error}") from None
            self._link = link
