"""Runs the registry's scripts, and plain commands, on the server.

Knows one connection, how to reconnect, and which errors leave it usable. Does not know what the scripts do.
"""

import asyncio
from typing import Any

import hiredis

from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.connection import RedisConnection
from sse_push.events.engines.redis.script_loader import ScriptLoader
from sse_push.events.errors import EngineUnavailable

REPLY_TIMEOUT_S = 5.0  # seconds without a reply after which the connection is closed
_SCRIPTS = ("renew", "update", "ack", "touch", "expire_node", "fetch_pending", "deregister")
_KEYS = ("nodes", "holders", "activity", "tombstones", "state", "pending")  # KEYS of every script: common.lua


class ScriptClient:
    """The client of *node* at the server at *url* (:class:`sse_push.events.engines.redis.address.RedisAddress`).

    Args:
        name: Of the connection, in the server's list of clients.
    """

    def __init__(self, url: str, node: str, name: str) -> None:
        self._address = RedisAddress.parse(url)
        self._node = node
        self._name = name
        self._connection = RedisConnection()
        self._scripts = ScriptLoader(
            "sse_push.service.presence.registry.redis", dict.fromkeys(_SCRIPTS, ("common",))
        )
        self._connecting = asyncio.Lock()
        self.prefix = f"{{{self._address.prefix}}}:presence:"

    async def run(self, name: str, *arguments: str | float) -> Any:
        """Run the script *name*; returns its reply.

        Raises:
            EngineUnavailable: There is no reply, or an error. The script may have run all the same.
        """
        keys = [self.prefix + key for key in _KEYS]
        parameters = (len(keys), *keys, self.prefix, self._node, *arguments)
        await self._connect()
        try:
            return await self.call("EVALSHA", self._scripts.sha(name), *parameters)
        except EngineUnavailable as error:
            if not isinstance(error.__cause__, hiredis.ReplyError) or "NOSCRIPT" not in str(error.__cause__):
                raise
            return await self.call("EVAL", self._scripts.source(name), *parameters)  # this loads it again

    async def call(self, *command: str | bytes | float) -> Any:
        """Send *command*; returns its reply.

        Raises:
            EngineUnavailable: There is no reply, or an error.
        """
        await self._connect()
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await self._connection.call(*command)
        except TimeoutError:
            self._disconnect()
            raise EngineUnavailable("Redis does not answer") from None
        except hiredis.HiredisError as error:
            if str(error).startswith("READONLY"):
                self._disconnect()  # it has become a replica; its name may lead to the new primary
            raise EngineUnavailable(f"Redis refuses: {error}") from error

    def close(self) -> None:
        self._connection.abort()

    def _disconnect(self) -> None:
        self._connection.abort()
        self._connection = RedisConnection()

    async def _connect(self) -> None:
        async with self._connecting:
            if self._connection.open:
                return
            connection = RedisConnection()
            await connection.connect(self._address, self._name)
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._scripts.load(connection)
            except (TimeoutError, hiredis.HiredisError) as error:
                connection.abort()
                raise EngineUnavailable(f"can't use Redis at {self._address}: {error}") from None
            self._connection = connection
