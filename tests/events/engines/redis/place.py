"""Where the Redis engine keeps its events in tests: a real server, a prefix of its own on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from sse_push.events.engines.redis.engine import RedisEngine
from tests.events.engines.places import Life, Place
from tests.redis_server import RedisServer

_number = count()


class BullMqClient(Place):
    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._prefix = f"place{next(_number)}"
        self.url = f"{server.url}?prefix={self._prefix}"
        self._server = server

    def new_engine(self, **limits: Any) -> RedisEngine:
        return RedisEngine(self.url, clock=self.clock, **limits)

    def crash(self, life: Life) -> None:
        """Its connections are gone; what the server has of it, it has."""
        engine = life.engine
        assert isinstance(engine, RedisEngine)
        for task in engine._session._tasks:
            task.cancel()
        engine._session._away()

    def lose(self) -> None:
        for key in self._server.call("KEYS", f"{{{self._prefix}}}:*"):
            self._server.call("DEL", key)

    @contextmanager
    def outage(self, life: Life) -> Iterator[None]:
        """The server has no memory left, and refuses to keep anything."""
        self._server.call("CONFIG", "SET", "maxmemory", "1")
        try:
            yield
        finally:
            self._server.call("CONFIG", "SET", "maxmemory", "0")
