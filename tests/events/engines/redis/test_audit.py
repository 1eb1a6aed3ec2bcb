"""A message that gets lost without its connection: a proxy takes one out, and the node must notice and say so."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.redis import session
from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.group import EventList
from tests.conftest import until
from tests.events.engines.places import keys_of, said
from tests.events.fakes import CallbackListener
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy


def end_of(data: bytes, at: int = 0) -> int:
    """Where the reply that begins at *at* ends (the RESP2 protocol); -1 if it is not all there."""
    line_end = data.find(b"\r\n", at) + 2
    if line_end < 2:
        return -1
    kind, number = data[at : at + 1], data[at + 1 : line_end - 2]
    if kind == b"$" and int(number) >= 0:
        end = line_end + int(number) + 2
        return end if end <= len(data) else -1
    if kind == b"*":
        for _ in range(int(number)):
            line_end = end_of(data, line_end)
            if line_end < 0:
                return -1
    return line_end


class Thief:
    """Takes messages that hold a word out of what passes by.

    Attributes:
        taken: How many.
        word: The word; ``None`` takes none.
    """

    def __init__(self) -> None:
        self.word: bytes | None = None
        self.taken = 0

    def sieve(self) -> Callable[[bytes], bytes]:
        waiting = b""

        def pass_on(data: bytes) -> bytes:
            nonlocal waiting
            waiting += data
            passed = b""
            while waiting and (end := end_of(waiting)) > 0:
                reply, waiting = waiting[:end], waiting[end:]
                if self.word is not None and b"message\r\n" in reply and self.word in reply:
                    self.taken += 1
                else:
                    passed += reply
            return passed

        return pass_on


class Listener:
    """An engine that listens to the keys of some users, through a proxy with a thief."""

    def __init__(self, engine: RedisEngine, thief: Thief) -> None:
        self.engine = engine
        self.thief = thief
        self.heard: list[bytes] = []
        self.broken: list[tuple[str, str]] = []


@asynccontextmanager
async def listening(server: RedisServer, *users: str) -> AsyncIterator[Listener]:
    thief, proxy = Thief(), TcpProxy(server.port)
    proxy.sieve = thief.sieve
    await proxy.start()
    engine = RedisEngine(f"redis://127.0.0.1:{proxy.port}", max_events=1000, max_age=1e6)
    listener = Listener(engine, thief)
    await engine.start(
        CallbackListener(
            lambda events: listener.heard.extend(event.data for event in events),
            discontinued=lambda reason, stood: listener.broken.append((reason, stood)),
        )
    )
    for user in users:
        engine.subscribe(keys_of(user))
        await engine.wait_caught_up(keys_of(user))
    try:
        yield listener
    finally:
        await engine.close()
        await proxy.refuse()


@asynccontextmanager
async def publishing(server: RedisServer) -> AsyncIterator[Callable[..., object]]:
    engine = RedisEngine(server.url, max_events=1000, max_age=1e6)
    await engine.start(EngineListener())
    yield lambda *users: [engine.append(EventList([said(word, [user])])) for user, word in users]
    await engine.close()


@pytest.mark.parametrize(
    "followed_by", [None, "ann", "bob"], ids=["nothing", "one for the same", "one for another"]
)
async def test_lost_message_is_noticed_whatever_follows(server: RedisServer, followed_by: str | None) -> None:
    server.call("FLUSHALL")
    async with listening(server, "ann", "bob") as listener, publishing(server) as publish:
        publish(("ann", "first"))
        await until(lambda: len(listener.heard) == 1)
        listener.thief.word = b"stolen"
        publish(("ann", "stolen"))
        if followed_by:
            publish((followed_by, "later"))
        with capture_logs() as logs:
            await until(lambda: [log for log in logs if log["event"] == "engine.recovered"])
        assert listener.thief.taken == 1
        epoch = listener.engine.epoch
        assert listener.broken == [("unknown", f"{epoch}-1")]
        [missed] = [log for log in logs if log["event"] == "engine.events_missed"]
        assert (missed["events"], missed["first"]) == (1, 2)
        # What comes back to this node is read from the store, with what was stolen; and all goes on.
        listener.thief.word = None
        assert not listener.engine.cache_covers(keys_of("ann"), 1)
        events, _ = await listener.engine.read(keys_of("ann"), 1, 2**20)
        assert events[0].data == said("stolen").data
        publish(("ann", "last"))
        await until(lambda: listener.heard[-1] == said("last").data)


async def test_lost_message_is_noticed_where_another_store_begins_to_count_anew(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_S", 0.05)
    server.call("FLUSHALL")
    async with listening(server, "ann") as listener:
        async with publishing(server) as publish:
            publish(*(("ann", number) for number in range(20)))
            await until(lambda: len(listener.heard) == 20)
            assert await listener.engine._session._audit.missing() == []
        epoch = listener.engine.epoch
        server.call("FLUSHALL")
        async with publishing(server) as publish:
            await until(lambda: listener.engine.epoch != epoch and listener.engine.reachable)
            listener.thief.word = b"stolen"
            publish(("ann", "stolen"))
            with capture_logs() as logs:
                await until(lambda: [log for log in logs if log["event"] == "engine.events_missed"])


async def test_nothing_is_missed_where_nothing_is_lost(server: RedisServer) -> None:
    server.call("FLUSHALL")
    users = [f"u{number}" for number in range(100)]
    async with listening(server, *users[:50]) as listener, publishing(server) as publish:
        publish(*((user, number) for number in range(5) for user in users))
        await until(lambda: len(listener.heard) == 5 * 50)
        for _ in range(10):
            publish(*((user, "x") for user in users[:20]))
            assert await listener.engine._session._audit.missing() == []
        listener.engine.unsubscribe(keys_of(users[0]))
        for _ in range(4):
            publish((users[0], "not heard"))
            assert await listener.engine._session._audit.missing() == []
        assert listener.broken == []
