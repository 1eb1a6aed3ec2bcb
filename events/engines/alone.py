"""What an engine answers that one node has for itself: it hears everything, at once, and nobody gets past it.

Knows nothing of where events are kept.
"""

from collections.abc import Sequence

from sse_push.events.engines.base import Engine, Publish


class AloneEngine(Engine):
    """An engine of one node."""

    @property
    def reachable(self) -> bool:
        return True

    def listen(self, keys: Sequence[str]) -> None:
        """All keys are heard anyway."""

    def unlisten(self, keys: Sequence[str]) -> None:
        """The same."""

    def current(self, keys: Sequence[str], seq: int | None) -> bool:
        return True

    def knows(self, epoch: str, seq: int) -> bool:
        return epoch == self.epoch and seq <= self.head

    async def settle(self, keys: Sequence[str]) -> int:
        return self.head

    def holds(self, keys: Sequence[str], after: int) -> bool:
        return after >= self.window.start

    async def heard_elsewhere(self, key: str) -> bool:
        return False

    def take_in(self, publish: Publish) -> None:
        """There is no other way into its store."""
