"""Publishing, for everything that has something to say: emit ``sse.push``, wait until it is kept."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.engines.base import Receipt
from sse_push.events.event import Push

JOINED_EVENTS = 256  # events of one turn that go as one list: what a script of the Redis engine keeps at once

Told = Callable[[list[str] | BaseException], None]


class Publisher:
    """Publishes events on one emitter."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._joined: dict[str, list[tuple[Push, Told]]] = {}

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

    def join(self, push: Push, publisher: str, told: Told) -> None:
        """Publish *push*, with all that this turn of the loop brings; *told* gets its id, in a list, or the error.

        What can't be published fails the others of its turn: it must be known to be good.
        """
        if not self._joined:
            asyncio.get_running_loop().call_soon(self._submit_joined)
        self._joined.setdefault(publisher, []).append((push, told))

    def _submit_joined(self) -> None:
        joined, self._joined = self._joined, {}
        for publisher, all_its in joined.items():
            for start in range(0, len(all_its), JOINED_EVENTS):
                its = all_its[start : start + JOINED_EVENTS]
                receipt = self.submit([push for push, _ in its], publisher)
                receipt.add_done_callback(partial(_tell, [told for _, told in its]))


def _tell(all_told: list[Told], receipt: Receipt) -> None:
    error = receipt.exception()
    answers: list[list[str] | BaseException]
    answers = [error] * len(all_told) if error is not None else [[its] for its in receipt.result()]
    tell = asyncio.get_running_loop().call_soon  # by itself each: one that fails is not the others' matter
    for told, answer in zip(all_told, answers, strict=True):
        tell(told, answer)
