"""One node of a soak: ``sse-push serve`` as a process with a log that somebody reads, or does not.

Knows the command line and the environment's settings; knows nothing of events.
"""

import asyncio
import os
import resource
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.ports import HOST, reserve
from tests.process import ROOT, eventually
from tests.soak.log import LogPipe
from tests.tcp_proxy import TcpProxy

STARTS_WITHIN_S = 30.0
ENDS_WITHIN_S = 20.0


class Node:
    """A node behind a proxy of its own, through which its callers come.

    Attributes:
        wrong: What it did that no fault excuses, as ``(kind, detail)``.
        errors: Lines of level error, by event: for information.
    """

    def __init__(self, folder: Path, name: str, **settings: object) -> None:
        folder.mkdir(parents=True)
        self.name = name
        self.data = folder / "data"
        self._errors = folder / "stderr.txt"
        self._own_port = reserve()
        self.proxy = TcpProxy(self._own_port)
        self._settings = {
            "auth_mode": "demo", "host": HOST, "port": self._own_port, "data_dir": self.data, "log_format": "json",
            "heartbeat_s": 0.5, "retry_ms": 100, "shutdown_timeout_s": 3, "max_connections_per_address": 1000, **settings,
        }  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None
        self._log: LogPipe | None = None
        self._watching: asyncio.Task[None] | None = None
        self._expected_end = False
        self._proxy_listens = False
        self._started = asyncio.Event()
        self.wrong: list[tuple[str, str]] = []
        self.errors: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """Where callers find it."""
        return self.proxy.port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    # -- life and death ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: It ended instead.
        """
        await self.spawn()
        await eventually(
            lambda: self._started.is_set() or not self.runs, "it listens", within=STARTS_WITHIN_S
        )
        if not self.runs:
            self.wrong.append(("died", f"{self.name} at its start: {self.stderr[-500:]}"))
            raise RuntimeError(f"{self.name} did not start: {self.stderr[-2000:]}")

    async def spawn(self) -> None:
        """Start it, and don't wait until it listens."""
        if not self._proxy_listens:
            await self.proxy.start()
            self._proxy_listens = True
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("SSE_PUSH_", "AI_"))
        }
        given = {f"SSE_PUSH_{name.upper()}": str(value) for name, value in self._settings.items()}
        self._expected_end = False
        self._started.clear()
        self.close_log()
        self._log = LogPipe(self._logged)
        try:
            with self._errors.open("ab") as errors:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "sse_push.cli.main", "serve",
                    stdin=asyncio.subprocess.DEVNULL, stdout=self._log.write_end, stderr=errors,
                    cwd=ROOT, env={**inherited, **given},
                )  # fmt: skip
        finally:
            os.close(self._log.write_end)
        self._watching = asyncio.get_running_loop().create_task(self._watch(self._process))

    def _logged(self, record: dict[str, Any]) -> None:
        if record.get("event") == "server.listening":
            self._started.set()
        if record.get("level") in ("error", "critical"):
            self.errors[str(record.get("event"))] += 1
        if "exception" in record:
            self.wrong.append(("traceback", f"{self.name}: {str(record)[-1500:]}"))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if not self._expected_end:
            self.wrong.append(
                ("died", f"{self.name} ended by itself with status {status}: {self.stderr[-500:]}")
            )

    def expects_end(self) -> None:
        """It is about to be ended, so its end is no fault of its own."""
        self._expected_end = True

    async def kill(self) -> None:
        """``kill -9``."""
        self._expected_end = True
        self.signal(signal.SIGKILL)
        await self._ended()

    async def terminate(self) -> None:
        """SIGTERM; it must end in time, with status 0."""
        self._expected_end = True
        self.signal(signal.SIGTERM)
        try:
            status = await self._ended()
        except TimeoutError:
            self.wrong.append(("stuck", f"{self.name} did not end after SIGTERM"))
            return await self.kill()
        if status != 0:
            self.wrong.append(
                ("exit status", f"{self.name} ended with {status} after SIGTERM: {self.stderr[-500:]}")
            )
        return None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _ended(self) -> int:
        assert self._process is not None
        self.read_log_again()
        async with asyncio.timeout(ENDS_WITHIN_S):
            return await self._process.wait()

    async def clean_up(self) -> None:
        if self.runs:
            self.signal(signal.SIGCONT)
            await self.kill()
        self.close_log()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.proxy.refuse()

    # -- what can be done to it ----------------------------------------------------------------------

    def stop_reading_log(self) -> None:
        """Nobody reads its log; the pipe fills."""
        if self._log is not None:
            self._log.stop_reading()

    def read_log_again(self) -> None:
        if self._log is not None:
            self._log.read()

    def close_log(self) -> None:
        """Whoever reads its log goes away."""
        if self._log is not None:
            self._log.close()

    def limit_files(self, size: int | None) -> None:
        """No file of it may grow past *size* bytes: to a writer, a disk that is full. ``None`` ends that."""
        limit = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    @property
    def stderr(self) -> str:
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""
