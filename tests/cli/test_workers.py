"""``sse-push serve --workers``: one port, several nodes, kept running, and ended together."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.conftest import WITHIN_S, Run, Start
from tests.e2e.client import ADMIN, Api
from tests.e2e.stream import Stream
from tests.ports import HOST, reserve
from tests.process import ServerProcess, eventually
from tests.redis_server import RedisServer

WORKERS = 2


@pytest.fixture
def own_ports() -> int:
    """The first of some free ports in a row."""
    return reserve(WORKERS)


@pytest.fixture
async def parent(shared_redis: RedisServer, tmp_path: Path, own_ports: int) -> AsyncIterator[ServerProcess]:
    server = ServerProcess(
        tmp_path, "--workers", str(WORKERS), "--worker-ports", str(own_ports),
        engine_url=shared_redis.url, node_id="box", shutdown_timeout_s=3,
    )  # fmt: skip
    try:
        await server.start()
        await listening(server, WORKERS)
        yield server
    finally:
        for pid in pids(server):
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        server.clean_up()


async def listening(server: ServerProcess, count: int) -> None:
    await eventually(lambda: len(server.logged("server.listening")) >= count, f"{count} have come to listen")


def pids(server: ServerProcess) -> list[int]:
    return [record["pid"] for record in server.logged("worker.started")]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.process
async def test_workers_are_nodes_on_one_port_and_one_that_dies_is_started_again(
    parent: ServerProcess, own_ports: int
) -> None:
    class OwnPort:
        url = f"http://{HOST}:{own_ports}"

    async with Api() as api, await Stream.open(parent, "/v1/app/sse", ADMIN) as stream:
        await stream.frame()
        assert (await api.call(OwnPort, "GET", "/system/status"))[1]["nodeId"] == "box-1"
        nodes = set()

        async def asked_all() -> bool:  # each call on a connection of its own
            nodes.add((await api.call(parent, "GET", "/system/status", Connection="close"))[1]["nodeId"])
            return len(nodes) == WORKERS

        await eventually(asked_all, "every worker answers on the port")
        for _ in range(10):  # whoever takes it, the stream gets it
            await api.publish(parent, {"broadcast": True, "data": "x"})
        await stream.events(10)

        [dead, *others] = pids(parent)
        os.kill(dead, signal.SIGKILL)
        await listening(parent, WORKERS + 1)
        [died] = parent.logged("worker.exited")
        assert (died["node"], died["status"]) == ("box-1", -signal.SIGKILL)
        assert all(map(lives, others))
        assert [record["node"] for record in parent.logged("worker.started")] == ["box-1", "box-2", "box-1"]

        assert await parent.terminate(within=3 + 2) == 0
    assert len(parent.logged("node.stopped")) == WORKERS
    assert not any(map(lives, pids(parent)))
    assert parent.stderr == ""


@pytest.mark.process
async def test_workers_do_not_outlive_their_parent(parent: ServerProcess) -> None:
    await parent.kill()
    await eventually(lambda: not any(map(lives, pids(parent))), "the workers end")
    assert len(parent.logged("node.stopped")) == WORKERS


@pytest.mark.process
@pytest.mark.parametrize("taken_by_others", ["the port", "a worker's own port"])
def test_workers_that_cant_start_say_so_once_and_for_all(
    start: Start, shared_redis: RedisServer, tmp_path: Path, own_ports: int, taken_by_others: str
) -> None:
    with socket.create_server((HOST, own_ports), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])
        ports = ["--worker-ports", port] if taken_by_others == "a worker's own port" else []
        server = start(
            "serve", "--workers", str(WORKERS), *ports, AUTH_MODE="demo",
            PORT="0" if ports else port, DATA_DIR=str(tmp_path), ENGINE_URL=shared_redis.url,
        )  # fmt: skip
        _, err = server.communicate(timeout=WITHIN_S)
    assert server.returncode == 1
    assert err.startswith("sse-push: can't start: ") and "in use" in err
    assert err.count("\n") == 1 and "Traceback" not in err


def test_workers_want_the_redis_engine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    done = run("serve", "--workers", "2")
    assert (done.status, done.out) == (2, "")
    assert "Redis" in done.err


@pytest.mark.parametrize("count", ["0", "-1", "65", "many"])
def test_workers_are_a_sane_number(run: Run, count: str) -> None:
    done = run("serve", "--workers", count)
    assert done.status == 2
    assert "--workers" in done.err
