"""Publishing by emitting: ids once safe, errors to whoever asked, all or none."""

import asyncio
import sqlite3
from functools import partial

import pytest

from sse_push.events.emitter import SSE_PUSH, SSE_STORED
from sse_push.events.errors import BadEvent, EngineUnavailable, EventTooLarge
from sse_push.events.event import PushEvent
from sse_push.events.json_text import MAX_DEPTH
from sse_push.events.pipeline import COALESCED_EVENTS
from sse_push.service.streams.client import CustomEvent
from tests.conftest import Service, Start, mint, until


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


def _push(**event: object) -> PushEvent:
    return PushEvent.model_validate({"data": 1, "user_id": "42", **event})


async def test_publish_gives_the_ids_in_order(service: Service) -> None:
    ids = await service.node.pipeline.publish(_push(), _push(), _push())

    assert ids == [f"{service.node.engine.epoch}-{number}" for number in (1, 2, 3)]


async def test_publish_reaches_the_streams_before_it_returns(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    [id_] = await service.node.pipeline.publish(_push(data="x"))

    assert service.node.metrics.deliveries == 1
    assert (await stream.event()).id == id_


async def test_one_bad_event_publishes_none(service: Service) -> None:
    with pytest.raises(BadEvent) as caught:
        await service.node.pipeline.publish(_push(), _push(topic="nothing"), _push())

    assert caught.value.index == 1
    assert service.node.engine.head == 0


@pytest.mark.parametrize("data", [float("nan"), {"a": [float("inf")]}, object(), "\ud800", {"a": lambda: 1}])
async def test_data_that_is_no_json_is_refused(service: Service, data: object) -> None:
    with pytest.raises(BadEvent):
        await service.node.pipeline.publish(_push(data=data))


def _nested(depth: int) -> list[object]:
    nested: list[object] = []
    for _ in range(depth - 1):
        nested = [nested]
    return nested


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 300, 2000])
async def test_data_that_is_nested_too_deep_is_refused(service: Service, depth: int) -> None:
    assert len(await service.node.pipeline.publish(_push(data=_nested(MAX_DEPTH)))) == 1
    with pytest.raises(BadEvent):
        await service.node.pipeline.publish(_push(data=_nested(depth)))
    with pytest.raises(BadEvent):
        await service.node.clients.broadcast(CustomEvent(action="a", payload=_nested(depth), timestamp="now"))


async def test_data_that_is_too_large_is_refused(service: Service) -> None:
    with pytest.raises(EventTooLarge) as caught:
        await service.node.pipeline.publish(_push(), _push(data="x" * 70_000))

    assert (caught.value.index, caught.value.limit) == (1, 65536)


async def test_closed_topics_are_closed_to_publishers_from_outside_only(service: Service) -> None:
    custom = PushEvent(topic="custom", broadcast=True, data=1)

    with pytest.raises(BadEvent):
        await service.node.pipeline.publish(custom, publisher="a service")
    assert await service.node.pipeline.publish(custom) == [""]


async def test_keys_are_each_publishers_own(service: Service) -> None:
    publish = service.node.pipeline.publish

    mine, again, theirs, ours = [
        await publish(_push(key="k"), publisher=publisher) for publisher in ("me", "me", "you", None)
    ]

    assert mine == again
    assert len({mine[0], theirs[0], ours[0]}) == 3


async def test_business_logic_may_emit_without_waiting(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    service.node.emitter.emit(SSE_PUSH, _push(data="emitted"))

    assert (await stream.event()).data == "emitted"


async def test_event_that_was_emitted_and_cannot_be_pushed_is_logged(
    service: Service, logged: list[dict[str, object]]
) -> None:
    service.node.emitter.emit(SSE_PUSH, _push(topic="nothing"))

    [line] = [line for line in logged if line["event"] == "event.refused"]
    assert "nothing" in str(line["detail"])


async def test_receipt_that_nobody_waits_for_any_more_does_no_harm(service: Service) -> None:
    service.node.pipeline.submit([_push()]).cancel()

    assert len(await service.node.pipeline.publish(_push())) == 1


async def test_events_of_one_loop_iteration_are_stored_as_one_group(service: Service) -> None:
    pipeline, epoch = service.node.pipeline, service.node.engine.epoch
    stored: list[list[bytes]] = []
    service.node.emitter.on(SSE_STORED, lambda events: stored.append([event.data for event in events]))
    ids: dict[str, object] = {}

    for name in "abc":
        pipeline.coalesce(_push(data=name), partial(ids.__setitem__, name))

    await until(lambda: len(ids) == 3)
    assert stored == [[b'"a"', b'"b"', b'"c"']]
    assert ids == {name: f"{epoch}-{number}" for number, name in enumerate("abc", 1)}


async def test_all_of_a_coalesced_group_get_the_error(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(service.node.engine._store, "append", full)  # type: ignore[attr-defined]
    for _ in range(2):
        service.node.pipeline.coalesce(_push(), told.append)

    await until(lambda: len(told) == 2)
    assert [*map(type, told)] == [EngineUnavailable] * 2
    monkeypatch.undo()
    service.node.pipeline.coalesce(_push(), told.append)
    await until(lambda: len(told) == 3)
    assert told[-1] == f"{service.node.engine.epoch}-1"


async def test_callback_that_raises_does_not_keep_the_others_from_their_answers(service: Service) -> None:
    told: list[object] = []

    def fail(_: object) -> None:
        raise RuntimeError("it was too much")

    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    for tell in (told.append, fail, told.append):
        service.node.pipeline.coalesce(_push(), tell)

    await until(lambda: len(told) == 2)
    assert [type(context["exception"]) for context in failures] == [RuntimeError]


async def test_many_events_of_one_iteration_are_split_into_groups_of_bounded_size(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    append = service.node.engine.append
    monkeypatch.setattr(
        service.node.engine,
        "append",
        lambda events, receipt: (sizes.append(len(events)), append(events, receipt)),
    )
    told: list[object] = []

    for _ in range(COALESCED_EVENTS + 1):
        service.node.pipeline.coalesce(_push(), told.append)

    await until(lambda: len(told) == COALESCED_EVENTS + 1)
    assert sizes == [COALESCED_EVENTS, 1]
    assert told == [f"{service.node.engine.epoch}-{number}" for number in range(1, COALESCED_EVENTS + 2)]
