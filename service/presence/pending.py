"""Pending work, kept in dictionaries: taken in batches, put back when it failed."""

from collections.abc import Mapping
from itertools import islice
from typing import TypeVar

BATCH_USERS = 25  # users handled at once: some 7,500 friends, 10 ms

PendingChanges = dict[int, float | None]  # by user: None for online, else since when they are offline

Key = TypeVar("Key")
Value = TypeVar("Value")


def take(pending: dict[Key, Value], count: int = BATCH_USERS) -> dict[Key, Value]:
    """Remove and return the *count* oldest entries."""
    taken = dict(islice(pending.items(), count))
    for key in taken:
        del pending[key]
    return taken


def put_back(pending: dict[Key, Value], taken: Mapping[Key, Value]) -> None:
    """Return to *pending* what failed. A newer entry for the same key wins."""
    for key, value in taken.items():
        pending.setdefault(key, value)
