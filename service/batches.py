"""Answers many who ask at about the same time with one call. Knows nothing of what is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Batch(Generic[Key, Value]):
    """Asks *load* for all keys that gathered while it answered the ones before.

    Args:
        load: Gives what it knows of many keys.
        size: Keys of one call at the most.
    """

    def __init__(
        self, load: Callable[[Collection[Key]], Awaitable[Mapping[Key, Value]]], *, size: int
    ) -> None:
        self._load = load
        self._size = size
        self._waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """What *load* knows of *key*; ``None`` for nothing.

        Raises:
            Exception: What *load* raised.
        """
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        answer = self._waiting[key]
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(answer)  # one who leaves must not end it for the others

    async def _run(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[: self._size]
                asked = {key: self._waiting.pop(key) for key in keys}
                await self._answer(asked)
        finally:
            self._task = None

    async def _answer(self, asked: dict[Key, "asyncio.Future[Value | None]"]) -> None:
        try:
            found = await self._load(asked.keys())
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # nobody may be left to ask
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
