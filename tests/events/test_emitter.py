"""The emitter goes on, whatever its listeners do."""

import asyncio
import logging

import pytest
from structlog.testing import capture_logs

from sse_push.events.emitter import Emitter
from tests.events.fakes import turns, until


def raising(*_: object) -> None:
    raise RuntimeError("sync")


async def raising_later(*_: object) -> None:
    await asyncio.sleep(0)
    raise RuntimeError("async")


async def test_emit_calls_listeners_in_order_with_what_was_emitted() -> None:
    emitter = Emitter()
    heard: list[object] = []
    emitter.on("tick", lambda *args, **more: heard.append(("first", args, more)))
    emitter.on("tick", lambda *args, **more: heard.append(("second", args, more)))
    assert emitter.emit("tick", 1, 2, receipt=None) is True
    assert heard == [("first", (1, 2), {"receipt": None}), ("second", (1, 2), {"receipt": None})]


async def test_emit_to_nobody_is_false_and_harmless() -> None:
    emitter = Emitter()
    emitter.on("tick", raising)
    assert emitter.emit("tock", 1) is False


async def test_listener_that_raises_stops_neither_the_others_nor_the_emitter() -> None:
    emitter = Emitter()
    heard: list[int] = []
    emitter.on("tick", raising)
    emitter.on("tick", heard.append)
    emitter.on("tick", lambda n: raising())
    emitter.on("tick", lambda n: heard.append(n * 10))
    with capture_logs() as logs:
        assert emitter.emit("tick", 1) is True
        assert emitter.emit("tick", 2) is True
    assert heard == [1, 10, 2, 20]
    assert [line["event"] for line in logs] == ["listener.failed"] * 4
    assert logs[0]["error"] == "RuntimeError('sync')"
    assert isinstance(logs[0]["exc_info"], RuntimeError)


async def test_coroutine_listener_that_raises_is_logged_and_stops_nobody() -> None:
    emitter = Emitter()
    heard: list[int] = []

    async def hear(number: int) -> None:
        await asyncio.sleep(0)
        heard.append(number)

    emitter.on("tick", raising_later)
    emitter.on("tick", hear)
    with capture_logs() as logs:
        emitter.emit("tick", 1)
        await until(lambda: heard and logs)
        emitter.emit("tick", 2)
        await emitter.close()
    assert heard == [1, 2]
    assert [line["error"] for line in logs] == ["RuntimeError('async')"] * 2


async def test_error_listener_cannot_be_replaced_or_joined() -> None:
    emitter = Emitter()
    heard: list[object] = []
    with pytest.raises(ValueError, match="emitter's own"):
        emitter.on("error", heard.append)
    emitter.on("tick", raising)
    with capture_logs() as logs:
        emitter.emit("tick")
    assert heard == []
    assert [line["event"] for line in logs] == ["listener.failed"]


@pytest.mark.parametrize("what", [RuntimeError("said"), "text", None])
async def test_error_that_is_emitted_is_logged_and_does_not_recurse(what: object) -> None:
    with capture_logs() as logs:
        Emitter().emit("error", what)
    assert [(line["event"], line["error"]) for line in logs] == [("listener.failed", repr(what))]


async def test_listener_may_emit_and_listen_while_it_is_called() -> None:
    emitter = Emitter()
    heard: list[str] = []
    emitter.on("tick", lambda: emitter.emit("tock"))
    emitter.on("tock", lambda: (heard.append("tock"), emitter.on("late", lambda: heard.append("late"))))
    emitter.emit("tick")
    emitter.emit("late")
    assert heard == ["tock", "late"]


async def test_close_waits_for_the_coroutines_it_started() -> None:
    emitter = Emitter()
    may_end = asyncio.Event()
    ended: list[int] = []

    async def slow(number: int) -> None:
        await may_end.wait()
        ended.append(number)

    emitter.on("tick", slow)
    emitter.emit("tick", 1)
    emitter.emit("tick", 2)
    closing = asyncio.create_task(emitter.close())
    await turns(20)
    assert not closing.done()
    may_end.set()
    await closing
    assert sorted(ended) == [1, 2]


async def test_close_drops_the_listeners() -> None:
    emitter = Emitter()
    heard: list[int] = []
    emitter.on("tick", heard.append)
    await emitter.close()
    assert emitter.emit("tick", 1) is False
    assert heard == []


async def test_close_survives_listeners_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter()
    emitter.on("tick", raising_later)
    with capture_logs() as logs, caplog.at_level(logging.ERROR, "asyncio"):
        emitter.emit("tick")
        await emitter.close()
        await turns()
    assert [line["event"] for line in logs] == ["listener.failed"]
    assert caplog.records == []
