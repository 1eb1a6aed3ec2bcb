"""Group chat over nodes, workers and Redis: real processes, some of them in Node, some of them killed."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import node_bullmq
from tests.e2e.client import Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.stream import Stream
from tests.model_server import SILENT, ModelServer
from tests.process import ROOT, ServerProcess, WorkerProcess, eventually
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

BLOCKS = dict(
    re.findall(
        r"^```js name=(\S+)\n(.*?)^```$", (ROOT / "docs/group-chat.md").read_text(), re.MULTILINE | re.DOTALL
    )
)
ADA = demo("42")


@pytest.fixture
async def work(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[WorkerProcess]]]:
    """Starts an ``sse-push worker`` with the settings given."""
    async with AsyncExitStack() as stack:

        async def start(**settings: object) -> WorkerProcess:
            folder = tmp_path / f"worker{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            worker = WorkerProcess(folder, **settings)
            stack.callback(worker.clean_up)
            await worker.start()
            return worker

        yield start


async def ask(server: ServerProcess, message: str) -> list[Any]:
    """A whole turn; its frames, ``[DONE]`` left out."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as session,
        session.post(
            f"{server.url}/api/chat/rooms/general/group-sse",
            json={"message": message, "sender": "42", "userName": "ada"},
            headers={"Authorization": f"Bearer {ADA}"},
        ) as response,
    ):
        assert response.status == 200, await response.text()
        lines = [line[6:] for line in (await response.text()).split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def listen(server: ServerProcess) -> Stream:
    """The room's stream, begun: what is said from now on comes."""
    room = await Stream.open(server, "/chat/stream?room=general", token=demo("7"))
    while (frame := await room.frame()) is not None and frame.id is None:
        pass
    return room


async def room_says(stream: Stream, count: int) -> list[tuple[str, str]]:
    """Who said what, the next *count* messages of a room."""
    return [
        (said["userId"], said["message"]) for said in [frame.json for frame in await stream.events(count)]
    ]


async def test_node_worker_answers_and_a_plain_reader_reads(
    redis_server: RedisServer, serve: Serve, tmp_path: Path
) -> None:
    """docs/group-chat.md's worker and client, as they stand there; the room listens on another node."""
    place = node_bullmq.folder()
    if isinstance(place, str):
        pytest.skip(place)
    settings = {"engine_url": redis_server.url, "ai_worker_concurrency": 0}
    asked, other = await asyncio.gather(serve(**settings), serve(**settings))
    (tmp_path / "worker.mjs").write_text(BLOCKS["worker.mjs"])
    (tmp_path / "client.mjs").write_text(BLOCKS["client.mjs"])
    (tmp_path / "node_modules").symlink_to(place / "node_modules")
    room = await listen(other)
    environment = {**os.environ, "REDIS_URL": redis_server.url}
    worker = subprocess.Popen(["node", "worker.mjs"], cwd=tmp_path, env=environment)
    try:
        client = await asyncio.create_subprocess_exec(
            "node", "client.mjs", asked.url, "general", ADA, "42", "zwölf Boxkämpfer", cwd=tmp_path, stdout=subprocess.PIPE
        )  # fmt: skip
        out, _ = await asyncio.wait_for(client.communicate(), 40)
        told = await room_says(room, 3)
    finally:
        worker.kill()
        worker.wait()
        room.close()

    *lines, done = out.decode().splitlines()
    frames = [json.loads(line) for line in lines]
    assert done == "done"
    assert [frame["type"] for frame in frames] == [
        "user_message", "ai_response", "ai_response", "exp_updated", "exp_updated", "complete",
    ]  # fmt: skip
    assert {frame["content"] for frame in frames[1:3]} == {
        "Ada heard ada say: zwölf Boxkämpfer",
        "Basil heard ada say: zwölf Boxkämpfer",
    }
    assert told[0] == ("42", "zwölf Boxkämpfer")
    assert sorted(told[1:]) == sorted((f"ai:{frame['aiId']}", frame["content"]) for frame in frames[1:3])


async def test_worker_killed_amid_its_jobs_is_replaced(
    redis_server: RedisServer,
    serve: Serve,
    work: Callable[..., Awaitable[WorkerProcess]],
    model_server: ModelServer,
) -> None:
    settings = {
        "engine_url": redis_server.url,
        "ai_base_url": model_server.url,
        "ai_model": "m",
        "ai_job_lock_s": 1,
    }
    model_server.answers = {"m": SILENT}
    node, worker = await asyncio.gather(serve(**settings, ai_worker_concurrency=0), work(**settings))

    turn = asyncio.create_task(ask(node, "are you there?"))
    await eventually(lambda: len(model_server.asked) == 2, "the worker has asked the model", within=30)
    await worker.kill()
    model_server.answers = {"m": "yes"}
    second = await work(**settings)
    frames = await turn

    assert [frame["type"] for frame in frames[3:]] == ["exp_updated", "exp_updated", "complete"]
    assert {frame["content"] for frame in frames[1:3]} == {"yes"}
    assert await second.terminate() == 0
    assert second.logged("ai_worker.stopped")


async def test_answers_reach_the_room_once_when_the_callers_node_dies(
    redis_server: RedisServer, serve: Serve, api: Api, model_server: ModelServer, tmp_path: Path
) -> None:
    settings = {
        "engine_url": redis_server.url,
        "ai_base_url": model_server.url,
        "ai_model": "m",
        "database_url": f"sqlite:///{tmp_path}/accounts.db",
    }
    model_server.answers = {"m": SILENT}
    dying, alive = await asyncio.gather(serve(**settings, ai_worker_concurrency=0), serve(**settings))
    room = await listen(alive)

    turn = asyncio.create_task(ask(dying, "hello"))
    await eventually(lambda: len(model_server.asked) == 2, "the other node works", within=30)
    await dying.kill()
    model_server.release.set()
    with pytest.raises(aiohttp.ClientError):
        await turn
    told = await room_says(room, 3)
    frames = await ask(alive, "and now?")
    after = await room_says(room, 3)
    room.close()

    assert sorted(who for who, _ in told) == ["42", "ai:1", "ai:2"]
    assert after[0] == ("42", "and now?")  # nothing of the first turn came twice
    assert frames[-1]["type"] == "complete"

    async def exp() -> list[int]:
        _, members = await api.call(alive, "GET", "/api/chat/rooms/general/members", token=ADA)
        return [member["exp"] for member in members]

    async def earned() -> bool:
        return await exp() == [10, 10]

    await eventually(earned, "both turns have earned, the first by the other node")
