"""The Redis engine: the contract, and what several nodes and a server that comes and goes add to it."""

from collections.abc import Callable, Iterator

import pytest

from tests.events.engines.contract import EngineContract
from tests.events.engines.places import Place
from tests.events.engines.redis.place import RedisPlace
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


class TestContract(EngineContract):
    @pytest.fixture
    def new_place(self, server: RedisServer) -> Callable[[], Place]:
        return lambda: RedisPlace(server)
