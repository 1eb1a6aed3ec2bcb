"""The delivery of stored events: from the engine to the router, and to who listens to ``sse.stored``.

Knows the router, the emitter and the metrics; does not know connections.
"""

from collections.abc import Callable, Collection

from sse_push.events.emitter import SSE_STORED, Emitter
from sse_push.events.engines.base import DiscontinuityReason, EngineListener
from sse_push.events.group import EventGroup
from sse_push.events.router import Router
from sse_push.service.metrics import Metrics


class Delivery(EngineListener):
    """What a node does with what its engine tells it.

    Args:
        on_discontinued: Called when open streams can't continue without a gap.
        on_ephemeral_missed: Called when events of topics that are not kept may have been missed.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        router: Router,
        emitter: Emitter,
        metrics: Metrics,
        *,
        on_discontinued: Callable[[DiscontinuityReason, str, Collection[str] | None], object],
        on_ephemeral_missed: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._router = router
        self._emitter = emitter
        self._metrics = metrics
        self._on_discontinued = on_discontinued
        self._on_ephemeral_missed = on_ephemeral_missed
        self._clock = clock

    def stored(self, events: EventGroup) -> None:
        deliveries = self._router.deliver(events)
        durable = events.durable_count
        self._metrics.events["durable"] += durable
        self._metrics.events["ephemeral"] += len(events) - durable
        self._metrics.delivered(len(events), deliveries, max(0.0, self._clock() - events[0].at))
        if self._emitter.has_listeners(SSE_STORED):
            self._emitter.emit(SSE_STORED, events)

    def failed(self, count: int) -> None:
        self._metrics.events["failed"] += count

    def rejected(self, count: int) -> None:
        self._metrics.events["rejected"] += count

    def discontinued(
        self, reason: DiscontinuityReason, position: str, keys: Collection[str] | None = None
    ) -> None:
        self._on_discontinued(reason, position, keys)

    def ephemeral_missed(self) -> None:
        self._on_ephemeral_missed()
