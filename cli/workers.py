"""Several nodes on one port of one machine: a parent that keeps them running, and serves nobody itself.

Knows processes, signals and the port; what a worker does is a function it is given. Workers are forked before there is
a thread or a loop, so what all have imported is in memory once.
"""

import os
import random
import secrets
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import structlog

from sse_push.cli.signals import ending_signals
from sse_push.cli.standard_streams import tell
from sse_push.handlers.listeners import SocketPath, listen, reserve
from sse_push.service.hosts import unix_path
from sse_push.service.settings import Settings

MAX_WORKERS = 64  # of one parent: each is a node with a window, connections to Redis and to the database
RESTART_S = (0.5, 30.0)  # seconds before a dead worker is started again: doubled with each death, to at most
STEADY_S = 60.0  # seconds of life after which a death is the first again
AFTER_SHUTDOWN_S = 10.0  # seconds beyond SHUTDOWN_S for workers to keep what they hold, then they are killed
MAX_WHY_BYTES = (
    4096  # of what a worker that can't start tells its parent: some lines, well within a socket's buffer
)
_READY, _FAILED = b"1", b"0"

_log = structlog.get_logger()


@dataclass(slots=True)
class Place:
    """What a worker gets: its settings, its end of the line to its parent, and sockets to listen on."""

    settings: Settings
    number: int
    line: socket.socket
    listeners: dict[str, socket.socket] = field(default_factory=dict)  # that all workers share, by host

    def ready(self) -> None:
        """Tell the parent that it listens."""
        self.line.sendall(_READY)

    def failed(self, why: str) -> None:
        """Tell the parent why it does not, and never will."""
        with suppress(OSError):  # the parent is gone
            self.line.sendall(_FAILED + why.encode(errors="replace")[:MAX_WHY_BYTES])


# Serves until SIGTERM, SIGINT, or until its line ends, for then the parent is gone; gives its exit status.
Serve = Callable[[Place], int]


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int = 0
    line: socket.socket | None = None
    since: float = 0.0
    deaths: int = 0
    due: float = 0.0  # when it is to be started, while it does not run

    def was_ready(self) -> bool:
        try:
            return (
                self.line is not None and self.line.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == _READY
            )
        except OSError:
            return False

    def why_failed(self) -> str:
        """Why it could not start, in its own words, if it had any."""
        try:
            told = self.line.recv(1 + MAX_WHY_BYTES, socket.MSG_DONTWAIT) if self.line is not None else b""
        except OSError:
            return ""
        return told[1:].decode(errors="replace") if told[:1] == _FAILED else ""


class Workers:
    """The parent of *count* workers, each a node of its own id, on the one port of *settings*."""

    def __init__(self, settings: Settings, count: int, serve: Serve) -> None:
        self._serve = serve
        self._name = settings.node_id or secrets.token_hex(4)
        self._settings = settings
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._started = False  # all were ready once: from now on a worker that dies is started again

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit status: 0 where all ended in order, 1 where they could not start.

        Raises:
            OSError: The port is taken, or the address is not this machine's.
        """
        with ExitStack() as opened:
            self._listeners = self._open(opened)
            return self._run()

    def _open(self, opened: ExitStack) -> dict[str, socket.socket]:
        """Hold the port on each address; the Unix sockets, which workers can't open each for itself."""
        listeners = {}
        for host in self._settings.hosts:
            path = unix_path(host)
            if path is not None:
                listeners[host] = opened.enter_context(listen(self._settings, host, 0))
                opened.callback(SocketPath(path).remove)
            else:
                reserved = opened.enter_context(reserve(self._settings, host, self._settings.port))
                self._settings = self._settings.model_copy(update={"port": reserved.getsockname()[1]})
        return listeners

    def _run(self) -> int:
        # Blocked, so that each waits until it is taken by sigtimedwait: none comes between two lines.
        self._signals = {*ending_signals(), signal.SIGCHLD}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        try:
            return self._keep_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _keep_running(self) -> int:
        while True:
            now = time.monotonic()
            for worker in self._workers:
                if not worker.pid and worker.due <= now:
                    self._start(worker)
            self._started = self._started or all(worker.was_ready() for worker in self._workers)
            due = [worker.due for worker in self._workers if not worker.pid]
            # Until all are ready they are looked at now and then; a death is a signal.
            wait = max(0.0, min(due) - now) if due else 3600.0 if self._started else 0.1
            got = signal.sigtimedwait(self._signals, wait)
            dead = self._reap()
            if got is not None and got.si_signo != signal.SIGCHLD:
                return self._stop()
            for worker, status in dead:
                if not self._started and not worker.was_ready():
                    why = worker.why_failed() or f"a worker ended with status {status}; the log has more"
                    tell(why)
                    self._stop()
                    return max(1, status)
                self._start_later(worker, status)

    def _start(self, worker: _Worker) -> None:
        ours, its = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(worker.number, its)
        its.close()
        if worker.line is not None:
            worker.line.close()
        worker.pid, worker.line, worker.since = pid, ours, time.monotonic()
        _log.info("worker.started", node=self._node(worker.number), pid=pid)

    def _become(self, number: int, line: socket.socket) -> None:
        """Be a worker, in the new process; does not return."""
        status = 1
        try:
            for other in self._workers:
                if other.line is not None:
                    other.line.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            settings = self._settings.model_copy(update={"node_id": self._node(number)})
            status = self._serve(Place(settings, number, line, self._listeners))
        except BaseException as error:  # noqa: BLE001 - nothing of the parent's may run here
            tell("".join(traceback.format_exception(error)))
        finally:
            os._exit(status)

    def _node(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _reap(self) -> list[tuple[_Worker, int]]:
        """Those that have ended, each with its exit status."""
        dead = []
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    worker.pid = 0
                    dead.append((worker, os.waitstatus_to_exitcode(status)))
        return dead

    def _start_later(self, worker: _Worker, status: int) -> None:
        now = time.monotonic()
        worker.deaths = 1 if now - worker.since > STEADY_S else worker.deaths + 1
        first, most = RESTART_S
        wait = min(first * 2.0 ** min(worker.deaths - 1, 16), most) * random.uniform(0.75, 1.25)
        worker.due = now + wait
        why = worker.why_failed()
        _log.error(
            "worker.died",
            node=self._node(worker.number),
            status=status,
            again_s=round(wait, 3),
            error=why or None,
        )

    def _stop(self) -> int:
        """End all in order, at last without asking; 0 where each ended in order."""
        running = [worker for worker in self._workers if worker.pid]
        for worker in running:
            os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._settings.shutdown_s + AFTER_SHUTDOWN_S
        statuses: list[int] = []
        while any(worker.pid for worker in running):
            left = deadline - time.monotonic()
            if left <= 0:
                for worker in running:
                    if worker.pid:
                        os.kill(worker.pid, signal.SIGKILL)
                left = AFTER_SHUTDOWN_S
            signal.sigtimedwait({signal.SIGCHLD}, left)
            statuses += [status for _, status in self._reap()]
        # One that was told to end before it could listen died of the signal itself.
        return int(any(status not in (0, -signal.SIGTERM) for status in statuses))
