"""A real sse-push process for tests: started, watched through its log, killed, started again.

Knows the command line, the settings' environment and the log's JSON lines. Knows nothing of HTTP or events.
"""

import asyncio
import json
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.nursery import Child, Nursery
from tests.ports import HOST, reserve

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN_S = 20.0
POLL_S = 0.01


async def eventually(condition: Callable[[], Any], what: str, within: float = 10.0) -> Any:
    """Look again and again until *condition*, a function or a coroutine function, is true; what it returned."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        assert loop.time() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(POLL_S)


@cache
def nursery() -> Nursery:
    allow_many_files()
    return Nursery()


class ServerProcess:
    """``sse-push serve`` in a process of its own, in demo mode unless *settings* say otherwise.

    Args:
        folder: For the data and the log; kept through restarts.
        arguments: Of the command.
        settings: Without prefix, in small letters: ``max_connections=5``.
    """

    command = "serve"
    started = "server.listening"

    def __init__(self, folder: Path, *arguments: str, **settings: object) -> None:
        self.folder = folder
        self._arguments = arguments
        self.settings = {
            "auth_mode": "demo",
            "data_dir": folder / "data",
            "host": HOST,
            "log_format": "json",
            **settings,
        }
        self.port = 0
        self._process: Child | None = None
        self._log = folder / "log.jsonl"
        self._errors = folder / "stderr.txt"
        self._read_to = 0
        self._records: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # -- life and death ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it, or start it again on the same port and data; returns when it listens."""
        if self.port:
            assert await self._try_start(self.port), self.stderr
            return
        port = reserve()
        assert await self._try_start(port), f"did not start: {self.stderr}"
        self.port = port

    async def _try_start(self, port: int) -> bool:
        """Whether it came to listen; ``False`` if it ended instead."""
        before = len(self.logged(self.started))
        argv = [self.command, *self._arguments]
        self._process = nursery().start(argv, self._environment(port), self._log, self._errors)
        await eventually(
            lambda: len(self.logged(self.started)) > before or not self.runs,
            "the process listens",
            within=STARTS_WITHIN_S,
        )
        return self.runs

    def _environment(self, port: int) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("SSE_PUSH_", "AI_"))
        }
        given = {_variable(name): str(value) for name, value in self.settings.items()}
        return {**inherited, **given, "SSE_PUSH_PORT": str(port)}

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def exited(self, within: float = 20.0) -> int:
        """Wait for its end; its exit status."""
        await eventually(lambda: not self.runs, "the process ends", within=within)
        assert self._process is not None
        return self._process.wait()

    async def kill(self) -> None:
        """``kill -9``."""
        self.send_signal(signal.SIGKILL)
        await self.exited()

    async def terminate(self, within: float = 20.0) -> int:
        """SIGTERM; its exit status."""
        self.send_signal(signal.SIGTERM)
        return await self.exited(within)

    def clean_up(self) -> None:
        """End it however it is. Twice is once."""
        if self._process is not None:
            if self.runs:
                self._process.kill()
            self._process.wait()

    # -- what can be seen of it --------------------------------------------------------------------

    @property
    def records(self) -> list[dict[str, Any]]:
        """All lines of its log so far, of all its lives."""
        if self._log.exists():
            with self._log.open("rb") as file:
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):  # still being written
                        break
                    self._read_to += len(line)
                    self._records.append(json.loads(line))
        return self._records

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The lines for *event* whose fields are as given."""
        wanted = {"event": event, **fields}
        return [record for record in self.records if wanted.items() <= record.items()]

    @property
    def output(self) -> str:
        """Everything it ever wrote, to standard output and to standard error."""
        return self._log.read_text() + self.stderr

    @property
    def stderr(self) -> str:
        return self._errors.read_text() if self._errors.exists() else ""

    @property
    def complaints(self) -> list[object]:
        """What a healthy process never says: errors in its log, anything on standard error."""
        errors = [record for record in self.records if record["level"] in ("error", "critical")]
        return [*errors, *self.stderr.splitlines()]

    @property
    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()


class WorkerProcess(ServerProcess):
    """``sse-push worker`` in a process of its own; it has no port."""

    command = "worker"
    started = "ai_worker.started"


@asynccontextmanager
async def running(folder: Path, **settings: object) -> AsyncIterator[ServerProcess]:
    """A process with the settings given, which may not have complained by the end."""
    server = ServerProcess(folder, **settings)
    try:
        await server.start()
        yield server
        assert server.complaints == []
    finally:
        server.clean_up()


def _variable(setting: str) -> str:
    return setting.upper() if setting == "ai_worker_concurrency" else f"SSE_PUSH_{setting.upper()}"


def allow_many_files() -> None:
    """Raise this process's limit of open files, which its children inherit, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
