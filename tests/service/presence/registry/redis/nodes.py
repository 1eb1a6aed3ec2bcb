"""Several nodes that share a registry on a real server, what is reported to each, and faults of their replies and leases."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry.base import RegistryListener
from sse_push.service.presence.registry.redis.registry import RedisRegistry
from tests.redis_server import RedisServer
from tests.service.presence.registry.contract import NOW

_number = count()


class Reports(RegistryListener):
    """What is reported to a node."""

    def __init__(self) -> None:
        self.pending: dict[str, float] = {}
        self.count = 0  # of users, with repetitions
        self.lost: list[float] = []

    def on_pending(self, users: Mapping[str, float]) -> None:
        self.count += len(users)
        self.pending.update(users)

    def on_registration_lost(self, resync_s: float) -> None:
        self.lost.append(resync_s)


class Nodes:
    """Nodes that share a registry on *server*."""

    def __init__(self, server: RedisServer, timeout: float) -> None:
        self._url = f"{server.url}?prefix=presence{next(_number)}"
        self._timeout = timeout
        self._open: list[RedisRegistry] = []

    def node(self, name: str = "n") -> tuple[RedisRegistry, Reports]:
        registry, reports = RedisRegistry(self._url, name, timeout=self._timeout), Reports()
        registry.start(reports)
        self._open.append(registry)
        return registry, reports

    def kill(self, registry: RedisRegistry) -> None:
        """End a node without deregistering it."""
        silence(registry)
        registry._client.close()
        self._open.remove(registry)

    async def close(self) -> None:
        for registry in self._open:
            await registry.close()


def silence(registry: RedisRegistry) -> None:
    """Stop renewing the lease."""
    if registry._lease_task is not None:
        registry._lease_task.cancel()


async def register(registry: RedisRegistry, *users: str) -> None:
    """Register *users*, and acknowledge that their friends are notified."""
    await registry.update(users, [], NOW)
    await registry.ack(users)


async def keys_of(registry: RedisRegistry, *patterns: str) -> list[Any]:
    """The keys on the server that match *patterns*; ``["none"]`` if there are none."""
    prefix = registry._client.prefix.replace("{", "?").replace("}", "?")
    keys = [key for pattern in patterns for key in await registry._client.call("KEYS", prefix + pattern)]
    return keys or ["none"]


@contextmanager
def lost_replies(registry: RedisRegistry) -> Iterator[None]:
    """The replies of scripts that made changes are lost."""
    run = registry._client.run

    async def lose(name: str, *arguments: Any) -> Any:
        reply = await run(name, *arguments)
        if name == "update" or (name == "expire_node" and len(reply) > 1):
            raise EngineUnavailable("Redis is away")
        return reply

    registry._client.run = lose  # type: ignore[method-assign]
    yield
    registry._client.run = run  # type: ignore[method-assign]


async def lease_left(node: RedisRegistry, observer: RedisRegistry) -> float:
    """Seconds until the lease of *node* ends, by the clock of :func:`pass_time`."""
    seconds, micros = await observer._client.call("TIME")
    score = await observer._client.call("ZSCORE", f"{observer._client.prefix}nodes", node._node)
    return float(score) - int(seconds) - int(micros) / 1e6


async def pass_time(registry: RedisRegistry, seconds: float) -> None:
    """Let *seconds* pass, as far as leases are concerned."""
    client = registry._client
    nodes, state = (client.prefix + key for key in ("nodes", "state"))
    scores = await client.call("ZRANGE", nodes, 0, -1, "WITHSCORES")
    for node, score in zip(scores[::2], scores[1::2], strict=True):
        await client.call("ZADD", nodes, float(score) - seconds, node)
    heard = float(await client.call("HGET", state, "heard"))
    await client.call("HSET", state, "heard", repr(heard - seconds))
