"""What an engine answers that one node has for itself: it hears everything, at once, and nobody gets past it.

Knows nothing of where events are kept.
"""

from collections.abc import Sequence

from sse_push.events.engines.base import Engine, Publish


class SingleNodeEngine(Engine):
    """An engine of one node."""

    @property
    def reachable(self) -> bool:
        return True

    def subscribe(self, keys: Sequence[str]) -> None:
        """All keys are heard anyway."""

    def unsubscribe(self, keys: Sequence[str]) -> None:
        """The same."""

    def is_caught_up(self, keys: Sequence[str], seq: int | None) -> bool:
        return True

    def is_known_position(self, epoch: str, seq: int) -> bool:
        return epoch == self.epoch and seq <= self.head

    async def wait_caught_up(self, keys: Sequence[str]) -> int:
        return self.head

    def cache_covers(self, keys: Sequence[str], after: int) -> bool:
        return after >= self.window.start

    async def has_remote_subscribers(self, key: str) -> bool:
        return False

    def consume_inbox(self, publish: Publish) -> None:
        """There is no other way into its store."""
