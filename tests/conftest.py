"""What in-process tests share: settings, tokens, a clock, a running service, and a reader of its streams.

Everything that waits has a deadline; nothing here sleeps for a fixed time.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import jwt
import pytest
import pytest_asyncio
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient
from argon2 import PasswordHasher
from multidict import CIMultiDictProxy
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from structlog.testing import capture_logs

from handlers.app import build_app
from handlers.keys import NODE
from handlers.server import GuardedSite
from service.node import Node
from service.settings import PREFIX, Settings
from tests import postgres
from tests import redis_server as redis
from tests.model_server import ModelServer

if TYPE_CHECKING:
    from playwright.async_api import Browser

# Whoever forbids caches of bytecode would have all sources compiled at each of a hundred starts of a process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# What these tests keep need not outlive a loss of power, and waiting for a disk is a third of some of them.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 << 30:  # bytes; a container may have 64 MB of it
    tempfile.tempdir = os.environ.setdefault("TMPDIR", str(MEMORY))

DEADLINE_S = 10.0  # seconds; a passing test needs milliseconds, a busy machine some hundred
SECRET = "a-secret-for-tests-of-more-than-32-bytes"


class Clock:
    """Seconds since the Unix epoch, as the test says. Begins at the real time: tokens are checked against that."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


async def until(condition: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Wait for *condition* to hold.

    Raises:
        TimeoutError: It did not within *seconds*.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


def mint(user: Any = "42", *roles: str, secret: str = SECRET, lifetime: float = 3600, **claims: Any) -> str:
    """A JWT; a claim that is given replaces the usual one, and ``None`` leaves it out."""
    payload = {"sub": user, "roles": list(roles or ("user",)), "exp": int(time.time() + lifetime), **claims}
    given = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(given, secret, algorithm="HS256")


@dataclass(frozen=True)
class Frame:
    """One frame of an event stream, read by the rules of the WHATWG standard but for what it forgives."""

    raw: bytes
    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: int | None = None
    comment: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        fields: dict[str, Any] = {}
        for line in raw.decode().removesuffix("\n").split("\n"):
            name, colon, value = line.partition(": ")
            assert colon, f"not a field with one space behind its colon: {line!r}"
            assert name in ("id", "event", "data", "retry", ""), line
            if name == "data" and "data" in fields:
                fields["data"] += "\n" + value
            else:
                assert name not in fields, f"{name} twice in {raw!r}"
                fields[name] = value
        if "retry" in fields:
            fields["retry"] = int(fields["retry"])
        if "" in fields:
            fields["comment"] = fields.pop("")
        return cls(raw, **fields)

    @property
    def json(self) -> Any:
        assert self.data is not None
        return json.loads(self.data)


class Frames:
    """Reads frames as they come, each with a deadline."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self._rest = b""

    async def next(self) -> Frame:
        """The next frame, whatever it is.

        Raises:
            EOFError: The stream ended.
        """
        async with asyncio.timeout(DEADLINE_S):
            while b"\n\n" not in self._rest:
                part = await self._read()
                if not part:
                    assert not self._rest, f"ended within a frame: {self._rest!r}"
                    raise EOFError
                self._rest += part
        raw, self._rest = self._rest.split(b"\n\n", 1)
        return Frame.parse(raw + b"\n")

    async def event(self) -> Frame:
        """The next frame with data: heartbeats and reconnection times are passed over."""
        while (frame := await self.next()).data is None:
            pass
        return frame

    async def events(self, count: int) -> list[Frame]:
        return [await self.event() for _ in range(count)]

    async def rest(self) -> list[Frame]:
        """All that comes until the stream ends."""
        frames = []
        with suppress(EOFError):
            while True:
                frames.append(await self.next())
        return frames


class OpenStream(Frames):
    """A stream that was opened. ``first`` is its first frame."""

    first: Frame

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__(response.content.readany)
        self.response = response
        self.headers = response.headers

    def close(self) -> None:
        self.response.close()


@dataclass(frozen=True)
class Answer:
    """A response that was read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A service that runs in this process, seen through HTTP; ``node`` is what it is inside."""

    def __init__(self, client: TestClient[web.Request, web.Application]) -> None:
        assert client.app is not None
        self.client = client
        self.node: Node = client.app[NODE]

    async def call(
        self, method: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:  # fmt: skip
        async with (
            asyncio.timeout(DEADLINE_S),
            self.client.request(method, path, headers=_headers(token, headers), **more) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.call("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Answer:
        return await self.call("POST", path, **more)

    async def put(self, path: str, **more: Any) -> Answer:
        return await self.call("PUT", path, **more)

    async def publish(self, **event: Any) -> str:
        """Publish an event as a service; its id."""
        answer = await self.post("/v1/events", token=mint("publisher", "service"), json=event)
        assert answer.status == 200, answer.body
        return str(answer.json["id"])

    async def open(
        self, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> OpenStream:
        """Open a stream and read its first frame."""
        async with asyncio.timeout(DEADLINE_S):
            response = await self.client.get(path, headers=_headers(token, headers), **more)
        assert response.status == 200, await response.read()
        stream = OpenStream(response)
        stream.first = await stream.next()
        return stream


def _headers(token: str | None, more: dict[str, str] | None) -> dict[str, str]:
    return {**({} if token is None else {"Authorization": f"Bearer {token}"}), **(more or {})}


class GivenSettings(Settings):
    """Settings that come from nowhere but the test: the environment is not asked, which takes as long as a start."""

    @classmethod
    def settings_customise_sources(
        cls, _cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


SettingsFactory = Callable[..., Settings]
Start = Callable[..., Awaitable[Service]]


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
    monkeypatch.setattr("service.passwords.new_hasher", lambda: cheap)


@pytest.fixture
def settings_for(tmp_path: Path) -> SettingsFactory:
    """Makes settings: JWTs by shared secret unless told otherwise, each with a data directory of its own."""
    made = 0

    def make(**overrides: Any) -> Settings:
        nonlocal made
        made += 1
        usual: dict[str, Any] = {"data_dir": tmp_path / f"data{made}", "port": 0, "shutdown_s": 2}
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


@pytest.fixture
def redis_server() -> Iterator[redis.RedisServer]:
    """A Redis (or Valkey) of this test's own, running and empty."""
    if redis.program() is None:
        pytest.skip("NO REDIS HERE: all that is said of it goes untested (apt-get install redis-server)")
    server = redis.RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


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


class Peer:
    """A plain socket to a server, for what an HTTP client would not send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> str:
        """The head of an answer, status line and all."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def chunk(self) -> bytes:
        """The next HTTP chunk; the last one is empty."""
        async with asyncio.timeout(DEADLINE_S):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def answer(self) -> tuple[str, bytes]:
        """Head and body of an answer that tells its length."""
        head = await self.head()
        [length] = [line[16:] for line in head.split("\r\n") if line.lower().startswith("content-length: ")]
        async with asyncio.timeout(DEADLINE_S):
            return head, await self.reader.readexactly(int(length))

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection; a reset counts as closing."""
        got = b""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    got += part
        return got

    def abort(self) -> None:
        self.writer.transport.abort()


class Listening:
    """A service on a guarded site and a real port."""

    def __init__(self, app: web.Application, runner: web.AppRunner, site: GuardedSite) -> None:
        self.node: Node = app[NODE]
        self.runner = runner
        self.site = site
        self.port = site.port
        self._peers: list[Peer] = []

    async def connect(self, data: bytes = b"", *, receive_bytes: int = 0) -> Peer:
        """Connect and send *data*; *receive_bytes* bounds what the kernel takes for a peer that does not read."""
        plain = socket.socket()
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
        peer = Peer(*await asyncio.open_connection(sock=plain))
        self._peers.append(peer)
        await peer.send(data)
        return peer

    async def close(self) -> None:
        for peer in self._peers:
            peer.writer.close()
            with suppress(ConnectionError):
                await peer.writer.wait_closed()
        await self.runner.cleanup()


Listen = Callable[..., Awaitable[Listening]]


@pytest.fixture
async def listen(settings_for: SettingsFactory) -> AsyncIterator[Listen]:
    """Starts a service as ``sse-push serve`` does, on a free port of the loopback interface."""
    started: list[Listening] = []

    async def starting(*, clock: Callable[[], float] = time.time, **overrides: Any) -> Listening:
        settings = settings_for(**overrides)
        app = build_app(settings, clock=clock)
        runner = web.AppRunner(app, shutdown_timeout=settings.shutdown_s)
        await runner.setup()
        site = GuardedSite(runner, settings.host, settings.port)
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
