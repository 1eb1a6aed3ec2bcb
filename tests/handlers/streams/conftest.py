"""A service for the tests of its streams."""

import pytest

from tests.conftest import Service, Start
from tests.handlers.streams.every import give_account


@pytest.fixture
async def service(start: Start, request: pytest.FixtureRequest) -> Service:
    service = await start()
    if "presence" in request.node.name:
        await give_account(service)
    return service
