"""Where a node listens, as HOST says it: addresses and names, and Unix sockets by their paths."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

UNIX = "unix:"
MAX_PATH_BYTES = 107  # of a Unix socket's path: what Linux has room for, with the zero at its end


def split_hosts(text: str) -> tuple[str, ...]:
    """The hosts of a comma-separated list, each once, addresses without brackets.

    Raises:
        ValueError: There is none, or a Unix socket's path can't be one.
    """
    parts = [part.strip() for part in text.split(",")]
    hosts = tuple(dict.fromkeys(part.removeprefix("[").removesuffix("]") for part in parts if part))
    if not hosts:
        raise ValueError("must name an address, or unix:/path")
    for path in map(unix_path, hosts):
        if path is not None and not (path.is_absolute() and len(str(path).encode()) <= MAX_PATH_BYTES):
            raise ValueError(f"unix: needs an absolute path of at most {MAX_PATH_BYTES} bytes")
    return hosts


def unix_path(host: str) -> Path | None:
    """The path of a Unix socket; ``None`` for an address."""
    return Path(host.removeprefix(UNIX)) if host.startswith(UNIX) else None


def takes_both_families(host: str, hosts: Sequence[str]) -> bool:
    """Whether a socket of *host* is to take IPv4 too: ``::`` does, unless that has a socket of its own."""
    return host == "::" and "0.0.0.0" not in hosts


def is_of_this_machine(host: str) -> bool:
    """Whether only processes of this machine reach *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith(UNIX)


def url_of(host: str, port: int) -> str:
    """Where *host* is found by clients."""
    if host.startswith(UNIX):
        return host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(hosts: Sequence[str], port: int) -> str | None:
    """Where the same machine finds a node; ``None`` where it listens on Unix sockets alone."""
    addresses = [host for host in hosts if not host.startswith(UNIX)]
    if not addresses:
        return None
    return url_of({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(addresses[0], addresses[0]), port)
