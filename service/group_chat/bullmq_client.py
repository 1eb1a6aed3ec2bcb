"""The Redis server of the job queue, for ``bullmq``: one connection pool that all its objects share.

Imports ``bullmq`` and its ``redis`` when they are needed. Knows their options and errors, not jobs.
"""

import asyncio
from collections.abc import Iterable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sse_push.service.settings import BadSettings

PREFIX = "bull"  # BullMQ's default prefix of all keys
REDIS_TIMEOUT_S = 10.0  # seconds for a reply: twice as long as any command blocks
CONNECTIONS = 100  # of one process: queue, events, worker, and one per concurrent job

CANCEL_RETRY_S = 0.1  # seconds between two cancellations of a task


def split_url(url: str) -> tuple[str, str]:
    """The engine's URL without its ``prefix`` parameter, and the prefix of the queue's keys.

    A service that shares its Redis server with another sets ``?prefix=NAME``; it applies to the queue too.
    """
    address, _, parameters = url.partition("?")
    query = dict(parse_qsl(parameters))
    prefix = query.pop("prefix", PREFIX)
    return f"{address}?{urlencode(query)}" if query else address, prefix


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel *tasks* until they are done: ``redis`` swallows a cancellation while it takes a connection from its pool."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_RETRY_S)


class BullMqClient:
    """Connects to the server at *url*."""

    def __init__(self, url: str) -> None:
        self._url, self.prefix = split_url(url)
        self._bullmq: Any = None
        self._redis: Any = None
        self._pool: Any = None
        self.errors: tuple[type[Exception], ...] = (OSError,)

    async def open(self) -> None:
        """Import the packages. Does not connect yet.

        Raises:
            BadSettings: They are not installed.
        """
        try:
            self._bullmq, self._redis = await asyncio.to_thread(_libraries)
        except ImportError as error:
            raise BadSettings(f"group chat on Redis needs BullMQ: pip install 'sse-push[redis]' ({error})") from None  # fmt: skip
        self.errors = (self._redis.RedisError, OSError, asyncio.TimeoutError)
        self._pool = self._redis.asyncio.ConnectionPool.from_url(
            self._url, decode_responses=True, socket_timeout=REDIS_TIMEOUT_S, max_connections=CONNECTIONS
        )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()

    def client(self) -> Any:
        """A client of the pool; closing it leaves the pool open."""
        return self._redis.asyncio.Redis(connection_pool=self._pool)

    def key(self, queue: str, name: str) -> str:
        """The Redis key *name* of *queue*."""
        return f"{self.prefix}:{queue}:{name}"

    def queue(self, name: str) -> Any:
        return self._bullmq.Queue(name, self._options())

    def events(self, name: str, after: str, block_ms: int) -> Any:
        """The queue's events after the one with the id *after*."""
        return self._bullmq.QueueEvents(
            name, {**self._options(), "lastEventId": after, "blockingTimeout": block_ms, "autorun": False}
        )

    def worker(self, name: str, processor: Any, options: dict[str, Any]) -> Any:
        return self._bullmq.Worker(name, processor, {**self._options(), **options, "autorun": False})

    def _options(self) -> dict[str, Any]:
        return {"connection": self.client(), "prefix": self.prefix, "skipVersionCheck": True}


def describe_error(error: BaseException) -> str:
    """*error* as text."""
    return "Redis does not answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _libraries() -> tuple[ModuleType, ModuleType]:
    import bullmq
    import redis.asyncio

    return bullmq, redis
