"""Many who ask at about the same time, answered with one call."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from sse_push.service.batches import Batch


class Loader:
    """Answers with each key's square, when it is let; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, keys: Collection[int]) -> Mapping[int, int]:
        self.asked.append(list(keys))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return {key: key * key for key in keys if key}


async def test_those_who_ask_while_it_answers_are_answered_together() -> None:
    loader = Loader()
    batch = Batch(loader, size=3)
    answers = [asyncio.create_task(batch.get(key)) for key in (1, 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers += [asyncio.create_task(batch.get(key)) for key in (3, 3, 4, 0, 5)]
    await asyncio.sleep(0)
    loader.go.set()
    assert await asyncio.gather(*answers) == [1, 4, 9, 9, 16, None, 25]
    assert loader.asked == [[1, 2], [3, 4, 0], [5]]
    assert await batch.get(6) == 36


async def test_error_is_that_of_all_who_asked_and_of_nobody_after() -> None:
    loader = Loader()
    loader.go.set()
    loader.error = OSError("away")
    batch = Batch(loader, size=3)
    answers = await asyncio.gather(batch.get(1), batch.get(2), return_exceptions=True)
    assert [str(error) for error in answers] == ["away", "away"]
    loader.error = None
    assert await batch.get(1) == 1


async def test_one_who_leaves_does_not_end_it_for_the_others() -> None:
    loader = Loader()
    batch = Batch(loader, size=3)
    leaving, staying = asyncio.create_task(batch.get(1)), asyncio.create_task(batch.get(1))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    loader.go.set()
    assert await staying == 1
