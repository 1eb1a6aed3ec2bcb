from collections.abc import AsyncIterator, Iterator

import pytest

from tests.events.rosters.redis.nodes import Nodes
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    nodes = Nodes(server, timeout=0.5)
    yield nodes
    await nodes.close()


@pytest.fixture
async def slow_nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    """Nodes whose lease does not end while a test runs."""
    nodes = Nodes(server, timeout=60)
    yield nodes
    await nodes.close()
