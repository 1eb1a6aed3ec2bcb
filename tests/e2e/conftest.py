"""Processes for the tests, ended and looked through when a test is over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.client import Api
from tests.process import ServerProcess, running

Serve = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a process with the settings given; more than once where asked."""
    async with AsyncExitStack() as stack:

        async def start(**settings: object) -> ServerProcess:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            return await stack.enter_async_context(running(folder, **settings))

        yield start


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api
