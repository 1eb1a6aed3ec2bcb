"""Two nodes on one Redis behind nginx: one goes away, and nobody misses anything."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import DEADLINE_S, Frame
from tests.deploy.browserlike import Client, client_of
from tests.deploy.nginx import NGINX, Nginx
from tests.e2e.client import SERVICE
from tests.ports import HOST
from tests.process import ServerProcess, eventually, running
from tests.redis_server import RedisServer

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(NGINX is None, reason="NOT TESTED: no nginx on PATH, so nothing was tried through it"),
]

READERS = 6
LAST = "last"


@pytest.fixture
async def nodes(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[list[ServerProcess]]:
    # A reader gives up when nothing comes for DEADLINE_S; the start of a node may take that long on a busy machine.
    settings = {
        "engine_url": redis_server.url,
        "trusted_proxies": f"{HOST}/32",
        "shutdown_timeout_s": 2,
        "heartbeat_s": 2,
    }
    async with AsyncExitStack() as stack:

        async def start(name: str) -> ServerProcess:
            (tmp_path / name).mkdir()
            return await stack.enter_async_context(running(tmp_path / name, node_id=name, **settings))

        async with asyncio.TaskGroup() as starting:  # if one does not start, the other is ended too
            started = [starting.create_task(start(name)) for name in ("node-1", "node-2")]
        yield [node.result() for node in started]


@pytest.fixture
async def nginx(nodes: list[ServerProcess], tmp_path: Path) -> AsyncIterator[Nginx]:
    nginx = Nginx(tmp_path / "nginx", [node.port for node in nodes])
    try:
        await nginx.start()
        yield nginx
    finally:
        nginx.clean_up()


class Reader:
    """A client that comes back with its last id, and all that it got."""

    def __init__(self, client: Client, user: str) -> None:
        self.frames: list[Frame] = []
        self.opened = asyncio.Event()
        self._events = client.follow("/v1/app/sse", user)

    async def read(self) -> None:
        async for frame in self._events:
            self.opened.set()
            if frame is not None:
                self.frames.append(frame)
                if frame.data == LAST:
                    return


async def publish(client: Client, data: Any) -> str:
    """Publish as a good publisher does: again where it got no answer, with the same key."""
    event = {"broadcast": True, "data": data, "key": f"event-{data}"}

    async def once() -> str | None:
        try:
            answer = await client.http.post(
                "/v1/events", json=event, headers={"Authorization": f"Bearer {SERVICE}"}
            )
        except httpx.TransportError:
            return None
        return str(answer.json()["id"]) if answer.status_code == 200 else None

    return str(await eventually(once, "a node takes the event"))


async def test_nodes_that_go_away_cost_their_clients_nothing(
    nginx: Nginx, nodes: list[ServerProcess]
) -> None:
    first, second = nodes
    sent: list[str] = []
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(client_of(nginx, http2=bool(n % 2))) for n in range(READERS)
        ]
        publisher = await stack.enter_async_context(client_of(nginx))
        readers = [Reader(client, f"user-{n}") for n, client in enumerate(clients)]
        reading = [asyncio.create_task(reader.read()) for reader in readers]

        async def publish_some() -> None:
            sent.extend([await publish(publisher, n) for n in range(len(sent), len(sent) + 10)])

        async def end(node: ServerProcess, how: signal.Signals, other: ServerProcess) -> None:
            """End it while events go on; all its streams come to the other."""
            await publish_some()
            node.send_signal(how)
            await publish_some()
            await node.exited()
            await eventually(lambda: open_streams(other) == READERS, "all streams are on the other node", 20)

        for reader in readers:
            await reader.opened.wait()
        for node in (first, second):
            await eventually(
                lambda node=node: open_streams(node) == READERS / 2, "they are shared out evenly"
            )
        await end(first, signal.SIGTERM, second)
        assert len(first.logged("stream.closed", reason="shutdown")) == READERS / 2
        await first.start()
        await end(second, signal.SIGKILL, first)
        await publish_some()
        sent.append(await publish(publisher, LAST))
        await asyncio.wait_for(asyncio.gather(*reading), DEADLINE_S)
    for reader in readers:
        assert [frame.id for frame in reader.frames] == sent


def open_streams(node: ServerProcess) -> int:
    return len(node.logged("stream.opened")) - len(node.logged("stream.closed"))
