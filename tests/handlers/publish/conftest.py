"""A service to publish to."""

import pytest

from tests.conftest import Service, Start


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()
