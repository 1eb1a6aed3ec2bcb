"""A service goes on whatever becomes of its log, and ends as it would have ended."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.ports import HOST, reserve
from tests.process import ROOT, eventually

Serve = Callable[..., "subprocess.Popen[bytes]"]
MANY = 500  # requests of 8 KB, whose lines are more than the pipe and the node's own queue hold


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts ``sse-push serve``, in demo mode, with the standard output that is given."""
    processes: list[subprocess.Popen[bytes]] = []

    def serve(port: int, **streams: object) -> "subprocess.Popen[bytes]":
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SSE_PUSH_")},
            "SSE_PUSH_AUTH_MODE": "demo",
            "SSE_PUSH_PORT": str(port),
            "SSE_PUSH_DATA_DIR": str(tmp_path),
        }
        command = [sys.executable, "-m", "sse_push.cli.main", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, **streams)  # type: ignore[call-overload]
        processes.append(process)
        return process  # type: ignore[no-any-return]

    yield serve
    for process in processes:
        process.kill()
        process.communicate()


async def _get(port: int, *paths: str) -> list[bytes]:
    """The bodies of *paths*, asked for on one connection."""
    return await asyncio.to_thread(_get_now, port, paths)


def _get_now(port: int, paths: Sequence[str]) -> list[bytes]:
    with contextlib.closing(HTTPConnection(HOST, port, timeout=20)) as connection:
        bodies = []
        for path in paths:
            connection.request("GET", path)
            bodies.append(connection.getresponse().read())
        return bodies


async def _is_ready(port: int) -> bool:
    try:
        return b"ok" in (await _get(port, "/readyz"))[0]
    except OSError:
        return False


async def _ask_often(port: int, count: int) -> None:
    """Make *count* requests, each of which is logged, and read each answer."""
    bodies = await _get(port, *["/" + "x" * 8000] * count)
    assert all(b"no such path" in body for body in bodies)


async def _end(process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.to_thread(process.communicate, timeout=20)
    return process.returncode, err


async def _dropped(port: int) -> int:
    [text] = await _get(port, "/metrics")
    for line in text.splitlines():
        if line.startswith(b"sse_push_log_lines_dropped_total "):
            return int(float(line.split()[1]))
    raise AssertionError("no such metric")


async def test_log_whose_reader_has_gone_stops_nothing(serve: Serve) -> None:
    port = reserve()
    process = serve(port, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"node.started" in process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    await eventually(lambda: _is_ready(port), "ready")
    await _ask_often(port, 5)
    assert await eventually(lambda: _dropped(port), "lines are counted")
    assert await _end(process) == (0, b"")


async def test_log_on_a_full_disk_stops_nothing(serve: Serve) -> None:
    port = reserve()
    with Path("/dev/full").open("wb") as full:
        process = serve(port, stdout=full)
    await eventually(lambda: _is_ready(port), "ready")
    await _ask_often(port, 5)
    assert await eventually(lambda: _dropped(port), "lines are counted")
    assert await _end(process) == (0, b"")


async def test_standard_output_that_is_closed_stops_nothing(serve: Serve) -> None:
    port = reserve()
    process = serve(port, preexec_fn=lambda: os.close(1))
    await eventually(lambda: _is_ready(port), "ready")
    await _ask_often(port, 5)
    assert Path(f"/proc/{process.pid}/fd/1").readlink() == Path(os.devnull)
    assert await _end(process) == (0, b"")


async def test_log_that_nobody_reads_stops_nothing_and_says_how_much_is_missing(serve: Serve) -> None:
    port = reserve()
    process = serve(port, stdout=subprocess.PIPE)
    await eventually(lambda: _is_ready(port), "ready")
    await _ask_often(port, MANY)
    dropped = await _dropped(port)
    assert dropped
    assert process.stdout is not None
    out = process.stdout
    line = b""
    while b"log.dropped" not in line:
        line = await asyncio.to_thread(out.readline)
        assert line
    assert b'"lines":%d' % dropped in line
    assert await _end(process) == (0, b"")
