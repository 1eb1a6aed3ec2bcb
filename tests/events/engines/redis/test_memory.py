"""What the history takes of the server's memory: no more than its bound, and less where others need it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.redis import session
from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.engines.redis.memory import FULL_AT, HISTORY_SHARE, ServerMemory
from sse_push.events.errors import EngineUnavailable, EvictingServer
from sse_push.events.event import Event
from tests.conftest import until
from tests.events.engines.places import EVERYTHING, Life, ids, said
from tests.events.fakes import CallbackListener, Clock
from tests.redis_server import RedisServer

MB = 2**20


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server whose settings a test may change."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TICK_S", 0.02)


class Node(Life):
    """An engine that hears everything; ``broken`` is what its streams were told."""

    engine: RedisEngine
    broken: list[tuple[str, str]]


@asynccontextmanager
async def node(
    server: RedisServer, *, max_bytes: int = 2**30, max_events: int = 10**6
) -> AsyncIterator[Node]:
    clock = Clock()
    engine = RedisEngine(server.url, max_events=max_events, max_age=1e6, max_bytes=max_bytes, clock=clock)
    life = Node(engine, clock)
    life.broken = []
    await engine.start(
        CallbackListener(life.hear, discontinued=lambda reason, stood: life.broken.append((reason, stood)))
    )
    try:
        engine.subscribe(EVERYTHING)
        await engine.wait_caught_up(EVERYTHING)
        yield life
    finally:
        await engine.close()


def big(user: object, size: int) -> Event:
    event = said("x", [str(user)])
    event.data = b'"%b"' % (b"x" * size)
    return event


def facts_of(server: RedisServer, section: str) -> dict[str, str]:
    lines = server.call("INFO", section).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def used(server: RedisServer) -> int:
    return int(facts_of(server, "memory")["used_memory"])


def limit_memory(server: RedisServer, size: int, policy: str = "noeviction") -> None:
    server.call("CONFIG", "SET", "maxmemory", str(size))
    server.call("CONFIG", "SET", "maxmemory-policy", policy)


# -- a bound ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [20, 1000, 30_000])
async def test_history_takes_no_more_than_its_bound(own_server: RedisServer, size: int) -> None:
    async with node(own_server, max_bytes=MB) as life:
        empty = used(own_server)
        users, count = 0, 4 * MB // (size + 200)
        while users < count:
            group = [big(users + number, size) for number in range(min(50, 200_000 // size))]
            users += len(group)
            await life.answer(life.append_all(group))
        assert used(own_server) - empty < 1.25 * MB
        left = await life.replay(after=life.engine.floor)
        assert 0 < life.engine.floor < life.engine.head
        assert ids(left) == ids(life.told[-len(left) :])
        assert len(left) * size > 0.3 * MB * size / (size + 300), "and not much less"


async def test_bound_that_is_lowered_is_kept_to_in_the_end(own_server: RedisServer) -> None:
    async with node(own_server) as life:
        for _ in range(20):
            await life.keep(*[big(number, 5000) for number in range(20)])
    async with node(own_server, max_bytes=MB) as again:
        await until(lambda: again.engine.floor > 150)
        await until(lambda: int(own_server.call("HGET", "{sse-push}:state", "bytes")) <= MB)
        assert [event.seq for event in await again.replay(after=again.engine.floor)] == [
            *range(again.engine.floor + 1, 401)
        ]


async def test_events_that_go_leave_nothing_behind(own_server: RedisServer) -> None:
    async with node(own_server) as life:
        await life.keep(*[said(number, [str(number), str(number + 1)]) for number in range(300)])
        assert own_server.call("DBSIZE") > 300
    async with node(own_server, max_events=1) as again:
        await until(lambda: again.engine.floor == 299)
        await until(lambda: own_server.call("DBSIZE") < 20)
    assert int(own_server.call("HGET", "{sse-push}:state", "bytes")) < 64 * 600


async def test_user_with_one_small_event_costs_less_than_600_bytes(own_server: RedisServer) -> None:
    async with node(own_server) as life:
        await life.keep(said("first", ["first"]))
        before = used(own_server)
        for start in range(0, 5000, 500):
            await life.keep(*[said("x", [f"user-{start + number}"]) for number in range(500)])
        assert (used(own_server) - before) / 5000 < 600
        [_, key] = said("x", ["user-7"]).keys[::-1]
        assert own_server.call("MEMORY", "USAGE", f"{{sse-push}}:index:{key}") < 300


# -- a server with a maxmemory ---------------------------------------------------------------------


async def test_publishing_goes_on_for_as_long_as_anyone_likes(own_server: RedisServer) -> None:
    limit_memory(own_server, used(own_server) + 6 * MB)
    async with node(own_server) as life:
        for turn in range(120):  # 24 MB
            await life.keep(*[big(f"{turn}-{number}", 20_000) for number in range(10)])
        assert life.engine.failing is None
        left = await life.replay(after=life.engine.floor)
        assert 0 < len(left) < 300
        assert life.broken == []


async def test_burst_between_two_looks_is_kept(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have filled the server since: the script that is refused makes room by itself."""
    monkeypatch.setattr(session, "TICK_S", 60)
    async with node(own_server) as life:
        for turn in range(15):
            await life.keep(*[big(f"{turn}-{number}", 20_000) for number in range(10)])
        limit_memory(own_server, used(own_server) + 4 * MB)
        life.engine._session._has_evicted(facts_of(own_server, "memory"))
        assert life.engine._store.memory.gives_way
        limit_memory(own_server, used(own_server) - 100_000)
        for turn in range(5):
            await life.keep(*[big(f"more-{turn}-{number}", 20_000) for number in range(10)])
        assert 0 < life.engine.floor < life.engine.head


async def test_history_gives_way_to_others_before_anybody_is_refused(own_server: RedisServer) -> None:
    limit = used(own_server) + 8 * MB
    limit_memory(own_server, limit)
    async with node(own_server) as life:
        for turn in range(15):  # 3 MB
            await life.keep(*[big(f"{turn}-{number}", 20_000) for number in range(10)])
        floor = life.engine.floor
        for number in range(48):  # 6 MB
            own_server.call("SET", f"others:{number}", b"x" * 125_000)
            await until(lambda: used(own_server) < 0.95 * limit)
        assert life.engine.floor > floor
        await life.keep(big("after", 20_000))


@pytest.mark.parametrize("limit", [1, 3 * MB])
async def test_history_stays_where_its_going_would_not_help(own_server: RedisServer, limit: int) -> None:
    limit_memory(own_server, 100 * MB)
    async with node(own_server) as life:
        await life.keep(said("kept"))
        own_server.call("SET", "others", b"x" * 4 * MB)
        memory = life.engine._store.memory
        await until(lambda: memory.gives_way)
        limit_memory(own_server, limit)
        await until(lambda: not memory.gives_way)
        await life.engine._session.hear_all()
        with capture_logs(), pytest.raises(EngineUnavailable):
            await life.keep(said("refused"))
        assert life.engine.floor == 0
        own_server.call("DEL", "others")
        limit_memory(own_server, 100 * MB)
        await until(lambda: memory.gives_way)
        await life.keep(said("again"))
        assert len(await life.replay()) == 2


# -- a server that evicts --------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_server_that_may_evict_is_refused_at_the_start(own_server: RedisServer, policy: str) -> None:
    limit_memory(own_server, 100 * MB, policy)
    engine = RedisEngine(own_server.url, max_events=10, max_age=60)
    with pytest.raises(EvictingServer, match="CONFIG SET maxmemory-policy noeviction"):
        await engine.start(EngineListener())
    await engine.close()


async def test_server_without_a_limit_evicts_nothing_whatever_its_policy(own_server: RedisServer) -> None:
    limit_memory(own_server, 0, "allkeys-lru")
    async with node(own_server) as life:
        await life.keep(said("x"))


async def test_policy_that_is_changed_while_the_node_runs_is_told(own_server: RedisServer) -> None:
    async with node(own_server) as life:
        with capture_logs() as logs:
            limit_memory(own_server, 100 * MB, "volatile-lru")
            await until(lambda: [log for log in logs if log["event"] == "engine.eviction_allowed"])
        await life.keep(said("goes on"))
        assert life.broken == []


async def test_evictions_begin_a_new_epoch_and_the_node_goes_on(own_server: RedisServer) -> None:
    async with node(own_server) as life:
        for number in range(100):
            await life.keep(big(number, 5000))
        epoch, head = life.engine.epoch, life.engine.head
        with capture_logs() as logs:
            limit_memory(own_server, used(own_server) - 100_000, "allkeys-random")
            await until(lambda: life.engine.epoch != epoch and life.engine.reachable)
            limit_memory(own_server, 0)
        assert {log["event"] for log in logs} >= {"engine.keys_evicted", "engine.eviction_allowed"}
        assert life.broken[0] == ("unknown", f"{epoch}-{head}")
        assert not life.engine.is_known_position(epoch, 50)
        while not life.told or life.told[-1].data != said("after").data:
            with capture_logs(), suppress(EngineUnavailable):  # the last of them may just be noticed
                await until(lambda: life.engine.reachable)
                await life.keep(said("after"))


async def test_evictions_while_no_node_was_there_are_noticed(own_server: RedisServer) -> None:
    async with node(own_server) as life:
        for number in range(50):
            await life.keep(big(number, 5000))
        epoch = life.engine.epoch
        assert life.engine.is_known_position(epoch, 50)
    own_server.call("SET", "others", b"x" * 100_000)
    own_server.call("EXPIRE", "others", "1000")
    limit_memory(own_server, used(own_server) - 50_000, "volatile-lru")
    assert int(facts_of(own_server, "stats")["evicted_keys"]) > 0  # it evicts before it answers
    limit_memory(own_server, 0)
    async with node(own_server) as again:
        assert again.engine.epoch != epoch
        assert not again.engine.is_known_position(epoch, 50)
        assert again.engine.floor == again.engine.head
    async with node(own_server) as third:
        assert third.engine.epoch == again.engine.epoch, "they are noticed once"


# -- what a server says of itself ------------------------------------------------------------------

FULL = {
    "maxmemory": "1000000",
    "used_memory": "500000",
    "maxmemory_policy": "noeviction",
    "evicted_keys": "3",
}


def test_bound_is_a_share_of_the_server_s_memory() -> None:
    memory = ServerMemory(2**30)
    memory.update({**FULL, "used_memory": "100000"}, 0)
    assert (memory.bound, memory.gives_way) == (HISTORY_SHARE * 1_000_000, True)


def test_bound_leaves_others_the_room_they_take() -> None:
    memory = ServerMemory(2**30)
    memory.update({**FULL, "used_memory": "800000", "mem_not_counted_for_evict": "50000"}, 300_000)
    assert memory.bound == FULL_AT * 1_000_000 - (750_000 - 300_000)


@pytest.mark.parametrize("others", [900_000, 5_000_000])
def test_history_is_not_bounded_further_where_others_fill_the_server(others: int) -> None:
    memory = ServerMemory(2**30)
    memory.update({**FULL, "used_memory": str(others + 1000)}, 1000)
    assert (memory.bound, memory.gives_way) == (2**30, False)


@pytest.mark.parametrize(
    "facts",
    [{}, {"maxmemory": "0", "used_memory": "9"}, {"maxmemory": "100"}, {"maxmemory": "", "used_memory": "x"}],
)
def test_bound_is_the_setting_where_the_server_says_nothing(facts: dict[str, str]) -> None:
    memory = ServerMemory(12345)
    assert memory.update(facts, 99) == 0
    assert (memory.bound, memory.gives_way, memory.evicting, memory.evicted) == (12345, False, "", None)


def test_evictions_are_counted_from_one_look_to_the_next() -> None:
    memory = ServerMemory(1)
    counts = [{**FULL, "evicted_keys": str(count)} for count in (3, 3, 5, 0, 2)]
    assert [memory.update(facts, 0) for facts in [*counts, {}, FULL]] == [0, 0, 2, 0, 2, 0, 0]
    memory.forget_evicted()
    assert memory.update({**FULL, "evicted_keys": "9"}, 0) == 0
