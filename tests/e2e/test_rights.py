"""The rights that operations.md names are enough for nodes and workers in all that they do: real ones, with no others."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from sse_push.service.database import Database
from sse_push.service.tables import FriendshipRow, UserRow
from tests.e2e.client import Api, demo
from tests.e2e.conftest import Serve
from tests.e2e.stream import Stream
from tests.e2e.test_group_chat import ask
from tests.e2e.watcher import Watcher
from tests.process import ROOT, WorkerProcess, eventually
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

PAGE = (ROOT / "docs" / "operations.md").read_text()


@pytest.fixture
def guarded(redis_server: RedisServer) -> RedisServer:
    """A Redis that refuses everybody but those whom the page names; it is asked as one who may do all."""
    [rights] = re.findall(r"^user sse-push on >PASSWORD (.*)$", PAGE, re.MULTILINE)
    [keys] = re.findall(r"^Workers alone \(`sse-push worker`\) need `(\S+)` only\.$", PAGE, re.MULTILINE)
    commands = [right for right in rights.split() if right.startswith("+")]
    redis_server.call("ACL", "SETUSER", "node", "on", ">secret", *rights.split())
    redis_server.call("ACL", "SETUSER", "worker", "on", ">secret", keys, *commands)
    return redis_server


@pytest.fixture
async def friends(tmp_path: Path) -> str:
    """The URL of a database in which 1 and 2 are friends."""
    url = f"sqlite:///{tmp_path}/accounts.db"
    database = Database(url, tmp_path)
    async with database.write() as session:
        for user in (1, 2):
            session.add(
                UserRow(id=user, email=str(user), name="", role="user", password_hash="-", created_at=0)
            )
        await session.flush()
        session.add(FriendshipRow(low_id=1, high_id=2, low_asked=True, high_asked=True))
    await database.close()
    return url


async def test_nodes_and_workers_need_no_more_rights_than_the_page_names(
    guarded: RedisServer, serve: Serve, friends: str, tmp_path: Path
) -> None:
    settings = {
        "engine_url": f"redis://node:secret@127.0.0.1:{guarded.port}", "database_url": friends, "ai_worker_concurrency": 0,
        "presence_timeout_s": 3, "presence_grace_s": 0.2, "presence_heartbeat_s": 0.3, "history_max_events": 50,
    }  # fmt: skip
    (tmp_path / "worker").mkdir()
    worker = WorkerProcess(tmp_path / "worker", engine_url=f"redis://worker:secret@127.0.0.1:{guarded.port}")
    try:
        here, there, _ = await asyncio.gather(serve(**settings), serve(**settings), worker.start())

        # Group chat: the queue, its worker, the room.
        frames = await ask(here, "hello")
        assert [frame["type"] for frame in frames].count("ai_response") == 2
        assert frames[-1]["type"] == "complete"

        # Presence: lease, moves, heartbeats, and the users of a node that died.
        async with Watcher(here, 1) as watcher, Watcher(there, 2):
            await eventually(lambda: watcher.online == {2}, "2 is online")
            await eventually(lambda: watcher.heartbeats, "a heart beats")
            await there.kill()
            await eventually(lambda: watcher.online == set(), "2 is gone with its node", 15)

        # Events: as they happen, from the inbox, from the past.
        async with Api() as api:
            stream = await Stream.open(here, "/sse/connect?clientId=42", token=demo("42"))
            while (frame := await stream.frame()) is not None and frame.id is None:
                pass  # with an id it is told where it stands: it has begun
            event = {"topic": "client", "userId": "42", "data": {"n": 1}}
            guarded.call("XADD", "{sse-push}:inbox", "*", "event", json.dumps(event))
            guarded.call("XADD", "{sse-push}:inbox", "*", "event", "no event")
            [first] = await stream.events(1)
            assert first.json == {"n": 1}
            await eventually(lambda: guarded.call("XLEN", "{sse-push}:inbox") == 0, "the inbox is empty")
            stream.close()
            await api.publish(here, [{**event, "data": {"n": n}, "key": str(n)} for n in range(60)])
            back = await Stream.open(here, "/sse/connect?clientId=42", token=demo("42"), last_id=first.id)
            gap, *rest = await back.events(51)
            assert (gap.json["reason"], rest[-1].json) == ("expired", {"n": 59})
            back.close()
        assert await here.terminate() == 0
        assert await worker.terminate() == 0
        assert guarded.call("ACL", "LOG") == []
    finally:
        worker.clean_up()
