"""A Redis server for the tests of one file, and nodes that share a registry on it."""

from collections.abc import AsyncIterator

import pytest

from tests.redis_server import RedisServer
from tests.service.presence.registry.redis.nodes import Nodes


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    return shared_redis


@pytest.fixture
async def nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    nodes = Nodes(server, timeout=0.5)
    yield nodes
    await nodes.close()


@pytest.fixture
async def steady_nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    """Nodes that a pause of the machine does not expire, and that look for expired ones three times a second."""
    nodes = Nodes(server, timeout=3)
    yield nodes
    await nodes.close()


@pytest.fixture
async def slow_nodes(server: RedisServer) -> AsyncIterator[Nodes]:
    """Nodes whose lease does not end while a test runs."""
    nodes = Nodes(server, timeout=60)
    yield nodes
    await nodes.close()
