"""One nginx before one node, shared by the tests that harm neither."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.deploy.browserlike import Client, client_of
from tests.deploy.front import PER_ADDRESS, PROXY_TIMEOUT_S, front
from tests.deploy.nginx import Nginx
from tests.ports import HOST
from tests.process import ServerProcess, running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    settings = {
        "trusted_proxies": f"{HOST}/32",
        "max_connections_per_address": PER_ADDRESS,
        "heartbeat_s": PROXY_TIMEOUT_S / 6,
    }
    async with running(tmp_path_factory.mktemp("node"), **settings) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nginx(node: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nginx]:
    async with front(tmp_path_factory.mktemp("front") / "nginx", [node.port]) as nginx:
        yield nginx


@pytest_asyncio.fixture(params=[False, True], ids=["HTTP/1.1", "HTTP/2"], loop_scope="session")
async def client(nginx: Nginx, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with client_of(nginx, http2=request.param) as client:
        yield client
