"""A slow second look at what was heard: whether the store has events that should have come here and did not.

A message on a connection is not lost without the connection, as far as anybody knows; this looks whether that holds.
For some of the keys listened to it compares what the store has with what the window has. It costs the push path nothing.
Knows the feed and the store; what is done about a loss is the engine's business.
"""

import random
from collections.abc import Callable

from sse_push.events.engines.redis.feed import Feed
from sse_push.events.engines.redis.store import Parts, RemoteStore
from sse_push.events.window import Window

KEYS = 32  # keys looked at once a second
EVENTS = 100  # events of each that are compared, from where the last look ended


class Audit:
    """Looks through the keys that *feed* listens to, some at a time, round and round.

    Args:
        window: Gives the window of now, where everything heard is.
    """

    def __init__(self, store: RemoteStore, feed: Feed, window: Callable[[], Window]) -> None:
        self._window = window
        self._store = store
        self._feed = feed
        self._round: list[str] = []
        self._proven: dict[str, int] = {}  # all of the key up to this number was heard

    async def missing(self) -> list[int]:
        """Numbers of events that should have been heard and were not.

        Raises:
            EngineUnavailable, hiredis.HiredisError: It can't be told now.
        """
        keys = self._next_keys()
        start = self._window().start
        afters = {key: max(self._proven.get(key, 0), self._feed.since([key]) or 0, start) for key in keys}
        if not keys:
            return []
        parts: Parts = [part for key in keys for part in (key, afters[key])]
        head, *found = await self._store.audit(self._feed.epoch, EVENTS, parts)
        await self._feed.reached(head)
        # Whatever was heard by now is in the window: the engine puts it there before it says so.
        window = self._window()
        missing: set[int] = set()
        for key, numbers in zip(keys, found, strict=True):
            missing.update(self._compare(key, numbers, window))
            # As many as were asked for: there may be more, for the next look.
            self._proven[key] = numbers[-1] if len(numbers) == EVENTS else head
        return sorted(missing)

    def _compare(self, key: str, numbers: list[int], window: Window) -> list[int]:
        since = self._feed.since([key])
        if since is None:  # not listened to any more, or anew
            return []
        return window.lacks([number for number in numbers if number > since])

    def _next_keys(self) -> list[str]:
        if not self._round:
            self._round = self._feed.heard_keys()
            random.shuffle(self._round)
            self._proven = {key: self._proven[key] for key in self._round if key in self._proven}
        keys, self._round = self._round[:KEYS], self._round[KEYS:]
        return [key for key in keys if self._feed.since([key]) is not None]

    def forget(self) -> None:
        """The store is another one, or all was caught up with: begin anew."""
        self._round, self._proven = [], {}
