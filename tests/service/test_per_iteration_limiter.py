"""The limiter passes a few callers in each iteration of the loop, in order, and forgets none."""

import asyncio

from sse_push.service.per_iteration_limiter import PerIterationLimiter


async def _iteration() -> None:
    await asyncio.sleep(0)


async def _enter(limiter: PerIterationLimiter, number: int, through: list[int]) -> None:
    await limiter.enter()
    through.append(number)


async def test_limiter_lets_all_through_in_order() -> None:
    limiter = PerIterationLimiter(3)
    through: list[int] = []

    await asyncio.gather(*(_enter(limiter, number, through) for number in range(50)))

    assert through == list(range(50))


async def test_limiter_lets_no_more_through_in_a_turn_than_it_may() -> None:
    limiter = PerIterationLimiter(3)
    through: list[int] = []
    tasks = [asyncio.create_task(_enter(limiter, number, through)) for number in range(30)]

    before = 0
    turns = 0
    while len(through) < 30:
        await _iteration()
        turns += 1
        assert len(through) - before <= 3
        before = len(through)

    assert turns >= 30 // 3 - 1
    await asyncio.gather(*tasks)


async def test_limiter_that_is_not_crowded_keeps_nobody() -> None:
    limiter = PerIterationLimiter(3)

    for _ in range(10):
        async with asyncio.timeout(1):
            await limiter.enter()
        await _iteration()
        await _iteration()


async def test_limiter_passes_over_those_who_left() -> None:
    limiter = PerIterationLimiter(1)
    through: list[int] = []
    tasks = [asyncio.create_task(_enter(limiter, number, through)) for number in range(20)]
    await _iteration()

    for task in tasks[5:15]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert through == [*range(5), *range(15, 20)]


async def test_limiter_rests_when_nobody_comes() -> None:
    limiter = PerIterationLimiter(1)
    await asyncio.gather(*(limiter.enter() for _ in range(5)))
    for _ in range(5):
        await _iteration()

    assert not limiter._is_scheduled
    await asyncio.wait_for(limiter.enter(), 1)
