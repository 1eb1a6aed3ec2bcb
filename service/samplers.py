"""Keeps the sampled streams going: one task for each kind, however many watch, and no sample if none does."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from sse_push.events.emitter import SSE_PUSH
from sse_push.events.event import PushEvent
from sse_push.events.topics import filter_keys
from sse_push.service.streams import STREAMS, SampledStream

if TYPE_CHECKING:
    from sse_push.service.node import Node

_log = structlog.get_logger()


class Samplers:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(stream), name=f"sample {stream.name}")
            for stream in STREAMS
            if isinstance(stream, SampledStream)
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, stream: SampledStream) -> None:
        [key] = filter_keys(stream.topic.name, None)
        interval = stream.interval(self._node.settings)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + interval, loop.time())
            await asyncio.sleep(due - loop.time())
            if not self._node.router.has(key):
                continue
            try:
                self._node.emitter.emit(SSE_PUSH, sample_event(stream, self._node))
            except Exception as error:  # a sample that fails must not end the ones after it
                _log.error("sample.failed", stream=stream.name, error=repr(error))


def sample_event(stream: SampledStream, node: "Node") -> PushEvent:
    """The event that says what is so now."""
    data = stream.sample(node).model_dump(by_alias=True)
    return PushEvent(topic=stream.topic.name, broadcast=True, data=data)
