"""The Redis that jobs go through, as ``bullmq`` wants it: one pool of connections, given to all that it makes.

Imports ``bullmq`` and its ``redis`` when they are wanted; knows their options and errors, nothing of jobs.
"""

import asyncio
from collections.abc import Iterable
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sse_push.service.settings import BadSettings

PREFIX = "bull"  # BullMQ's own, of the keys of all its queues
ANSWER_S = 10.0  # seconds for an answer: twice as long as any command waits on purpose
CONNECTIONS = 100  # of one process: a queue, its events, a worker, and as many jobs as it does at once

CANCEL_AGAIN_S = 0.1  # seconds


def split_url(url: str) -> tuple[str, str]:
    """The URL of the engine without the name of its keys, and the prefix of the queue's.

    A service that shares its Redis with another has a prefix of its own (``?prefix=NAME``), and so has its queue.
    """
    where, _, given = url.partition("?")
    query = dict(parse_qsl(given))
    prefix = query.pop("prefix", PREFIX)
    return f"{where}?{urlencode(query)}" if query else where, prefix


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel *tasks* until they are done: ``redis`` loses a cancel that comes while it takes a connection."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


class RedisPlace:
    """Where *url* says."""

    def __init__(self, url: str) -> None:
        self._url, self.prefix = split_url(url)
        self._bullmq: Any = None
        self._redis: Any = None
        self._pool: Any = None
        self.errors: tuple[type[Exception], ...] = (OSError,)

    async def open(self) -> None:
        """Import what is needed. Nothing is connected yet.

        Raises:
            BadSettings: It is not installed.
        """
        try:
            self._bullmq, self._redis = await asyncio.to_thread(_libraries)
        except ImportError as error:
            raise BadSettings(f"group chat on Redis needs BullMQ: pip install 'sse-push[redis]' ({error})") from None  # fmt: skip
        self.errors = (self._redis.RedisError, OSError, asyncio.TimeoutError)
        self._pool = self._redis.asyncio.ConnectionPool.from_url(
            self._url, decode_responses=True, socket_timeout=ANSWER_S, max_connections=CONNECTIONS
        )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()

    def client(self) -> Any:
        """Closing it leaves the pool open."""
        return self._redis.asyncio.Redis(connection_pool=self._pool)

    def key(self, queue: str, name: str) -> str:
        """The key of *name* among those of *queue*."""
        return f"{self.prefix}:{queue}:{name}"

    def queue(self, name: str) -> Any:
        return self._bullmq.Queue(name, self._options())

    def events(self, name: str, after: str, block_ms: int) -> Any:
        """The queue's events behind the one with the id *after*."""
        return self._bullmq.QueueEvents(
            name, {**self._options(), "lastEventId": after, "blockingTimeout": block_ms, "autorun": False}
        )

    def worker(self, name: str, processor: Any, options: dict[str, Any]) -> Any:
        return self._bullmq.Worker(name, processor, {**self._options(), **options, "autorun": False})

    def _options(self) -> dict[str, Any]:
        return {"connection": self.client(), "prefix": self.prefix, "skipVersionCheck": True}


def described(error: BaseException) -> str:
    """What a message says of *error*."""
    return "Redis does not answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _libraries() -> tuple[ModuleType, ModuleType]:
    import bullmq
    import redis.asyncio

    return bullmq, redis
