"""Several nodes on one Redis, each behind a proxy of its own, and a door that leads to any of them."""

import asyncio
import random
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.client import Api
from tests.process import ServerProcess, eventually
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy

HEARTBEAT_S = 0.5
# What a node may say while its Redis is away.
_EXPECTED = {"engine.disconnected", "engine.connect_failed", "engine.failed", "presence.failed"}


class Cluster:
    """*count* nodes, in demo mode. Asked for a ``port`` or a ``url``, as a balancer it gives any node's.

    Attributes:
        redis: Writes down all it is told before it answers, so that it may be killed.
        proxies: What lies between the nodes and it, in the order of ``nodes``.
        api: ScriptClient of anybody.
    """

    def __init__(self, folder: Path, count: int, **settings: object) -> None:
        self._chance = random.Random(count)
        self.redis = RedisServer()
        self.proxies = [TcpProxy(self.redis.port) for _ in range(count)]
        self.nodes: list[ServerProcess] = []
        self._settings = {"heartbeat_s": HEARTBEAT_S, "retry_ms": 100, "shutdown_timeout_s": 3, **settings}
        self._folder = folder
        self.api = Api()

    async def __aenter__(self) -> Self:
        await self.api.__aenter__()
        try:
            await self._start()
        except BaseException as error:  # or all of it would outlive the tests
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def _start(self) -> None:
        self.redis.start(aof=True)
        for index, proxy in enumerate(self.proxies):
            await proxy.start()
            folder = self._folder / f"node{index}"
            folder.mkdir()
            url = f"redis://127.0.0.1:{proxy.port}/0"
            self.nodes.append(ServerProcess(folder, engine_url=url, node_id=f"n{index}", **self._settings))
        await asyncio.gather(*(node.start() for node in self.nodes))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.clean_up()
        for proxy in self.proxies:
            await proxy.refuse()
        self.redis.remove()
        await self.api.__aexit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self._chance.choice(self.nodes).port

    @property
    def url(self) -> str:
        return self._chance.choice(self.nodes).url

    async def ready(self) -> None:
        """Wait until every node welcomes streams and events."""
        await asyncio.gather(*(self.says(node, 200) for node in self.nodes))

    async def says(self, node: ServerProcess, status: int) -> None:
        """Wait until ``/readyz`` of *node* says *status*."""

        async def ask() -> bool:
            return (await self.api.call(node, "GET", "/readyz"))[0] == status

        await eventually(ask, f"/readyz says {status}")

    @property
    def complaints(self) -> list[Any]:
        """What nodes never say, whatever becomes of Redis."""
        return [
            complaint
            for node in self.nodes
            for complaint in node.complaints
            if not (isinstance(complaint, dict) and complaint["event"] in _EXPECTED)
        ]
