"""What tests in Chromium share: a context of its own for each, commands, and the service behind the console."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext

from tests.conftest import SECRET
from tests.e2e.browser.console import SIGNING_KEY, Console
from tests.e2e.client import Api
from tests.process import ServerProcess, running


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of its own: its tabs know each other, and nobody else's."""
    context = await browser.new_context()
    context.set_default_timeout(30_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def api() -> AsyncIterator[Api]:
    """As elsewhere, on the loop that the browser's connection is bound to."""
    async with Api() as api:
        yield api


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """The service of the console's tests. It is not killed, and its users are their tests' own."""
    settings = {
        "function_signing_key": SIGNING_KEY,
        "heartbeat_s": 1,
        "jwt_secret": SECRET,
        "max_connections_per_user": 2,
        "redirect_origins": "https://example.com",
        "retry_ms": 100,
        "status_interval_s": 0.25,
    }
    async with running(tmp_path_factory.mktemp("console"), **settings) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def console(context: BrowserContext, server: ServerProcess) -> AsyncIterator[Console]:
    console = await Console.open(context, server)
    yield console
    assert console.errors == []
