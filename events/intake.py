"""Where ``sse.push`` arrives: each event is encoded once and goes to the engine, or, if its topic is not
kept, straight to the streams. Knows topics and limits; does not know who publishes or who listens.
"""

import time
from collections.abc import Callable, Mapping

import structlog

from events.emitter import SSE_KEPT, SSE_PUSH, Emitter
from events.engines.base import Engine, Receipt
from events.errors import BadEvent
from events.event import Event, PushEvent, encode
from events.topics import Topic

_log = structlog.get_logger()


class Intake:
    """Listens to ``sse.push``.

    Args:
        topics: By name (:attr:`events.topics.Topic.name`).
        max_bytes: The most an event's encoded data may take.
    """

    def __init__(
        self,
        emitter: Emitter,
        engine: Engine,
        topics: Mapping[str, Topic],
        *,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._emitter = emitter
        self._engine = engine
        self._topics = topics
        self._max_bytes = max_bytes
        self._clock = clock
        emitter.on(SSE_PUSH, self.accept)

    def topic_of(self, full_name: str) -> Topic:
        """What is true of the topic written *full_name*.

        Raises:
            BadEvent: There is none.
        """
        name, colon, room = full_name.partition(":")
        topic = self._topics.get(name)
        if topic is None or topic.per_room != bool(colon and room):
            raise BadEvent(f"unknown topic: {full_name[:64]!r}")
        return topic

    def accept(
        self, *pushes: PushEvent, receipt: Receipt | None = None, publisher: str = ""
    ) -> None:
        """Take *pushes*, all or none; *receipt* gets their ids ("" for one that is not kept) or an error.

        Args:
            publisher: Whose idempotency keys they carry: the same key of another is another key.
        """
        now = self._clock()
        kept: list[Event] = []
        told: list[Event] = []
        for index, push in enumerate(pushes):
            try:
                topic = self.topic_of(push.full_topic)
                event = encode(push, topic, now=now, max_bytes=self._max_bytes)
            except BadEvent as error:
                error.index = index
                if receipt is None:
                    _log.warning("event.refused", detail=error.detail)
                elif not receipt.done():
                    receipt.set_exception(error)
                return
            if event.key is not None:
                event.key = f"{publisher}\x1f{event.key}"
            (kept if topic.kept else told).append(event)
        if told:
            self._emitter.emit(SSE_KEPT, told)
        if kept:
            self._engine.append(kept, receipt)
        elif receipt is not None and not receipt.done():
            receipt.set_result(["" for _ in told])
