"""A server that comes back: whole, empty, or with the beginning of what it had. What was lost is never passed over."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sse_push.events.engines.redis import recovery, session
from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.connection import RedisConnection
from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.errors import EngineUnavailable
from sse_push.events.ids import format_id
from tests.conftest import until
from tests.events.engines.places import EVERYTHING, Life, ids, said, seqs
from tests.events.fakes import CallbackListener, Clock
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy


class Node(Life):
    """An engine that hears everything, through a proxy of its own.

    Attributes:
        broken: What its streams were told, and where they stood.
    """

    proxy: TcpProxy
    broken: list[tuple[str, str]]


@asynccontextmanager
async def node(server: RedisServer) -> AsyncIterator[Node]:
    proxy = TcpProxy(server.port)
    await proxy.start()
    clock = Clock()
    engine = RedisEngine(f"redis://127.0.0.1:{proxy.port}", max_events=1000, max_age=1e6, clock=clock)
    node = Node(engine, clock)
    node.proxy, node.broken = proxy, []
    await engine.start(
        CallbackListener(node.hear, discontinued=lambda reason, stood: node.broken.append((reason, stood)))
    )
    engine.subscribe(EVERYTHING)
    await engine.wait_caught_up(EVERYTHING)
    yield node
    await engine.close()
    await proxy.refuse()


@asynccontextmanager
async def running() -> AsyncIterator[RedisServer]:
    server = RedisServer()
    server.start(aof=True)
    yield server
    server.remove()


async def away(node: Node) -> None:
    await node.proxy.refuse()
    await until(lambda: not node.engine.reachable)


async def back(node: Node) -> None:
    await node.proxy.start()
    await until(lambda: node.engine.reachable)


async def test_server_that_kept_all_is_another_epoch_of_the_same_store() -> None:
    async with running() as server, node(server) as here:
        before = await here.keep(said(1), said(2, key="again"))
        epoch = here.engine.epoch
        server.kill()
        await until(lambda: not here.engine.reachable)
        server.start(aof=True)
        await until(lambda: here.engine.reachable)
        assert here.engine.epoch != epoch
        assert here.broken == []
        assert await here.keep(said(2, key="again")) == before[1:], "an event has one id"
        after = await here.keep(said(3))
        assert after == [format_id(here.engine.epoch, 3)]
        assert here.engine.is_known_position(epoch, 2) and not here.engine.is_known_position(epoch, 3)
        assert ids(here.told) == before + after
        async with node(server) as there:
            assert ids(await there.replay(after=0)) == before + after


async def test_server_that_lost_the_end_is_noticed_whoever_comes_first() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running())
        saw_all = await stack.enter_async_context(node(server))
        saw_some = await stack.enter_async_context(node(server))
        kept = await saw_all.keep(*map(said, range(5)))
        await until(lambda: len(saw_some.told) == 5)
        old = saw_all.engine.epoch
        await away(saw_some)
        files, copy = Path(server._folder) / "appendonlydir", Path(server._folder) / "copy"
        shutil.copytree(files, copy)
        await saw_all.keep(*map(said, range(5, 8)))  # these the server will lose
        await away(saw_all)
        server.kill()
        shutil.rmtree(files)
        copy.rename(files)
        server.start(aof=True)

        # A node that knows nothing comes first, and gives the lost numbers to others.
        first = await stack.enter_async_context(node(server))
        new = await first.keep(*map(said, "abcdef"))
        assert new[0] == format_id(first.engine.epoch, 6)
        assert [first.engine.is_known_position(old, number) for number in (5, 6, 8)] == [True, False, False]
        assert ids(await first.replay(after=3)) == [*kept[3:], *new]

        await back(saw_some)
        assert saw_some.broken == []
        await until(lambda: len(saw_some.told) == 11)
        assert ids(saw_some.told) == kept + new

        await back(saw_all)
        assert saw_all.broken == [("unknown", f"{old}-8")]
        await first.keep(said("last"))
        await until(lambda: len(saw_all.told) == 9)
        assert seqs(saw_all.told) == [1, 2, 3, 4, 5, 6, 7, 8, 12]
        assert ids(await saw_all.replay(after=5))[:6] == new, "what it heard of the lost is still there"


async def test_store_that_is_another_one_by_now_settles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_S", 60)
    async with running() as server, node(server) as here:
        await here.keep(said(1))
        server.call("FLUSHALL")
        async with node(server):
            with pytest.raises(EngineUnavailable, match="another"):
                await here.engine.wait_caught_up(EVERYTHING)


async def test_node_that_missed_more_than_is_read_for_all_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RECOVER_EVENTS", 5)
    async with running() as server, node(server) as here, node(server) as there:
        for missed, broken in ((5, []), (6, [("behind", f"{here.engine.epoch}-5")])):
            await away(here)
            await there.keep(*map(said, range(missed)))
            await back(here)
            assert here.broken == broken
        await there.keep(said("last"))
        await until(lambda: seqs(here.told) == [1, 2, 3, 4, 5, 12])


async def test_connections_of_others_live_on_when_a_server_counts_them_anew() -> None:
    async with running() as server, node(server) as here:
        await away(here)
        server.kill()
        server.start(aof=True)
        others = [RedisConnection() for _ in range(20)]
        for other in others:
            await other.connect(RedisAddress.parse(server.url), "other")
        await back(here)
        for other in others:
            assert await other.call("PING") == b"PONG"
            other.abort()


async def test_server_that_comes_back_empty_knows_no_id() -> None:
    async with running() as server, node(server) as here:
        await here.keep(said(1))
        epoch = here.engine.epoch
        server.stop()
        server.start(aof=False)
        await until(lambda: here.broken)
        assert here.broken == [("unknown", f"{epoch}-1")]
        await until(lambda: here.engine.reachable)
        assert not here.engine.is_known_position(epoch, 1)
        assert (await here.keep(said(2)))[0].endswith("-2"), "numbers go on"
