"""Publishing, for everything that has something to say: emit ``sse.push``, wait until it is kept."""

import asyncio
from collections.abc import Sequence

from events.emitter import SSE_PUSH, Emitter
from events.engines.base import Receipt
from events.event import Push


class Publisher:
    """Publishes events on one emitter."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter

    def submit(self, pushes: Sequence[Push], publisher: str | None = None) -> Receipt:
        """Emit *pushes*, all or none; the receipt gets their ids once they are safe.

        Args:
            publisher: Who publishes from outside; ``None`` for this process itself.

        Errors of the receipt: ``BadEvent``, ``Overloaded``, ``EngineUnavailable``.
        """
        receipt: Receipt = asyncio.get_running_loop().create_future()
        self._emitter.emit(SSE_PUSH, *pushes, receipt=receipt, publisher=publisher)
        return receipt

    async def publish(self, *pushes: Push, publisher: str | None = None) -> list[str]:
        """Publish *pushes*; their ids, once they are safe.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: None of them is published.
        """
        return await self.submit(pushes, publisher)
