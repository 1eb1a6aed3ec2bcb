"""What happens to ``sse.push``: all or none, encoded, kept or told, and always answered."""

import asyncio
from collections.abc import Sequence
from itertools import permutations
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic_core import to_json
from structlog.testing import capture_logs

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.errors import BadEvent, EngineUnavailable, EventTooLarge
from sse_push.events.event import Event, PushEvent
from sse_push.events.group import EventColumns
from sse_push.events.pipeline import Pipeline
from sse_push.events.plain import Plain, read_plain
from sse_push.events.topics import Topic
from sse_push.events.validation import Validator
from tests.events.fakes import CallbackListener, Clock, MemoryEngine

TOPICS = {
    topic.name: topic
    for topic in (
        Topic("app", whole=True),
        Topic("client"),
        Topic("chat", per_room=True),
        Topic("realtime", narrowed_by=("entityType", "entityId")),
        Topic("status", durable=False, local=True, publishable=False),
        Topic("presence", durable=False),
    )
}
EPOCH = "aaaaaaaa"


class Bench:
    """A pipeline between an emitter and an engine in memory."""

    def __init__(self, max_bytes: int = 1000, max_keys: int = 100) -> None:
        self.emitter = Emitter()
        self.clock = Clock()
        self.engine = MemoryEngine(EPOCH)
        self.told: list[list[Event]] = []
        self.validator = Validator(TOPICS, max_bytes=max_bytes, max_keys=max_keys, clock=self.clock)
        self.pipeline = Pipeline(self.validator, self.engine, CallbackListener(self.told.append))
        self.pipeline.open()
        self.emitter.on(SSE_PUSH, self.pipeline.on_push)

    async def push(self, *pushes: PushEvent | Plain, **more: Any) -> list[str]:
        receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        assert self.emitter.emit(SSE_PUSH, *pushes, receipt=receipt, **more)
        assert receipt.done(), "neither kept nor refused"
        return await receipt


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def push(data: Any = 1, **more: Any) -> PushEvent:
    return PushEvent.model_validate({"data": data, **(more if {"userId", "room", "userIds"} & {*more} else {"broadcast": True, **more})})  # fmt: skip


async def test_push_is_kept_as_it_was_said(bench: Bench) -> None:
    ids = await bench.push(push({"a": 1}, userId=42, topic="client", event="tick", ttl=5))
    assert ids == [f"{EPOCH}-1"]
    (event,) = bench.engine.events
    assert (event.topic, event.name, event.data) == ("client", "tick", b'{"a":1}')
    assert (event.at, event.expires) == (bench.clock.now, bench.clock.now + 5)
    assert event.keys == ("client\x1f@42",)
    assert event.frame() == b'id: aaaaaaaa-1\nevent: tick\ndata: {"a":1}\n\n'


async def test_pushes_of_one_emit_are_one_group_in_order(bench: Bench) -> None:
    ids = await bench.push(*(push(n, userId=str(n)) for n in range(5)))
    assert ids == [f"{EPOCH}-{seq}" for seq in range(1, 6)]
    assert [[event.data for event in group] for group in bench.engine.groups] == [
        [b"0", b"1", b"2", b"3", b"4"]
    ]


def plain(*bodies: str) -> Sequence[Plain]:
    """As a list of events comes over HTTP."""
    return read_plain(f"[{','.join(bodies)}]".encode(), is_list=True) or []


TO_ONE, TO_TWO = '{"userId":1,"data":{"n":1}}', '{"userId":"2","data":[2]}'


async def test_alike_events_of_a_list_go_on_as_one_batch(bench: Bench) -> None:
    bench.engine.append = Mock(wraps=bench.engine.append)  # type: ignore[method-assign]
    assert await bench.push(*plain(TO_ONE, TO_TWO), publisher="svc") == [f"{EPOCH}-1", f"{EPOCH}-2"]
    (batch, _), _ = bench.engine.append.call_args
    assert isinstance(batch, EventColumns)
    assert [(e.topic, e.keys, e.data, e.at) for e in bench.engine.events] == [
        ("app", ("app\x1f@1", "app"), b'{"n":1}', bench.clock.now),
        ("app", ("app\x1f@2", "app"), b"[2]", bench.clock.now),
    ]


@pytest.mark.parametrize(
    "other",
    [
        '{"userId":"3","data":"text"}',
        '{"userId":"3","data":1,"topic":"client"}',
        '{"userId":"3","data":1,"event":"tick"}',
        '{"userId":"3","data":1,"ttl":5}',
        '{"broadcast":true,"data":1}',
    ],
)
async def test_list_of_events_that_differ_is_kept_in_its_order(bench: Bench, other: str) -> None:
    for bodies in permutations([TO_ONE, TO_TWO, other]):
        pushes = plain(*bodies)
        bench.engine.groups.clear()
        assert len(await bench.push(*pushes)) == 3
        assert [[e.data for e in group] for group in bench.engine.groups] == [
            [push.data_json() for push in pushes]
        ]


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ('{"userId":"3","data":1,"topic":"nonsense"}', "unknown topic"),
        ('{"userId":"3","data":1,"topic":"status"}', "can't be published to"),
        ('{"userId":"3","data":[%s]}' % ("1," * 600 + "1"), "over the limit"),
    ],
)
async def test_fault_in_a_list_of_alike_events_is_told_with_its_place(
    bench: Bench, other: str, fault: str
) -> None:
    for bodies in ([TO_ONE, other], [other, TO_ONE], [other, other]):
        with pytest.raises(BadEvent, match=fault) as caught:
            await bench.push(*plain(*bodies), publisher="svc")
        assert caught.value.index == bodies.index(other)
    assert bench.engine.groups == []


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (TO_ONE, True),
        (TO_TWO, True),
        ('{"userId":"3","data":"text"}', False),
        ('{"userId":"3","data":1,"event":"tick"}', False),
        ('{"broadcast":true,"data":1}', False),
        ('{"userId":"3","data":1,"topic":"nonsense"}', False),
        ('{"userId":"3","data":1,"topic":"status"}', False),
        ('{"userId":"3","data":1,"topic":"presence"}', False),
        ('{"userId":"3","data":1,"topic":"realtime"}', False),
        ('{"userId":"3","data":1,"room":"a"}', False),
        ('{"userId":"3","data":[%s]}' % ("1," * 600 + "1"), False),
    ],
)
async def test_push_that_can_be_coalesced_is_valid_beside_others(bench: Bench, body: str, fits: bool) -> None:
    [push] = read_plain(body.encode(), is_list=False) or []
    assert bench.validator.can_coalesce(push) is fits
    if fits:
        assert len(await bench.push(push, *plain(TO_TWO, TO_ONE), publisher="svc")) == 3


async def test_push_of_the_model_cannot_be_coalesced(bench: Bench) -> None:
    assert not bench.validator.can_coalesce(push(1, userId="1"))


async def test_push_without_a_receipt_is_kept_too(bench: Bench) -> None:
    assert bench.emitter.emit(SSE_PUSH, push("x"))
    assert [event.data for event in bench.engine.events] == [b'"x"']


async def test_room_becomes_its_topic(bench: Bench) -> None:
    await bench.push(push(room="general"), push(topic="chat:other"))
    assert [event.topic for event in bench.engine.events] == ["chat:general", "chat:other"]


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, 2, 4])
async def test_one_bad_push_refuses_all_and_says_which(bench: Bench, bad: int) -> None:
    pushes = [push(n) for n in range(5)]
    pushes[bad] = push(topic="nonsense")
    with pytest.raises(BadEvent) as caught:
        await bench.push(*pushes)
    assert caught.value.index == bad
    assert "nonsense" in caught.value.detail
    assert bench.engine.groups == bench.told == []


async def test_data_over_the_limit_is_refused() -> None:
    bench = Bench(max_bytes=10)
    await bench.push(push("x" * 8))
    with pytest.raises(EventTooLarge) as caught:
        await bench.push(push("ok"), push("x" * 9))
    assert (caught.value.index, caught.value.size, caught.value.limit) == (1, 11, 10)
    assert len(bench.engine.events) == 1


@pytest.mark.parametrize("topic", ["", "nonsense", "chat", "chat:", "app:x", "App", "app ", ":app", "system"])
async def test_topic_that_is_not_there_is_refused(bench: Bench, topic: str) -> None:
    with pytest.raises(BadEvent, match="unknown topic"):
        await bench.push(push(topic=topic))


async def test_topic_that_is_not_there_is_told_with_those_that_are(bench: Bench) -> None:
    with pytest.raises(BadEvent, match=r"'ap'; there are .*app, .*chat:ROOM") as caught:
        await bench.push(push(topic="ap"))
    assert "system" not in caught.value.detail, "what can't be published to is no help"


@pytest.mark.parametrize("given", [{"user_id": "42"}, None, "hello"])
async def test_what_is_no_event_is_refused_in_a_word(bench: Bench, given: Any) -> None:
    with pytest.raises(BadEvent, match=f"takes a PushEvent, not a {type(given).__name__}"):
        await bench.push(given)
    assert bench.engine.groups == []


@pytest.mark.parametrize("topic", ["app:", "client:"])
async def test_topic_with_a_colon_and_no_room_is_refused(bench: Bench, topic: str) -> None:
    with pytest.raises(BadEvent):
        await bench.push(push(topic=topic))


@pytest.mark.parametrize(
    "room", ["x\ndata: forged", "x\r\n\r\ndata: forged", "x\x00", "x\x1f*", "\x7f", "x\x1f@1"]
)  # fmt: skip
async def test_room_in_a_topic_must_be_a_name(bench: Bench, room: str) -> None:
    """``topic`` becomes the ``event:`` of many-topic streams: it must not forge a line there."""
    with pytest.raises((BadEvent, ValueError)):
        await bench.push(push(topic=f"chat:{room}"))
    assert bench.engine.events == []


async def test_refusal_without_a_receipt_is_logged_and_hurts_nobody(bench: Bench) -> None:
    with capture_logs() as logs:
        assert bench.emitter.emit(SSE_PUSH, push(topic="nonsense"))
    assert [line["event"] for line in logs] == ["event.refused"]
    assert bench.engine.groups == []
    await bench.push(push())


async def test_refusal_of_a_receipt_that_nobody_waits_for_is_no_error(bench: Bench) -> None:
    receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    receipt.cancel()
    with capture_logs() as logs:
        bench.emitter.emit(SSE_PUSH, push(topic="nonsense"), receipt=receipt)
        bench.emitter.emit(SSE_PUSH, push(topic="status"), receipt=receipt)
    assert logs == []


async def test_engine_that_fails_is_what_the_receipt_says(bench: Bench) -> None:
    bench.engine.error = EngineUnavailable("events can't be kept now")
    with pytest.raises(EngineUnavailable):
        await bench.push(push())
    assert bench.told == []


# -- topics that are not kept ----------------------------------------------------------------------


async def test_topic_that_is_not_kept_goes_by_the_engine_to_every_node(bench: Bench) -> None:
    ids = await bench.push(push(1, topic="presence"), push(2, topic="presence"))
    assert ids == ["", ""]
    assert bench.engine.groups == bench.told == []
    assert [event.data for event in bench.engine.passed] == [b"1", b"2"]


async def test_topic_that_is_local_goes_straight_to_the_streams(bench: Bench) -> None:
    ids = await bench.push(push(1, topic="status"), push(2, topic="status"))
    assert ids == ["", ""]
    assert bench.engine.groups == []
    ((one, two),) = bench.told
    assert (one.id, one.seq, one.frame(), two.frame()) == (None, 0, b"data: 1\n\n", b"data: 2\n\n")


async def test_kept_events_are_left_to_the_engine_to_tell(bench: Bench) -> None:
    await bench.push(push())
    assert bench.told == [], "the engine tells what it has kept, when it is kept"


async def test_pushes_of_both_kinds_are_refused_whole(bench: Bench) -> None:
    """Told at once or told when kept: together they could be neither all nor none."""
    kinds = (push(1, topic="status"), push(2), push(3, topic="presence"))
    for pushes in permutations(kinds, 2):
        with pytest.raises(BadEvent, match="can't go together"):
            await bench.push(*pushes)
    assert bench.engine.groups == bench.engine.passed == bench.told == []


# -- idempotency keys ------------------------------------------------------------------------------


async def test_key_of_one_publisher_is_not_the_key_of_another(bench: Bench) -> None:
    await bench.push(push(key="k"), publisher="a")
    await bench.push(push(key="k"), publisher="b")
    await bench.push(push(key="k"), publisher="a")
    await bench.push(push(key="k"))
    keys = [event.key for event in bench.engine.events]
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3


async def test_publisher_cannot_borrow_the_key_of_another_by_its_name(bench: Bench) -> None:
    """Publisher ``a`` with key ``b…`` is not publisher ``ab`` with key ``…``."""
    await bench.push(push(key="b1"), publisher="a")
    await bench.push(push(key="1"), publisher="ab")
    assert len({event.key for event in bench.engine.events}) == 2


async def test_event_without_a_key_has_none(bench: Bench) -> None:
    await bench.push(push(), publisher="a")
    assert [event.key for event in bench.engine.events] == [None]


@pytest.mark.parametrize(
    ("pushes", "index"),
    [
        # Each has a key for each user, on app one more, and on realtime four for what it is about.
        ([push(n, userIds=[f"u{user}" for user in range(9)]) for n in range(11)], 10),
        ([push(n, topic="client", userIds=[f"u{user}" for user in range(50)]) for n in range(9)], 2),
        ([push({"entityType": "a", "entityId": "b"}, topic="realtime", userIds=["u", "v"])] * 13, 12),
        (read_plain(to_json([{"data": n, "userId": f"u{n}"} for n in range(51)]), is_list=True), 50),
    ],
)
async def test_list_with_too_many_routing_keys_is_refused_whole_where_it_exceeds(
    bench: Bench, pushes: list[PushEvent | Plain], index: int
) -> None:
    """A store keeps a list as a whole and does nothing else meanwhile, whatever the number of events."""
    with pytest.raises(BadEvent, match="100 routing keys") as refused:
        await bench.push(*pushes)

    assert (refused.value.index, refused.value.others) == (index, [])
    assert bench.engine.events == []
    assert len(await bench.push(*pushes[:index])) == index


async def test_one_event_for_as_many_users_as_it_may_name_is_never_too_many_routing_keys(
    bench: Bench,
) -> None:
    await bench.push(push(userIds=[f"u{user}" for user in range(1000)]))
