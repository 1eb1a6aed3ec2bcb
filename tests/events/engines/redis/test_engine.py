"""The Redis engine: the contract suite, and what several nodes and a server that comes and goes add to it."""

import time
from collections.abc import Callable, Iterable, Sequence

import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.base import EngineListener
from sse_push.events.engines.redis import outbox, recovery, session, standing
from sse_push.events.engines.redis.audit import Audit
from sse_push.events.engines.redis.connection import RedisConnection
from sse_push.events.engines.redis.engine import RedisEngine
from sse_push.events.engines.redis.feed import Feed
from sse_push.events.engines.redis.recovery import Recovery
from sse_push.events.engines.redis.store import Answer
from sse_push.events.errors import EngineUnavailable, Overloaded
from sse_push.events.event import Event
from sse_push.events.group import KEY_BYTES, EventList, weight_of
from tests.events.engines.contract import EngineContract
from tests.events.engines.places import Place, said, said_of
from tests.events.engines.redis.place import BullMqClient
from tests.events.fakes import turns, until
from tests.redis_server import RedisServer


class TestContract(EngineContract):
    @pytest.fixture
    def new_place(self, server: RedisServer) -> Callable[[], Place]:
        return lambda: BullMqClient(server)


# -- a server that is not as it should be ----------------------------------------------------------


async def test_start_tells_what_the_server_refuses(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "START_S", 0)
    server.call("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "resetchannels", "+@all")
    refused = RedisEngine(f"redis://deaf:secret@127.0.0.1:{server.port}", max_events=10, max_age=60)
    refused.subscribe(("app",))

    with pytest.raises(EngineUnavailable, match="NOPERM"):
        await refused.start(EngineListener())

    await refused.close()


async def test_messages_connection_that_breaks_while_it_subscribes_is_tried_anew(
    place: BullMqClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await place.open()
    connected = Feed.connected
    breaks = 2

    def break_off(feed: Feed, link: RedisConnection) -> None:
        nonlocal breaks
        if breaks:
            breaks -= 1
            link.abort()
        connected(feed, link)

    monkeypatch.setattr(Feed, "connected", break_off)
    server.call("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: not breaks)
    await until(
        lambda: life.engine.reachable
    )  # at once, not after CATCH_UP_S, which is longer than this waits
    await life.keep(said("after"))


async def test_connection_that_the_server_did_not_see_end_is_ended_by_the_next(
    place: BullMqClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = (await place.open()).engine._session
    lost = session._messages
    monkeypatch.setattr(lost, "abort", lambda: None)
    session.begin_again()
    await until(lambda: not lost.open)


async def test_clock_far_ahead_ages_nothing(place: BullMqClient) -> None:
    place.clock.now = time.time()
    life = await place.open(max_age=3600)
    await life.keep(said("before"))
    place.clock.now += 25 * 3600
    await life.keep(said("by a wrong clock"))
    assert (life.engine.floor, said_of(await life.replay())) == (
        0,
        said_of([said("before"), said("by a wrong clock")]),
    )


async def test_floor_that_overtakes_a_node_that_catches_up_is_told(
    place: BullMqClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "RECOVER_PAGE", 10)
    life, other = await place.open(max_events=100), await place.open(max_events=100)
    broken: list[str] = []
    monkeypatch.setattr(
        life.engine._standing.listener, "discontinued", lambda reason, stood: broken.append(reason)
    )
    monkeypatch.setattr(session, "BACKOFF_S", (0.3, 0.3))
    await life.keep(said("heard"))
    read = Recovery._read_missed

    async def read_slowly(its: Recovery, head: int) -> None:
        await read(its, head)
        if its is life.engine._session._recovery and not broken:
            await other.keep(*map(said, range(150)))

    monkeypatch.setattr(Recovery, "_read_missed", read_slowly)
    server.call("CLIENT", "KILL", "ID", str(life.engine._session._messages.id))
    await other.keep(*map(said, range(50)))
    await until(lambda: broken)
    assert broken[0] == "behind"


async def test_fault_while_marking_is_told_and_the_node_connects_anew(
    place: BullMqClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TICK_S", 0.01)
    life = await place.open()
    await life.keep(said("before"))
    missing, faults = Audit.missing, 1

    async def stumble(audit: Audit) -> list[int]:
        nonlocal faults
        if faults:
            faults -= 1
            raise ZeroDivisionError("a fault")
        return await missing(audit)

    monkeypatch.setattr(Audit, "missing", stumble)
    with capture_logs() as logs:
        await until(lambda: [log for log in logs if log["event"] == "engine.recovered"])
    [fault] = [log for log in logs if log.get("error") == "a fault"]
    assert fault["event"] == "engine.connect_failed"
    assert isinstance(fault["exc_info"], ZeroDivisionError), "or nobody finds it"
    await life.keep(said("after"))
    assert said_of(life.told) == said_of([said("before"), said("after")])


async def test_node_that_would_hold_too_much_while_it_catches_up_begins_again_and_loses_nothing(
    place: BullMqClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "MAX_HELD_BYTES", 2000)
    life, other = await place.open(), await place.open()
    catch_up, times = Recovery.catch_up, 0

    async def catch_up_amid_a_burst(recovery: Recovery) -> None:
        nonlocal times
        times += 1
        if times == 1:  # all that is published now is held, until it is too much
            await other.keep(*map(said, range(100)))
            await until(lambda: not life.engine._session._messages.open)
        await catch_up(recovery)

    monkeypatch.setattr(Recovery, "catch_up", catch_up_amid_a_burst)
    server.call("CLIENT", "KILL", "ID", str(life.engine._session._messages.id))
    await until(lambda: times > 1)
    await until(lambda: len(life.told) == 100)
    assert said_of(life.told) == said_of([*map(said, range(100))])
    await until(lambda: life.engine._standing._held is None)


async def test_events_for_many_users_go_in_scripts_that_are_each_short(
    place: BullMqClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once: between two scripts Redis does what others ask."""
    life = await place.open()
    publish = life.engine._store.publish
    keys: list[int] = []

    def counting(epoch: str, head: int, groups: Iterable[Sequence[Event]]) -> Answer:
        lists = [*groups]
        keys.append(sum(len(event.keys) for events in lists for event in events))
        return publish(epoch, head, lists)

    monkeypatch.setattr(life.engine._store, "publish", counting)
    users = [f"u{user}" for user in range(500)]
    receipts = [life.append(said(number, users)) for number in range(20)]
    ids = [await receipt for receipt in receipts]
    await until(lambda: len(life.told) == 20)

    assert sum(keys) == 20 * 501
    assert max(keys) <= outbox.GROUP_BYTES / KEY_BYTES
    assert ids == [[event.id] for event in life.told]
    assert (life.engine._outbox._events, life.engine._outbox._bytes) == (0, 0)


async def test_no_more_is_sent_than_redis_answers_soon(place: BullMqClient, server: RedisServer) -> None:
    """Or what else the node asks would be answered too late, and Redis be taken for dead."""
    life = await place.open()
    waiting = life.engine._outbox
    users = [f"u{user}" for user in range(500)]
    server.pause()
    try:
        receipts = [life.append(said(number, users)) for number in range(60)]
        await turns(10)
        sent = waiting._sent_bytes
    finally:
        server.resume()
    for receipt in receipts:
        await receipt
    await until(lambda: len(life.told) == 60)

    assert outbox.SENT_BYTES <= sent <= outbox.SENT_BYTES + outbox.GROUP_BYTES
    assert said_of(life.told) == said_of([said(number, users) for number in range(60)])
    assert (waiting._sent_bytes, waiting._events, waiting._bytes) == (0, 0, 0)


@pytest.mark.parametrize("limit", ["MAX_WAITING_EVENTS", "MAX_WAITING_BYTES"])
async def test_publishers_beyond_what_may_wait_are_refused_and_the_rest_is_kept(
    place: BullMqClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    life = await place.open()
    lost: list[int] = []
    monkeypatch.setattr(life.engine._outbox.listener, "failed", lost.append)
    size = weight_of(EventList([said(0)]))
    monkeypatch.setattr(outbox, limit, 10 if limit == "MAX_WAITING_EVENTS" else 10 * size)
    server.pause()
    try:
        receipts = [life.append(said(number % 10)) for number in range(15)]
        for refused in receipts[10:]:
            with pytest.raises(Overloaded):
                await refused
    finally:
        server.resume()
    kept = [await receipt for receipt in receipts[:10]]
    await life.keep(said("after"))
    assert (len(kept), lost) == (10, [1] * 5)
    assert said_of(life.told) == said_of([*map(said, range(10)), said("after")])
    assert (life.engine._outbox._events, life.engine._outbox._bytes) == (0, 0)


async def test_server_whose_clock_ran_ahead_keeps_keys_and_events_no_longer_than_due(
    place: BullMqClient, server: RedisServer
) -> None:
    place.clock.now = time.time()
    life = await place.open(max_age=1000, key_age=100)
    (first,) = await life.keep(said("a", key="k"))
    prefix, ahead = f"{{{place._prefix}}}:", round(place.clock.now * 1000) + 86_400_000
    # As a server whose clock was a day ahead leaves it.
    server.call("HSET", f"{prefix}state", "latest", str(ahead))
    server.call("SET", f"{prefix}once:k", f"{ahead + 100_000}:1")
    server.call("DEL", f"{prefix}ages")
    server.call("RPUSH", f"{prefix}ages", f"{ahead}:1")

    assert await life.keep(said("retried", key="k")) == [first]
    await life.keep(said("later"))
    set_back_at = round(place.clock.now * 1000)
    server.call("HSET", f"{prefix}state", "set_back_at", str(set_back_at - 101_000))
    assert await life.keep(said("new", key="k")) != [first]
    assert life.engine.floor == 0
    server.call("HSET", f"{prefix}state", "set_back_at", str(set_back_at - 1_001_000))
    await life.keep(said("last"))
    assert life.engine.floor == 1
