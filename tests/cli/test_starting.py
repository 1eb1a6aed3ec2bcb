"""A start that fails, hangs or is told to end: the process says why, closes what it had opened, and is gone soon."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sse_push.cli import starting
from sse_push.cli.starting import Watchdog, started
from tests.conftest import until
from tests.ports import HOST, reserve
from tests.process import ServerProcess
from tests.redis_server import RedisServer

SOON_S = 8.0  # seconds for an end that must not wait for anything; a process takes one to come up


# -- the parts -------------------------------------------------------------------------------------


async def test_work_that_ends_gives_what_it_has() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 42

    assert await started(work(), asyncio.Event()) == 42


async def test_work_that_fails_is_told() -> None:
    async def work() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await started(work(), asyncio.Event())


async def test_work_that_is_stopped_closes_what_it_opened_though_a_cancel_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "CANCEL_AGAIN_S", 0.001)
    stop = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            done.append("lost")
        try:
            await asyncio.Event().wait()
        finally:
            done.append("closed")

    assert await started(work(), stop) is None
    assert done == ["lost", "closed"]


async def test_work_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "START_S", 0.01)

    with pytest.raises(TimeoutError, match="the start takes longer than"):
        await started(asyncio.sleep(3600), asyncio.Event())


def test_watchdog_ends_a_process_that_does_not_end() -> None:
    pid = os.fork()
    if pid == 0:
        with Watchdog() as watchdog:
            watchdog.end_within(0.01, 3)
            signal.pause()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


# -- processes -------------------------------------------------------------------------------------


@asynccontextmanager
async def relay(
    target: int, *, through: int = 1000, cut_at: bytes = b"\0"
) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """A port that leads to *target* for so many connections; others are kept and never answered.

    Args:
        cut_at: What a client says before its connection is cut.
    """
    taken: list[asyncio.StreamWriter] = []
    opened: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65536)) and cut_at not in data:
            writer.write(data)
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        if len(taken) > through:
            return
        back, forth = await asyncio.open_connection(HOST, target)
        opened.append(forth)
        for work in (copy(reader, forth), copy(back, writer)):
            task = asyncio.get_running_loop().create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    port = reserve()
    server = await asyncio.start_server(take, HOST, port)
    try:
        yield port, taken
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in (*taken, *opened):
            writer.transport.abort()


@pytest.fixture
async def new_server(tmp_path: Path) -> AsyncIterator[Callable[..., ServerProcess]]:
    made: list[ServerProcess] = []

    def new(*arguments: str, **settings: object) -> ServerProcess:
        made.append(ServerProcess(tmp_path, *arguments, **settings))
        return made[-1]

    yield new
    for server in made:
        server.clean_up()


async def ends_badly(server: ServerProcess) -> str:
    """Start *server*, which can't; what it says."""
    assert not await server._try_start(reserve())
    assert await server.exited() in (1, 2)
    assert "Traceback" not in server.output
    return server.stderr


@pytest.mark.process
@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["one", "workers"])
async def test_connection_that_is_cut_while_the_queue_starts_ends_the_start(
    new_server: Callable[..., ServerProcess], shared_redis: RedisServer, arguments: tuple[str, ...]
) -> None:
    async with relay(shared_redis.port, cut_at=b"XREVRANGE") as (port, _):
        server = new_server(*arguments, engine_url=f"redis://{HOST}:{port}/0")

        said = await ends_badly(server)

    assert said.startswith("sse-push: can't start: the queue of group chat can't be reached: ")
    assert said.count("\n") == 1, said


@pytest.mark.process
@pytest.mark.parametrize("through", [0, 1, 2], ids=["commands", "messages", "queue"])
@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["one", "workers"])
async def test_signal_ends_a_start_whose_redis_does_not_answer(
    new_server: Callable[..., ServerProcess],
    shared_redis: RedisServer,
    through: int,
    arguments: tuple[str, ...],
) -> None:
    async with relay(shared_redis.port, through=through) as (port, taken):
        server = new_server(*arguments, engine_url=f"redis://{HOST}:{port}/0")
        starts = asyncio.create_task(server._try_start(reserve()))
        await until(lambda: len(taken) > through)

        server.send_signal(signal.SIGTERM)

        assert await server.exited(SOON_S) == 0
        assert not await starts
        assert (server.stderr, server.logged("server.listening")) == ("", [])


@pytest.mark.process
async def test_data_directory_that_cannot_be_written_ends_the_start(
    new_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "file").touch(stat.S_IRUSR)

    said = await ends_badly(new_server(data_dir=tmp_path / "file" / "data"))

    assert said.startswith(f"sse-push: can't start: can't use {tmp_path}/file/data: ")


@pytest.mark.process
async def test_personas_that_cannot_be_used_are_told_once(
    new_server: Callable[..., ServerProcess], shared_redis: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "personas.json").write_text("[")

    said = await ends_badly(
        new_server("--workers", "2", engine_url=shared_redis.url, personas_file=tmp_path / "personas.json")
    )

    assert said.count("sse-push: these settings can't be used:") == 1


@pytest.mark.process
async def test_database_that_does_not_answer_does_not_keep_a_start_for_long(
    new_server: Callable[..., ServerProcess],
) -> None:
    async with relay(0, through=0) as (port, taken):
        server = new_server(database_url=f"postgresql://me:secret@{HOST}:{port}/db")
        starts = asyncio.create_task(server._try_start(reserve()))
        await until(lambda: len(taken) > 0)

        server.send_signal(signal.SIGTERM)

        assert await server.exited(SOON_S) == 0
        assert not await starts
