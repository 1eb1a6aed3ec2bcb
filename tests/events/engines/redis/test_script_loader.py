"""Loading Lua scripts into a server."""

import hiredis
import pytest

from sse_push.events.engines.redis.link import Address, Link
from sse_push.events.engines.redis.script_loader import ScriptLoader
from tests.redis_server import RedisServer

PACKAGE = "sse_push.events.engines.redis"


def test_source_begins_with_the_files_the_script_needs() -> None:
    loader = ScriptLoader(PACKAGE, {"mark": ("common", "sweep"), "pass": ("common",)})

    assert loader.source("mark").startswith(loader.source("pass").removesuffix(_alone("pass")))
    assert loader.source("mark").endswith(_alone("sweep") + _alone("mark"))


async def test_loaded_script_runs_by_its_sha(server: RedisServer) -> None:
    loader = ScriptLoader(PACKAGE, {"common": ()})
    link = Link()
    await link.connect(Address.parse(server.url), "test")

    with pytest.raises(hiredis.ReplyError, match="NOSCRIPT"):
        await link.call("EVALSHA", "0" * 40, 0)
    await loader.load(link)

    assert await link.call("SCRIPT", "EXISTS", loader.sha("common")) == [1]
    link.abort()


def _alone(name: str) -> str:
    return ScriptLoader(PACKAGE, {name: ()}).source(name)
