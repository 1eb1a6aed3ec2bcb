"""What waits to be done, in dictionaries: taken in bulk, put back when it could not be done."""

from collections.abc import Mapping
from itertools import islice
from typing import TypeVar

BULK = 25  # users seen to at once: some 7,500 friends, 10 ms

Key = TypeVar("Key")
Value = TypeVar("Value")


def take(waiting: dict[Key, Value], count: int = BULK) -> dict[Key, Value]:
    """The first of what waits, no more than is done at once."""
    taken = dict(islice(waiting.items(), count))
    for key in taken:
        del waiting[key]
    return taken


def put_back(waiting: dict[Key, Value], taken: Mapping[Key, Value]) -> None:
    """What could not be done waits again; where something newer does already, that stays."""
    for key, value in taken.items():
        waiting.setdefault(key, value)
