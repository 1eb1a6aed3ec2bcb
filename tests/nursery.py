"""A process that has loaded the sources once and forks a command's process whenever it is asked to.

To load them takes most of a start, and the tests have some eighty. What comes out is a process like any other: its own
memory, signals, descriptors and exit status. That a command starts from nothing is for tests/cli to show.

Run as a program, this is that process: it is told over standard input's socket what to start, and tells of each end.
Imported, it is the side of the tests.
"""

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
LOADED = (
    "sse_push.cli.serve", "sse_push.cli.worker", "uvloop", "sse_push.events.engines.embedded.engine", "sse_push.events.engines.redis.engine",
    "sse_push.service.accounts", "sse_push.service.friends", "sse_push.service.presence.friend_lists", "sse_push.service.tables", "sse_push.service.migrations.run",
    "sse_push.service.group_chat.bullmq_client", "sse_push.service.group_chat.bullmq_queue", "sse_push.service.group_chat.bullmq_worker", "sqlalchemy.dialects.sqlite.aiosqlite",
)  # fmt: skip


class Child:
    """A process that was forked: what the tests need of ``subprocess.Popen``."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery = nursery
        self._status: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        """Its exit status, or less a signal's number; ``None`` while it runs."""
        if self._status is None:
            self._nursery.hear(block=False)
            self._status = self._nursery.ended.get(self.pid)
        return self._status

    def wait(self) -> int:
        while (status := self.poll()) is None:
            self._nursery.hear(block=True)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended, and the word of it is on its way
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The side of the tests: asks for processes, and hears of their ends."""

    def __init__(self) -> None:
        self.ended: dict[int, int] = {}
        self._born: list[int] = []
        self._rest = b""
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__], cwd=ROOT, stdin=theirs, stdout=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def start(self, argv: list[str], environment: dict[str, str], out: Path, err: Path) -> Child:
        """Start ``sse-push`` with *argv*; what it says is added to the files *out* and *err*."""
        self._line.sendall(json.dumps([argv, environment, str(out), str(err)]).encode() + b"\n")
        while not self._born:
            self.hear(block=True)
        return Child(self, self._born.pop())

    def hear(self, *, block: bool) -> None:
        while block or select.select([self._line], [], [], 0)[0]:
            block = False
            part = self._line.recv(65536)
            assert part, "the nursery has died"
            *lines, self._rest = (self._rest + part).split(b"\n")
            for line in lines:
                pid, status = json.loads(line)
                if status is None:
                    self.ended.pop(pid, None)  # another had that number
                    self._born.append(pid)
                else:
                    self.ended[pid] = status

    def close(self) -> None:
        self._line.close()
        self._process.wait()


def _serve(line: socket.socket) -> list[Any]:
    """Fork whatever *line* asks for, until it closes; in a process that was forked, what it is to be."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    rest = b""
    while True:
        ready, _, _ = select.select([line, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_ends(line)
        if line in ready:
            part = line.recv(65536)
            if not part:
                os._exit(0)
            *asked, rest = (rest + part).split(b"\n")
            for request in asked:
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os.close(woken)
                    os.close(wake)
                    line.close()
                    wanted: list[Any] = json.loads(request)
                    return wanted
                line.sendall(json.dumps([pid, None]).encode() + b"\n")


def _tell_of_ends(line: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            line.sendall(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode() + b"\n")


def _become(argv: list[str], environment: dict[str, str], out: str, err: str) -> NoReturn:
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((os.devnull, 0), (out, 1), (err, 2)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND | os.O_CREAT
        file = os.open(path, flags, 0o644)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["sse-push", *argv]
    main = import_module("sse_push.cli.main").main
    sys.exit(main())


if __name__ == "__main__":
    for name in LOADED:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            import_module(name)
    gc.freeze()
    _become(*_serve(socket.socket(fileno=os.dup(0))))
