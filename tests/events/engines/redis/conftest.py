"""The Redis of a module's tests: each keeps what it does under a prefix of its own."""

import pytest

from tests.redis_server import RedisServer


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    return shared_redis
