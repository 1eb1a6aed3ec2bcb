"""A timing wheel: one timer for things that recur with the same period, spread over its slots.

A hundred thousand heartbeats need one timer and no sorting. Starts no timer; its owner calls :meth:`TimingWheel.advance`
every ``period / SLOTS`` seconds.
"""

from collections.abc import Collection, Iterator
from typing import Final, Generic, TypeVar

SLOTS: Final = 60  # ticks in a period: 100,000 heartbeats go out in slices of 1,667

T = TypeVar("T")


class TimingWheel(Generic[T]):
    """Items in slots. The caller keeps the slot that :meth:`add` returns, so that an item costs no entry of an index."""

    def __init__(self) -> None:
        self._slots: list[set[T]] = [set() for _ in range(SLOTS)]
        self._cursor = 0

    def __iter__(self) -> Iterator[T]:
        for slot in self._slots:
            yield from slot

    def add(self, item: T) -> int:
        """Add *item* to the slot served last, so that a whole period passes before it is due; return that slot."""
        slot = (self._cursor - 1) % SLOTS
        self._slots[slot].add(item)
        return slot

    def discard(self, item: T, slot: int) -> None:
        """Remove *item* from *slot*, if it is there."""
        self._slots[slot].discard(item)

    def advance(self) -> Collection[T]:
        """Move on to the next slot and return its items: the wheel's own set, not a copy."""
        due = self._slots[self._cursor]
        self._cursor = (self._cursor + 1) % SLOTS
        return due
