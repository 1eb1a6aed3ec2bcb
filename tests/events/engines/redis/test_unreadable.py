"""Events on Redis that no node can read: they are passed over, told to those they were for, and stop nothing."""

import pytest
from structlog.testing import capture_logs

from sse_push.events.event import Event
from sse_push.events.replay import Replay
from tests.conftest import until
from tests.events.engines.places import Life, keys_of, said
from tests.events.engines.redis.place import BullMqClient
from tests.events.replay.reading import Seen, replayed
from tests.redis_server import RedisServer

UNREADABLE = [b"[" * 5000 + b"]" * 5000, b'{"a":', b'"\xff"', b"[1e999", b'"\\ud800"', b'{"a":\r1}']
NAMES = ["nested too deep", "cut off", "no UTF-8", "a list without end", "half a surrogate", "an end of line"]


def unreadable(data: bytes, user: str) -> Event:
    event = said("replaced", [user])
    event.data = data
    return event


async def seen_by(life: Life, user: str, after: int) -> Seen:
    keys = keys_of(user)
    life.engine.subscribe(keys)
    await life.engine.wait_caught_up(keys)
    seen = await replayed(Replay(life.engine, keys, f"{life.engine.epoch}-{after}"))
    life.engine.unsubscribe(keys)
    return seen


@pytest.mark.parametrize("data", UNREADABLE, ids=NAMES)
async def test_event_that_cannot_be_read_is_told_to_those_it_is_for_and_stops_no_node(
    place: BullMqClient, data: bytes
) -> None:
    life = await place.open()
    breaks: list[tuple[object, ...]] = []
    life.engine._standing.listener.discontinued = lambda *said: breaks.append(said)  # type: ignore[attr-defined]
    keys = keys_of("1")
    life.engine.subscribe(keys)
    await life.engine.wait_caught_up(keys)
    with capture_logs() as logs:
        first = await life.keep(said("before", ["1"]))
        receipt = life.append(unreadable(data, "1"))
        [lost] = await receipt
        after = await life.keep(said("after", ["1"]), said("of another", ["2"]))
    assert {log["event"] for log in logs} == {"engine.malformed_message"}
    assert [event.id for event in life.told] == [*first, *after]
    [[reason, stood, keys_told]] = breaks
    assert (reason, stood) == ("unknown", first[0])
    assert {*keys_told} & {*keys}  # type: ignore[misc]
    assert not {*keys_told} & {*keys_of("2")} - {*keys}  # type: ignore[misc]
    other = await place.open()  # as after a restart: nothing is in memory
    for node in (life, other):
        with capture_logs():
            mine, others = await seen_by(node, "1", 0), await seen_by(node, "2", 0)
        assert mine.ids == [*first, after[0]]
        assert [gap["reason"] for gap in mine.gaps] == ["expired"]
        assert mine.gaps[0]["resumed_from"] == after[0]
        assert (others.ids, others.gaps) == ([after[1]], [])
    assert lost not in mine.ids


async def test_events_missed_that_cannot_be_read_are_told_when_a_node_is_back(
    server: RedisServer, place: BullMqClient
) -> None:
    life, other = await place.open(), await place.open()
    breaks: list[tuple[object, ...]] = []
    life.engine._standing.listener.discontinued = lambda *said: breaks.append(said)  # type: ignore[attr-defined]
    keys = keys_of("1")
    life.engine.subscribe(keys)
    await life.engine.wait_caught_up(keys)
    first = await life.keep(said("before", ["1"]))
    with capture_logs():
        server.call("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: not life.engine.reachable)
        await until(lambda: other.engine.reachable)
        receipts = [other.append(event) for event in (said("a", ["1"]), unreadable(UNREADABLE[0], "1"), said("b", ["1"]))]  # fmt: skip
        kept = [id_ for receipt in receipts for id_ in await receipt]
        await until(lambda: life.engine.reachable and len(life.told) == 3)
    assert [event.id for event in life.told] == [*first, kept[0], kept[2]]
    assert [reason for reason, *_ in breaks] == ["unknown"]
