"""The rights that operations.md names are enough for all that a node does."""

import asyncio
import re
from pathlib import Path

from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.group import EventList
from tests.conftest import until
from tests.events.engines.places import EVERYTHING, Life, said
from tests.events.fakes import CallbackListener, Clock
from tests.redis_server import RedisServer

OPERATIONS = Path(__file__).resolve().parents[4] / "docs" / "operations.md"
PASSWORD = "a/password:with@signs"


async def test_node_needs_no_more_than_the_rights_in_the_documents() -> None:
    [rights] = re.findall(r"^user sse-push on >PASSWORD (.*)$", OPERATIONS.read_text(), re.MULTILINE)
    server = RedisServer()
    try:
        server.start()
        server.call("ACL", "SETUSER", "sse-push", "on", f">{PASSWORD}", *rights.split())
        url = f"redis://sse-push:a%2Fpassword%3Awith%40signs@127.0.0.1:{server.port}"
        clock = Clock()
        life = Life(RedisEngine(url, max_events=100, max_age=60.0, clock=clock), clock)
        await life.engine.start(CallbackListener(life.hear))
        taken: list[object] = []
        life.engine.consume_inbox(lambda events: taken.extend(events) or done(["id"]))
        life.engine.subscribe(EVERYTHING)
        await life.engine.wait_caught_up(EVERYTHING)
        await life.keep(said("1", key="k"))
        server.call("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: not life.engine.reachable)
        await until(lambda: life.engine.reachable)
        await life.keep(*[said(number) for number in range(200)])
        assert len(await life.replay()) == 100
        assert await life.engine._session._audit.missing() == []
        assert not await life.engine.has_remote_subscribers("app:nobody")
        life.engine.unsubscribe(EVERYTHING)
        for body in ("{", '{"userId": "1", "data": 1}'):
            server.call("XADD", "{sse-push}:inbox", "*", "event", body)
        await until(lambda: taken)
        await until(lambda: server.call("XLEN", "{sse-push}:inbox") == 0)
        life.engine.publish_ephemeral(EventList([said("passed", durable=False)]))
        await life.engine.check()
        await life.engine.close()
        assert server.call("ACL", "LOG") == []
    finally:
        server.remove()


def done(ids: list[str]) -> "asyncio.Future[list[str]]":
    receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    receipt.set_result(ids)
    return receipt
