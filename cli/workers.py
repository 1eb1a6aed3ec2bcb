"""``serve --workers``: a parent process that supervises several nodes on one port. It serves no requests itself.

Knows processes, signals and the port; the worker's work is a function passed in. Workers are forked before any thread
or loop exists, so imported modules are in memory once.
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
from sse_push.cli.standard_streams import write_stderr
from sse_push.handlers.http.listeners import SocketPath, listen, reserve
from sse_push.service.hosts import unix_path
from sse_push.service.settings import Settings

MAX_WORKERS = 64  # of one parent; each is a node with a cache and connections to Redis and the database
RESTART_S = (
    0.5,
    30.0,
)  # seconds before an exited worker is restarted: first wait, doubled with each exit, and maximum
STABLE_UPTIME_S = 60.0  # seconds of uptime after which the restart wait begins again
AFTER_SHUTDOWN_S = (
    10.0  # seconds beyond SHUTDOWN_TIMEOUT_S for workers to store what they hold; then they are killed
)
MAX_REASON_BYTES = (
    4096  # bytes of a failed worker's message to its parent; some lines, well within a socket buffer
)
_READY, _FAILED = b"1", b"0"

_log = structlog.get_logger()


@dataclass(slots=True)
class WorkerContext:
    """What a worker gets: its settings, its socket to the parent, and sockets to listen on."""

    settings: Settings
    number: int
    parent: socket.socket
    listeners: dict[str, socket.socket] = field(default_factory=dict)  # shared by all workers, by host

    def ready(self) -> None:
        """Tell the parent that this worker listens."""
        self.parent.sendall(_READY)

    def failed(self, why: str) -> None:
        """Tell the parent why this worker can't start."""
        with suppress(OSError):  # the parent is gone
            self.parent.sendall(_FAILED + why.encode(errors="replace")[:MAX_REASON_BYTES])


# Serves until SIGTERM, SIGINT, or until the parent is gone (its socket closes); returns the exit status.
Serve = Callable[[WorkerContext], int]


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int = 0
    channel: socket.socket | None = None
    since: float = 0.0
    exits: int = 0
    due: float = 0.0  # when to start it, while it does not run

    def was_ready(self) -> bool:
        try:
            return (
                self.channel is not None
                and self.channel.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == _READY
            )
        except OSError:
            return False

    def failure_reason(self) -> str:
        """Why it could not start, as it said; else empty."""
        try:
            told = (
                self.channel.recv(1 + MAX_REASON_BYTES, socket.MSG_DONTWAIT)
                if self.channel is not None
                else b""
            )
        except OSError:
            return ""
        return told[1:].decode(errors="replace") if told[:1] == _FAILED else ""


class Workers:
    """The parent of *count* workers on the port of *settings*; each is a node with its own id."""

    def __init__(self, settings: Settings, count: int, serve: Serve) -> None:
        self._serve = serve
        self._name = settings.node_id or secrets.token_hex(4)
        self._settings = settings
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._started = False  # all were ready once: from now on an exited worker is restarted

    def run(self) -> int:
        """Run until SIGTERM or SIGINT. Returns 0 if all shut down cleanly, 1 if they could not start.

        Raises:
            OSError: The port is in use, or the address is not this machine's.
        """
        with ExitStack() as opened:
            self._listeners = self._open(opened)
            return self._run()

    def _open(self, opened: ExitStack) -> dict[str, socket.socket]:
        """Reserve the port on each address, and open the Unix sockets, which workers have to share."""
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
        # Blocked, so that each stays pending until sigtimedwait takes it.
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
            # Readiness is polled until all are ready; an exit is a signal.
            wait = max(0.0, min(due) - now) if due else 3600.0 if self._started else 0.1
            got = signal.sigtimedwait(self._signals, wait)
            exited = self._reap()
            if got is not None and got.si_signo != signal.SIGCHLD:
                return self._stop()
            for worker, status in exited:
                if not self._started and not worker.was_ready():
                    why = worker.failure_reason() or f"a worker ended with status {status}; the log has more"
                    write_stderr(why)
                    self._stop()
                    return max(1, status)
                self._schedule_restart(worker, status)

    def _start(self, worker: _Worker) -> None:
        parent_end, child_end = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            parent_end.close()
            self._run_child(worker.number, child_end)
        child_end.close()
        if worker.channel is not None:
            worker.channel.close()
        worker.pid, worker.channel, worker.since = pid, parent_end, time.monotonic()
        _log.info("worker.started", node=self._node(worker.number), pid=pid)

    def _run_child(self, number: int, parent: socket.socket) -> None:
        """Run the worker in the child process; does not return."""
        status = 1
        try:
            for other in self._workers:
                if other.channel is not None:
                    other.channel.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            settings = self._settings.model_copy(update={"node_id": self._node(number)})
            status = self._serve(WorkerContext(settings, number, parent, self._listeners))
        except BaseException as error:  # noqa: BLE001 - the parent's code must not run in the child
            write_stderr("".join(traceback.format_exception(error)))
        finally:
            os._exit(status)

    def _node(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _reap(self) -> list[tuple[_Worker, int]]:
        """Workers that have exited, each with its exit status."""
        exited = []
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    worker.pid = 0
                    exited.append((worker, os.waitstatus_to_exitcode(status)))
        return exited

    def _schedule_restart(self, worker: _Worker, status: int) -> None:
        now = time.monotonic()
        worker.exits = 1 if now - worker.since > STABLE_UPTIME_S else worker.exits + 1
        first, most = RESTART_S
        wait = min(first * 2.0 ** min(worker.exits - 1, 16), most) * random.uniform(0.75, 1.25)
        worker.due = now + wait
        why = worker.failure_reason()
        _log.error(
            "worker.exited",
            node=self._node(worker.number),
            status=status,
            again_s=round(wait, 3),
            error=why or None,
        )

    def _stop(self) -> int:
        """Shut all workers down, and kill those that do not end. Returns 0 if all ended cleanly."""
        running = [worker for worker in self._workers if worker.pid]
        for worker in running:
            os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._settings.shutdown_timeout_s + AFTER_SHUTDOWN_S
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
        # A worker that got SIGTERM before its handler was installed ends by the signal itself.
        return int(any(status not in (0, -signal.SIGTERM) for status in statuses))
