"""The gate: a few through in each turn of the loop, in order, and none forgotten."""

import asyncio

from sse_push.service.gate import Gate


async def _turn() -> None:
    await asyncio.sleep(0)


async def _enter(gate: Gate, number: int, through: list[int]) -> None:
    await gate.enter()
    through.append(number)


async def test_gate_lets_all_through_in_order() -> None:
    gate = Gate(3)
    through: list[int] = []

    await asyncio.gather(*(_enter(gate, number, through) for number in range(50)))

    assert through == list(range(50))


async def test_gate_lets_no_more_through_in_a_turn_than_it_may() -> None:
    gate = Gate(3)
    through: list[int] = []
    tasks = [asyncio.create_task(_enter(gate, number, through)) for number in range(30)]

    before = 0
    turns = 0
    while len(through) < 30:
        await _turn()
        turns += 1
        assert len(through) - before <= 3
        before = len(through)

    assert turns >= 30 // 3 - 1
    await asyncio.gather(*tasks)


async def test_gate_that_is_not_crowded_keeps_nobody() -> None:
    gate = Gate(3)

    for _ in range(10):
        async with asyncio.timeout(1):
            await gate.enter()
        await _turn()
        await _turn()


async def test_gate_passes_over_those_who_left() -> None:
    gate = Gate(1)
    through: list[int] = []
    tasks = [asyncio.create_task(_enter(gate, number, through)) for number in range(20)]
    await _turn()

    for task in tasks[5:15]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert through == [*range(5), *range(15, 20)]


async def test_gate_rests_when_nobody_comes() -> None:
    gate = Gate(1)
    await asyncio.gather(*(gate.enter() for _ in range(5)))
    for _ in range(5):
        await _turn()

    assert not gate._turning
    await asyncio.wait_for(gate.enter(), 1)
