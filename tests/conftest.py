"""The fixtures of all tests: settings, services in this process, servers of others, a browser.

Everything that waits has a deadline; nothing here sleeps for a fixed time.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import structlog
from aiohttp import web, web_app
from argon2 import PasswordHasher
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from structlog.testing import capture_logs

from sse_push.handlers.app import build_app
from sse_push.handlers.http.server import FrontSite
from sse_push.service.settings import PREFIX, Settings
from tests import postgres
from tests import redis_server as redis
from tests.clock import DEADLINE_S, Clock, until
from tests.frames import Frame, Frames
from tests.in_process import Answer, OpenStream, Service
from tests.listening import Listening, Peer
from tests.model_server import ModelServer
from tests.tokens import SECRET, mint

__all__ = [  # what tests take from here, wherever it stands
    "DEADLINE_S", "SECRET", "Answer", "Clock", "Frame", "Frames", "Listen", "Listening", "OpenStream", "Peer",
    "Service", "SettingsFactory", "Start", "mint", "until",
]  # fmt: skip

if TYPE_CHECKING:
    from playwright.async_api import Browser

# Whoever forbids caches of bytecode would have all sources compiled at each of a hundred starts of a process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# What these tests keep need not outlive a loss of power, and waiting for a disk is a third of some of them.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 << 30:  # bytes; a container may have 64 MB of it
    tempfile.tempdir = os.environ.setdefault("TMPDIR", str(MEMORY))


class GivenSettings(Settings):
    """Settings that come from nowhere but the test: the environment is not asked, which takes as long as a start."""

    @classmethod
    def settings_customise_sources(
        cls, _cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


SettingsFactory = Callable[..., Settings]
Start = Callable[..., Awaitable[Service]]
Listen = Callable[..., Awaitable[Listening]]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests must not reach into them."""
    for name in list(os.environ):
        if name.startswith((PREFIX, "AI_WORKER_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    """Tracebacks without their locals: those take seconds to draw, and show what no log should."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords need not be safe here; tests/service/test_passwords.py looks at the real thing."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("sse_push.service.passwords.new_hasher", lambda: cheap)


@pytest.fixture(autouse=True)
def _forget_applications() -> Iterator[None]:
    """aiohttp remembers 1,024 handlers with their applications; a thousand nodes kept alive slow every test."""
    yield
    web_app._cached_build_middleware.cache_clear()


@pytest.fixture
def settings_for(tmp_path: Path) -> SettingsFactory:
    """Makes settings: JWTs by shared secret unless told otherwise, each with a data directory of its own."""
    made = 0

    def make(**overrides: Any) -> Settings:
        nonlocal made
        made += 1
        usual: dict[str, Any] = {"data_dir": tmp_path / f"data{made}", "port": 0, "shutdown_timeout_s": 2}
        if overrides.get("auth_mode") != "demo" and "jwks_url" not in overrides:
            usual["jwt_secret"] = SECRET
        return GivenSettings(**{**usual, **overrides})

    return make


@pytest.fixture
def start(aiohttp_client: Any, settings_for: SettingsFactory) -> Start:
    """Starts a service with the settings given (``clock`` and ``engine`` are build_app's)."""

    async def starting(
        *, clock: Callable[[], float] = time.time, engine: Any = None, **overrides: Any
    ) -> Service:
        app = build_app(settings_for(**overrides), clock=clock, engine=engine)
        return Service(await aiohttp_client(app))

    return starting


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """A PostgreSQL, started for the first test that wants one."""
    if not postgres.is_here():
        pytest.skip("NO POSTGRESQL HERE: all that is said of it goes untested (apt-get install postgresql)")
    server = postgres.Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator["Browser"]:
    """One Chromium for all tests; each takes a context of its own."""
    from tests.e2e.browser.chromium import chromium

    async with chromium() as browser:
        yield browser


@contextmanager
def running_redis() -> Iterator[redis.RedisServer]:
    if redis.program() is None:
        pytest.skip("NO REDIS HERE: all that is said of it goes untested (apt-get install redis-server)")
    server = redis.RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis_server() -> Iterator[redis.RedisServer]:
    """A Redis (or Valkey) of this test's own, running and empty."""
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[redis.RedisServer]:
    """A Redis for the tests of one file that leave it as they found it."""
    with running_redis() as server:
        yield server


@pytest.fixture
async def model_server() -> AsyncIterator[ModelServer]:
    """A language model's server."""
    async with ModelServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind: what uses this is run with both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'people' / 'accounts.db'}"
    server: postgres.Postgres = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
async def listen(settings_for: SettingsFactory) -> AsyncIterator[Listen]:
    """Starts a service as ``sse-push serve`` does, or as a plain aiohttp runner, on a free port of the loopback interface."""
    started: list[Listening] = []

    async def starting(
        *, clock: Callable[[], float] = time.time, plain: bool = False, **overrides: Any
    ) -> Listening:
        settings = settings_for(**overrides)
        app = build_app(settings, clock=clock)
        runner = web.AppRunner(app, shutdown_timeout=settings.shutdown_timeout_s)
        await runner.setup()
        site: web.BaseSite = (
            web.TCPSite(runner, settings.host, 0)
            if plain
            else FrontSite(runner, settings.host, settings.port)
        )
        await site.start()
        started.append(Listening(app, runner, site))
        return started[-1]

    yield starting
    for one in started:
        await one.close()


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """The lines that are logged while the test runs."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]
