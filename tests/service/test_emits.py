"""``emitter.emit("sse.push", ...)`` at odd times and with odd things: answered, and no later publish waits for it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sse_push.events.emitter import SSE_PUSH, SSE_STORED
from sse_push.events.errors import BadEvent, EngineUnavailable
from sse_push.events.event import PushEvent
from sse_push.service.node import Node
from tests.conftest import Service, SettingsFactory, Start
from tests.events.fakes import until

EVENT = PushEvent(data=1, broadcast=True)


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


def _receipt() -> asyncio.Future[list[str]]:
    return asyncio.get_running_loop().create_future()


async def test_emit_before_the_start_is_kept_at_the_start(settings_for: SettingsFactory) -> None:
    node, receipt = Node(settings_for()), _receipt()
    node.emitter.emit(SSE_PUSH, PushEvent(data="first", broadcast=True))
    node.emitter.emit(SSE_PUSH, EVENT, receipt=receipt)
    starting = asyncio.create_task(node.start())
    await asyncio.sleep(0)
    while_starting = node.pipeline.submit([EVENT])
    await starting

    assert await node.pipeline.publish(EVENT) == [f"{node.engine.epoch}-4"]
    assert receipt.result() == [f"{node.engine.epoch}-2"]
    assert while_starting.result() == [f"{node.engine.epoch}-3"]
    await node.close()


async def test_emit_before_the_start_that_is_bad_is_refused_at_once(settings_for: SettingsFactory) -> None:
    node, receipt = Node(settings_for()), _receipt()
    node.emitter.emit(SSE_PUSH, PushEvent(data=1), receipt=receipt)
    with pytest.raises(BadEvent):
        await receipt
    await node.start()

    assert await node.pipeline.publish(EVENT) == [f"{node.engine.epoch}-1"]
    await node.close()


async def test_emit_to_a_node_whose_start_fails_is_refused(
    settings_for: SettingsFactory, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    node, receipt = Node(settings_for(data_dir=tmp_path / "a file")), _receipt()
    node.emitter.emit(SSE_PUSH, EVENT, receipt=receipt)
    with pytest.raises(EngineUnavailable):
        await node.start()

    with pytest.raises(EngineUnavailable):
        await receipt


async def test_emit_after_the_close_is_refused(settings_for: SettingsFactory) -> None:
    node, receipt = Node(settings_for()), _receipt()
    await node.start()
    await node.close()
    node.emitter.emit(SSE_PUSH, EVENT, receipt=receipt)

    with pytest.raises(EngineUnavailable):
        await receipt
    with pytest.raises(EngineUnavailable):
        await node.pipeline.publish(EVENT)


@pytest.mark.parametrize(
    "emit",
    [
        lambda emitter: emitter.emit(SSE_PUSH, {"data": 1, "broadcast": True}),
        lambda emitter: emitter.emit(SSE_PUSH, EVENT, None),
        lambda emitter: emitter.emit(SSE_PUSH),
        lambda emitter: emitter.emit(SSE_PUSH, EVENT, receipt="no future"),
        lambda emitter: emitter.emit(SSE_PUSH, EVENT, reciept=None),
        lambda emitter: emitter.emit(SSE_PUSH, PushEvent.model_construct(data=1, ttl="x", broadcast=True)),
        lambda emitter: emitter.emit(SSE_PUSH, [EVENT]),
    ],
)
async def test_publish_goes_on_after_garbage_was_emitted(
    service: Service, emit: Callable[[Any], Any]
) -> None:
    emit(service.node.emitter)

    assert await service.node.pipeline.publish(EVENT) == [f"{service.node.engine.epoch}-1"]


@pytest.mark.parametrize("raised", [ValueError(), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("name", [SSE_PUSH, SSE_STORED])
async def test_publish_goes_on_beside_a_listener_that_raises(
    service: Service, name: str, raised: BaseException
) -> None:
    def listener(*_: Any, **__: Any) -> None:
        raise raised

    service.node.emitter.on(name, listener)

    for number in (1, 2):
        assert await service.node.pipeline.publish(EVENT) == [f"{service.node.engine.epoch}-{number}"]


async def test_emit_in_a_listener_of_what_was_kept_is_kept(service: Service) -> None:
    node = service.node
    node.emitter.on(SSE_STORED, lambda events: node.engine.head < 3 and node.emitter.emit(SSE_PUSH, EVENT))

    await node.pipeline.publish(EVENT)
    await until(lambda: node.engine.head == 3)

    assert await node.pipeline.publish(EVENT) == [f"{node.engine.epoch}-4"]


async def test_emit_in_another_thread_is_kept(service: Service) -> None:
    node, receipt = service.node, _receipt()

    await asyncio.to_thread(node.emitter.emit, SSE_PUSH, EVENT, receipt=receipt)

    assert await receipt == [f"{node.engine.epoch}-1"]


async def test_emit_of_another_threads_loop_is_answered_there(service: Service) -> None:
    node = service.node
    outcomes: list[Any] = []

    async def publish() -> None:
        outcomes.append(await node.pipeline.publish(EVENT))
        outcomes.extend(
            await asyncio.gather(node.pipeline.publish(PushEvent(data=1)), return_exceptions=True)
        )

    thread = threading.Thread(target=asyncio.run, args=[publish()])
    thread.start()
    await asyncio.to_thread(thread.join, 10)

    assert outcomes[0] == [f"{node.engine.epoch}-1"]
    assert isinstance(outcomes[1], BadEvent)


async def test_emit_during_the_drain_is_kept(service: Service) -> None:
    await service.node.drain()

    assert await service.node.pipeline.publish(EVENT) == [f"{service.node.engine.epoch}-1"]
