"""Several nodes that share a roster on a real server, what each is told, and what may befall their answers and leases."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.redis.registry import RedisRegistry
from tests.redis_server import RedisServer
from tests.service.presence.registry.contract import NOW

_number = count()


class Told:
    """What a node is told."""

    def __init__(self) -> None:
        self.left: dict[str, float] = {}
        self.times = 0
        self.forgotten: list[float] = []

    def hear(self, gone: Mapping[str, float]) -> None:
        self.times += len(gone)
        self.left.update(gone)


class Nodes:
    """Nodes that share a roster on *server*."""

    def __init__(self, server: RedisServer, timeout: float) -> None:
        self._url = f"{server.url}?prefix=roster{next(_number)}"
        self._timeout = timeout
        self._made: list[RedisRegistry] = []

    def node(self, name: str = "n") -> tuple[RedisRegistry, Told]:
        roster, told = RedisRegistry(self._url, name, timeout=self._timeout), Told()
        roster.start(told.hear, told.forgotten.append)
        self._made.append(roster)
        return roster, told

    def kill(self, roster: RedisRegistry) -> None:
        """Without a word."""
        if roster._lease_task is not None:
            roster._lease_task.cancel()
        roster._client.close()
        self._made.remove(roster)

    async def close(self) -> None:
        for roster in self._made:
            await roster.close()


async def hold(roster: RedisRegistry, *users: str) -> None:
    """Take *users* on, and say that it is told."""
    await roster.update(users, [], NOW)
    await roster.ack(users)


async def keys_of(roster: RedisRegistry, *patterns: str) -> list[Any]:
    prefix = roster._client.prefix
    found = [
        key for pattern in patterns for key in await roster._client.call("KEYS", f"{glob(prefix)}{pattern}")
    ]
    return found or ["none"]


def glob(text: str) -> str:
    return text.replace("{", "?").replace("}", "?")


@contextmanager
def lost_answers(roster: RedisRegistry) -> Iterator[None]:
    """What the server answers to a script that changes something is lost on its way."""
    run = roster._client.run

    async def lose(name: str, *arguments: Any) -> Any:
        answer = await run(name, *arguments)
        if name == "update" or (name == "expire_node" and len(answer) > 1):
            raise EngineUnavailable("Redis is away")
        return answer

    roster._client.run = lose  # type: ignore[method-assign]
    yield
    roster._client.run = run  # type: ignore[method-assign]


async def lease_of(node: RedisRegistry, asked: RedisRegistry) -> float:
    """Seconds that are left of *node*'s lease, as *asked* sees it, by the clock of :func:`pass_time`."""
    seconds, micros = await asked._client.call("TIME")
    score = await asked._client.call("ZSCORE", f"{asked._client.prefix}nodes", node._node)
    return float(score) - int(seconds) - int(micros) / 1e6


async def pass_time(roster: RedisRegistry, seconds: float) -> None:
    """Let *seconds* go by, as far as the roster's keys can tell."""
    nodes, state = (roster._client.prefix + key for key in ("nodes", "state"))
    scores = await roster._client.call("ZRANGE", nodes, 0, -1, "WITHSCORES")
    for node, score in zip(scores[::2], scores[1::2], strict=True):
        await roster._client.call("ZADD", nodes, float(score) - seconds, node)
    heard = float(await roster._client.call("HGET", state, "heard"))
    await roster._client.call("HSET", state, "heard", repr(heard - seconds))
