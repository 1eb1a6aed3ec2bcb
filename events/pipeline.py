"""The way of events to the engine: validate, coalesce, append. Local events go straight to the streams.

``sse.push`` arrives here from the emitter, and handlers call ``publish``. Knows the engine and its receipts; does not
know who publishes or who subscribes.
"""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from functools import partial
from itertools import islice
from threading import get_ident
from typing import cast

from sse_push.events.early import EarlyEvents
from sse_push.events.engines.base import Engine, EngineListener
from sse_push.events.errors import BadEvent, EngineUnavailable, SsePushError
from sse_push.events.event import Push
from sse_push.events.group import EventGroup
from sse_push.events.receipts import (
    CoalescedReceipt,
    FutureReceipt,
    OnPublished,
    Receipt,
    refuse,
    refuse_threadsafe,
    relay,
)
from sse_push.events.validation import Validator

COALESCED_EVENTS = (
    256  # single events of one loop iteration that go as one group: one script of the Redis engine
)


class Pipeline:
    """Publishes events.

    Args:
        listener: Gets local events, and counts what is not published.
    """

    def __init__(self, validator: Validator, engine: Engine, listener: EngineListener) -> None:
        self.validator = validator
        self._engine = engine
        self._listener = listener
        self._early = EarlyEvents()
        self._loop: AbstractEventLoop | None = None
        self._thread = 0  # the loop's, while the engine runs
        self._coalesced: list[tuple[Push, OnPublished]] = []

    async def publish(self, *pushes: Push, publisher: str | None = None) -> list[str]:
        """Publish *pushes*; returns their ids once they are stored ("" for one that is not kept).

        Args:
            publisher: The publisher's id; ``None`` for this process itself.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: None of them is published.
            OutcomeUnknown: They may be published.
        """
        return await self.submit(pushes, publisher)

    def submit(self, pushes: Sequence[Push], publisher: str | None = None) -> FutureReceipt:
        """As :meth:`publish`, without waiting: the future gets the ids or the error."""
        receipt: FutureReceipt = asyncio.get_running_loop().create_future()
        try:
            self._publish(pushes, receipt, publisher)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            refuse(receipt, error)
        return receipt

    def coalesce(self, push: Push, on_published: OnPublished) -> None:
        """Publish *push* in one group with the others of this loop iteration.

        One that fails fails the whole group, so *push* must be known to be valid (:meth:`Validator.can_coalesce`).
        """
        if not self._coalesced:
            asyncio.get_running_loop().call_soon(self._publish_coalesced)
        self._coalesced.append((push, on_published))

    def _publish_coalesced(self) -> None:
        coalesced, self._coalesced = iter(self._coalesced), []
        while group := [*islice(coalesced, COALESCED_EVENTS)]:
            receipt = CoalescedReceipt([on_published for _, on_published in group])
            try:
                self._publish([push for push, _ in group], receipt, None)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                refuse(receipt, error)

    def on_push(
        self, *pushes: Push, receipt: FutureReceipt | None = None, publisher: str | None = None
    ) -> None:
        """The listener of ``sse.push``: publish *pushes*, all or none; *receipt* gets their ids or the error.

        Before the engine has started they are held, within bounds. May be called from any thread.
        """
        if receipt is not None and not hasattr(receipt, "set_exception"):
            raise TypeError(f"receipt must be a future, not a {type(receipt).__name__}")
        try:
            self._publish(pushes, receipt, publisher)
        except Exception as error:
            refuse_threadsafe(receipt, error) if self._thread != get_ident() else refuse(receipt, error)
            if not isinstance(error, SsePushError):
                raise

    def _publish(self, pushes: Sequence[Push], receipt: Receipt | None, publisher: str | None) -> None:
        if self._thread != get_ident():
            self._publish_elsewhere(pushes, cast("FutureReceipt | None", receipt), publisher)
            return
        self._dispatch(self._encode(pushes, publisher), receipt)

    def _encode(self, pushes: Sequence[Push], publisher: str | None) -> EventGroup:
        try:
            return self.validator.encode_all(pushes, publisher)
        except BadEvent:
            self._listener.rejected(len(pushes))
            raise

    def _dispatch(self, events: EventGroup, receipt: Receipt | None) -> None:
        if events and events[0].durable:
            self._engine.append(events, receipt)
            return
        if events and events[0].local:
            self._listener.stored(events)
        elif events:
            self._engine.publish_ephemeral(events)
        if receipt is not None and not receipt.done():
            receipt.set_result([""] * len(events))

    # -- before the start, after the close, and in other threads than the loop's --------------------

    def open(self, loop: AbstractEventLoop | None = None) -> None:
        """The engine has started: publish what was held, in its order.

        Args:
            loop: The engine's loop; what other threads emit is passed to it.
        """
        self._loop, self._thread = loop, get_ident()
        self._publish_early()
        if loop is not None:
            loop.call_soon(self._publish_early)  # what another thread was about to hold

    def _publish_early(self) -> None:
        for events, receipt in self._early.take():
            self._dispatch(events, receipt)

    def close(self) -> None:
        """The engine is about to close: refuse what comes from now on."""
        self._thread = 0
        for _, receipt in self._early.close():
            refuse(receipt, EngineUnavailable("this node has not started"))

    def _publish_elsewhere(
        self, pushes: Sequence[Push], receipt: FutureReceipt | None, publisher: str | None
    ) -> None:
        if self._loop is not None and self._thread:
            self._loop.call_soon_threadsafe(self._publish_from_thread, pushes, receipt, publisher)
            return
        events = self._encode(pushes, publisher)
        try:
            self._early.hold(events, receipt)
        except SsePushError:
            self._listener.failed(len(pushes))
            raise

    def _publish_from_thread(
        self, pushes: Sequence[Push], receipt: FutureReceipt | None, publisher: str | None
    ) -> None:
        own = receipt
        if receipt is not None and receipt.get_loop() is not self._loop:
            own = cast("AbstractEventLoop", self._loop).create_future()
            own.add_done_callback(partial(relay, receipt))
        self.on_push(*pushes, receipt=own, publisher=publisher)
