"""Processes for the tests, ended and looked through when a test is over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.e2e.client import Api
from tests.process import ServerProcess

Serve = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a process with the settings given. None of them may have complained when the test is over."""
    servers: list[ServerProcess] = []

    async def start(**settings: object) -> ServerProcess:
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        server = ServerProcess(folder, **settings)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        server.clean_up()
    assert [complaint for server in servers for complaint in server.complaints] == []


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api
