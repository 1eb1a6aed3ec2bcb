"""Loading Lua scripts into a server."""

import hiredis
import pytest

from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.connection import RedisConnection
from sse_push.events.engines.redis.script_loader import ScriptLoader
from tests.redis_server import RedisServer

PACKAGE = "sse_push.events.engines.redis"


def test_source_begins_with_the_files_the_script_needs() -> None:
    loader = ScriptLoader(PACKAGE, {"mark": ("common", "sweep"), "pass": ("common",)})

    assert loader.source("mark").startswith(loader.source("pass").removesuffix(_alone("pass")))
    assert loader.source("mark").endswith(_alone("sweep") + _alone("mark"))


async def test_loaded_script_runs_by_its_sha(server: RedisServer) -> None:
    loader = ScriptLoader(PACKAGE, {"common": ()})
    connection = RedisConnection()
    await connection.connect(RedisAddress.parse(server.url), "test")

    with pytest.raises(hiredis.ReplyError, match="NOSCRIPT"):
        await connection.call("EVALSHA", "0" * 40, 0)
    await loader.load(connection)

    assert await connection.call("SCRIPT", "EXISTS", loader.sha("common")) == [1]
    connection.abort()


def _alone(name: str) -> str:
    return ScriptLoader(PACKAGE, {name: ()}).source(name)
