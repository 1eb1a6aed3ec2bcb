"""The servers that are measured: how each is started, subscribed to and published to."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from time import time

import jwt

from bench.marks import EVERYBODY

_SECRET = "a secret for measuring, of no worth to anybody"
_PEERS = {
    "aiohttp-sse": "bench.peers.aiohttp_sse_app",
    "sse-starlette": "bench.peers.sse_starlette_app",
    "nchan": "bench.peers.nchan",
}


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """An HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Server:
    """One of a library's: ``/sub/uI``, ``/push`` and ``/push/uI``, no tokens."""

    name: str
    packages: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    batches: bool = False
    replays: bool = False
    needs: str = ""  # a program that must be on PATH

    @property
    def is_here(self) -> bool:
        return not self.needs or shutil.which(self.needs) is not None

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", _PEERS[self.name], "{port}"]

    def versions(self) -> str:
        return ", ".join(f"{package} {_version(package)}" for package in self.packages)

    def subscribe(self, index: int, *, own: bool = False, after: str = "") -> bytes:
        """The request that opens stream *index*, which is user u*index*'s.

        Args:
            own: It needs only what is for this user alone; whether it gets more is the server's choice.
            after: The id behind which it resumes.
        """
        return request("GET", f"/sub/u{index}", headers={"Accept": "text/event-stream"})

    def publish(self, events: Sequence[tuple[int, bytes]]) -> bytes:
        """The request that publishes *events*, ``(target, data)`` each; one of them without batches."""
        [(target, data)] = events
        return request("POST", "/push" if target == EVERYBODY else f"/push/u{target}", data)


class SsePush(Server):
    """This service with everything on: tokens checked, history kept, figures counted, JSON logs written."""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "sse_push.cli.main", "serve"]

    def subscribe(self, index: int, *, own: bool = False, after: str = "") -> bytes:
        headers = {"Authorization": f"Bearer {_token(f'u{index}', 'user')}"}
        return request(
            "GET", "/v1/app/sse", headers={**headers, "Last-Event-ID": after} if after else headers
        )

    def publish(self, events: Sequence[tuple[int, bytes]]) -> bytes:
        bodies = [_envelope(target, data) for target, data in events]
        body = bodies[0] if len(bodies) == 1 else b"[%b]" % b",".join(bodies)
        return request("POST", "/v1/events", body, {"Authorization": f"Bearer {_PUBLISHER}"})


class Nchan(Server):
    """nchan in an nginx of one process, its messages in memory."""

    def subscribe(self, index: int, *, own: bool = False, after: str = "") -> bytes:
        path = f"/sub/u{index}" if own else "/sub/all"  # a stream of two channels would cost it more
        return request("GET", path, headers={"Accept": "text/event-stream"})

    def publish(self, events: Sequence[tuple[int, bytes]]) -> bytes:
        [(target, data)] = events
        return request("POST", "/push/all" if target == EVERYBODY else f"/push/u{target}", data)

    def versions(self) -> str:
        return "Debian's nginx and libnginx-mod-nchan"


def _token(user: str, role: str) -> str:
    return jwt.encode({"sub": user, "roles": [role], "exp": int(time()) + 3600}, _SECRET, algorithm="HS256")


_PUBLISHER = _token("bench", "service")


def _envelope(target: int, data: bytes) -> bytes:
    audience = b'"broadcast":true' if target == EVERYBODY else b'"userId":"u%d"' % target
    return b'{"data":%b,%b}' % (data, audience)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def servers(data_dir: str, streams: int) -> list[Server]:
    """The servers, for up to *streams* streams; the service keeps its history below *data_dir*."""
    roomy = str(streams + 1000)
    service = {
        "SSE_PUSH_PORT": "{port}",
        "SSE_PUSH_DATA_DIR": data_dir + "/{port}",
        "SSE_PUSH_JWT_SECRET": _SECRET,
        "SSE_PUSH_LOG_FORMAT": "json",
        "SSE_PUSH_MAX_CONNECTIONS": roomy,
        "SSE_PUSH_MAX_CONNECTIONS_PER_ADDRESS": roomy,
    }
    return [
        SsePush(
            "sse-push", ("sse-push", "aiohttp", "uvloop", "pydantic"), service, batches=True, replays=True
        ),
        Nchan("nchan", (), needs="nginx"),
        Server("aiohttp-sse", ("aiohttp-sse", "aiohttp", "uvloop")),
        Server("sse-starlette", ("sse-starlette", "starlette", "uvicorn", "httptools", "uvloop")),
    ]
