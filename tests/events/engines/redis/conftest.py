"""The Redis of a module's tests: each keeps what it does under a prefix of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.events.engines.redis.place import BullMqClient
from tests.redis_server import RedisServer


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    return shared_redis


@pytest.fixture
async def place(server: RedisServer) -> AsyncIterator[BullMqClient]:
    place = BullMqClient(server)
    yield place
    await place.clean()
