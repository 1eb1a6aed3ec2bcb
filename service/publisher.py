"""Publishing, for everything that has something to say: emit ``sse.push``, wait until it is kept."""

import asyncio
from collections.abc import Sequence

from events.emitter import SSE_PUSH, Emitter
from events.engines.base import Receipt
from events.errors import BadEvent
from events.event import PushEvent
from events.intake import Intake


class Publisher:
    """Publishes events on one emitter."""

    def __init__(self, emitter: Emitter, intake: Intake) -> None:
        self._emitter = emitter
        self._intake = intake

    def submit(self, pushes: Sequence[PushEvent], publisher: str = "") -> Receipt:
        """Emit *pushes*, all or none; the receipt gets their ids once they are safe.

        Args:
            publisher: Whose idempotency keys they carry.

        Errors of the receipt: ``BadEvent``, ``Overloaded``, ``EngineUnavailable``.
        """
        receipt: Receipt = asyncio.get_running_loop().create_future()
        self._emitter.emit(SSE_PUSH, *pushes, receipt=receipt, publisher=publisher)
        return receipt

    async def publish(self, *pushes: PushEvent, publisher: str = "") -> list[str]:
        """Publish *pushes*; their ids, once they are safe.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: None of them is published.
        """
        return await self.submit(pushes, publisher)

    def check_publishable(self, pushes: Sequence[PushEvent]) -> None:
        """Whether other services may publish to these topics.

        Raises:
            BadEvent: Not to one of them.
        """
        for index, push in enumerate(pushes):
            try:
                topic = self._intake.topic_of(push.full_topic)
            except BadEvent as error:
                error.index = index
                raise
            if not topic.publishable:
                raise BadEvent(f"topic {topic.name} can't be published to", index)
