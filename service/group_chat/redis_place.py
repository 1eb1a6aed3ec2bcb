"""The Redis that jobs go through, as ``bullmq`` wants it: one pool of connections, given to all that it makes.

Imports ``bullmq`` and its ``redis`` when they are wanted; knows their options and errors, nothing of jobs.
"""

import asyncio
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from service.settings import BadSettings

PREFIX = "bull"  # BullMQ's own, of the keys of all its queues
ANSWER_S = 10.0  # seconds for an answer: twice as long as any command waits on purpose
CONNECTIONS = 100  # of one process: a queue, its events, a worker, and as many jobs as it does at once


def split_url(url: str) -> tuple[str, str]:
    """The URL of the engine without the name of its keys, and the prefix of the queue's.

    A service that shares its Redis with another has a prefix of its own (``?prefix=NAME``), and so has its queue.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    prefix = query.pop("prefix", [PREFIX])[-1]
    rest = "&".join(f"{name}={values[-1]}" for name, values in query.items())
    return urlunsplit(parts._replace(query=rest)), prefix


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


def _libraries() -> tuple[ModuleType, ModuleType]:
    import bullmq
    import redis.asyncio

    return bullmq, redis
