"""Sampled streams: one task for each kind, no sample while nobody watches, a failure is not the end."""

import asyncio
from typing import Any

import pytest

from sse_push.service import samplers
from sse_push.service.streams import STREAMS, SampledStream
from sse_push.service.streams.custom import CustomStream
from tests.conftest import Start, until


async def test_sample_is_taken_once_for_all_who_watch(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await start(custom_interval_s=0.02)
    streams = [await service.open("/custom/stream") for _ in range(5)]
    for stream in streams:
        await stream.event()  # the first, each its own
    taken = 0
    sample = CustomStream.sample

    def counting(self: CustomStream, node: Any) -> Any:
        nonlocal taken
        taken += 1
        return sample(self, node)

    monkeypatch.setattr(CustomStream, "sample", counting)
    for stream in streams:
        await stream.events(3)

    assert taken < 5 * 3


async def test_no_sample_is_taken_while_nobody_watches(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await start(custom_interval_s=0.005, status_interval_s=0.005)
    taken: list[object] = []
    monkeypatch.setattr(samplers, "sample_event", lambda *given: taken.append(given))
    asked = 0
    has = service.node.router.has

    def counting(key: str) -> bool:
        nonlocal asked
        asked += 1
        return has(key)

    monkeypatch.setattr(service.node.router, "has", counting)
    await until(lambda: asked >= 6)

    assert taken == []


async def test_sample_that_fails_is_logged_and_the_next_is_taken(
    start: Start, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    service = await start(custom_interval_s=0.01)
    stream = await service.open("/custom/stream")
    await stream.event()
    sample = CustomStream.sample
    failures = 3

    def failing(self: CustomStream, node: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("no sample today")
        return sample(self, node)

    monkeypatch.setattr(CustomStream, "sample", failing)
    await until(lambda: not failures)
    await stream.event()

    lines = [line for line in logged if line["event"] == "sample.failed"]
    assert len(lines) == 3
    assert lines[0]["stream"] == "custom"


async def test_tasks_are_one_for_each_sampled_stream_and_end(start: Start) -> None:
    service = await start()
    names = {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("sample ")}

    assert names == {f"sample {stream.name}" for stream in STREAMS if isinstance(stream, SampledStream)}
    await service.node.samplers.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("sample ")]
