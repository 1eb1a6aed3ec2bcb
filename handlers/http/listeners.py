"""Listening sockets: of addresses, with the options that streams need, and of paths."""

import errno
import os
import socket
import stat
from pathlib import Path

from sse_push.service.hosts import takes_both_families, unix_path
from sse_push.service.settings import Settings

BACKLOG = 4096  # connections that may wait to be accepted: a fleet coming back at once
KNOCK_S = 1.0  # seconds for whoever may listen on a Unix socket to take a connection


def listen(settings: Settings, host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; what is accepted on it inherits its options, so no stream pays for them.

    Raises:
        OSError: The address is taken, or not this machine's.
    """
    path = unix_path(host)
    listener = _listen_at_path(path, settings) if path else _listen_at(settings, host, port, shared=shared)
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
    return listener


def reserve(settings: Settings, host: str, port: int) -> socket.socket:
    """A socket that holds an address for processes that will share it, and takes no connections itself.

    Raises:
        OSError: It is taken.
    """
    # Sockets that may share a port would share it with whoever else may: another node's start is an error.
    _create(settings, host, port).close()
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if ":" in host:
        only = not takes_both_families(host, settings.hosts)
        reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    reserved.bind((host, port))
    return reserved


class SocketPath:
    """The path of a Unix socket that listens, to be removed at the end unless another has taken it over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _identity(path)

    def remove(self) -> None:
        if self._file is not None and _identity(self._path) == self._file:
            self._path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_stale(path: Path) -> bool:
    """Whether *path* is a socket on which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(KNOCK_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _listen_at(settings: Settings, host: str, port: int, *, shared: bool) -> socket.socket:
    listener = _create(settings, host, port, backlog=BACKLOG, reuse_port=shared)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A heartbeat that is not acknowledged for this long ends the connection (RFC 5482).
    unheard_ms = round((settings.peer_timeout_s - settings.heartbeat_s) * 1000)
    for option, value in (
        ("TCP_USER_TIMEOUT", unheard_ms),
        ("TCP_KEEPIDLE", max(1, round(settings.heartbeat_s))),
        ("TCP_KEEPINTVL", max(1, round(settings.heartbeat_s))),
    ):
        if hasattr(socket, option):  # Linux has all; elsewhere the system's own times hold
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return listener


def _create(
    settings: Settings, host: str, port: int, *, backlog: int | None = None, reuse_port: bool = False
) -> socket.socket:
    both = takes_both_families(host, settings.hosts) and socket.has_dualstack_ipv6()
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=backlog,
        reuse_port=reuse_port,
        dualstack_ipv6=both,
    )


def _listen_at_path(path: Path, settings: Settings) -> socket.socket:
    if _is_stale(path):
        path.unlink(missing_ok=True)  # of a node that was killed
    elif path.exists():
        raise OSError(errno.EADDRINUSE, f"{path} is in use, or no socket")
    listener = socket.socket(socket.AF_UNIX)
    mode = int(settings.socket_mode, 8)
    before = os.umask(0o777 & ~mode)  # never more than that, not even for a moment
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"can't listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    path.chmod(mode)
    listener.listen(BACKLOG)
    return listener
