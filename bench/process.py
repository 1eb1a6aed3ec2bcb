"""Servers as processes: started on a cpu of their own, read through /proc, stopped. Knows no HTTP."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_S = 15.0  # seconds a server may take until it accepts connections
STOP_S = 5.0  # seconds it may take to end once told
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpus() -> tuple[set[int], set[int]]:
    """The cpus for the server and for the load: one each where there are two, else the same."""
    mine = sorted(os.sched_getaffinity(0))
    return {mine[0]}, {mine[-1]}


def busy_seconds(of: set[int]) -> float:
    """What all processes and the kernel have used of these cpus, and what the host has taken away."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in of:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, counts[:8])
            total += user + nice + system + irq + softirq + steal
    return total / _TICKS_PER_S


class ServerProcess:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.port = port

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def check(self) -> None:
        """See that it still runs.

        Raises:
            RuntimeError: It ended by itself.
        """
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended with status {self._process.returncode}")


@contextmanager
def serving(
    command: Sequence[str], environment: Mapping[str, str], cpu: set[int], log: Path
) -> Iterator[ServerProcess]:
    """Run *command* pinned to *cpu* until the block ends; ``{port}`` in it becomes a free port."""
    port = _free_port()
    filled = [part.format(port=port) for part in command]
    variables = {**os.environ, **{name: value.format(port=port) for name, value in environment.items()}}
    with log.open("ab") as out:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpu)  # a child is born with its parent's
        try:
            process = subprocess.Popen(filled, env=variables, stdout=out, stderr=out)
        finally:
            os.sched_setaffinity(0, before)
    server = ServerProcess(process, port)
    try:
        _wait_until_open(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_until_open(server: ServerProcess) -> None:
    deadline = time.monotonic() + START_S
    while True:
        server.check()
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
