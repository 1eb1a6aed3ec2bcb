"""Ports for servers of tests, each for one of them while these tests run.

A server that is stopped and started again must find its port free, and those who knock meanwhile must not find another
test's server there: so no two test processes of a machine are given the same. Knows no servers.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
# Below the range that systems take outgoing ports from: a client that knocks while the process is down
# must not be given that very port as its own and so connect to itself.
_PORTS = range(20_000, 32_000)
_TRIES = 1000

_random = random.SystemRandom()
_held: list[IO[bytes]] = []  # locks, let go when this process ends


def reserve(count: int = 1) -> int:
    """The first of *count* free ports in a row, which nobody else is given until this process ends."""
    for _ in range(_TRIES):
        first = _random.randrange(_PORTS.start, _PORTS.stop - count)
        locks: list[IO[bytes]] = []
        for port in range(first, first + count):
            lock = _lock(port)
            if lock is None or not is_free(port):
                break
            locks.append(lock)
        else:
            _held.extend(locks)
            return first
    raise AssertionError(f"no port of {_PORTS} is free")


def is_free(port: int) -> bool:
    """Whether nobody listens on *port*."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _lock(port: int) -> IO[bytes] | None:
    folder = Path(tempfile.gettempdir()) / f"sse-push-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    file = (folder / str(port)).open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
