"""Who runs when: by caller in turn, a bounded number at once, and nothing forgotten."""

import asyncio
from collections import Counter

from sse_push.service.fair_limiter import FairLimiter


class Run:
    """Callers that hold their turns until they are told to end.

    Attributes:
        began: Whose turns began, in order.
        most: How many ran at once at the most, in total and by caller.
    """

    def __init__(self, limit: int, per_caller: int) -> None:
        self.limiter = FairLimiter(limit, per_caller)
        self.began: list[str] = []
        self.most: Counter[str] = Counter()
        self._running: Counter[str] = Counter()

    async def one(self, caller: str, steps: int = 1) -> None:
        async with self.limiter.turn(caller):
            self.began.append(caller)
            for name in (caller, "all"):
                self._running[name] += 1
                self.most[name] = max(self.most[name], self._running[name])
            for _ in range(steps):
                await asyncio.sleep(0)
            for name in (caller, "all"):
                self._running[name] -= 1


async def test_late_caller_waits_for_one_turn_of_a_busy_one() -> None:
    run = Run(1, 1)
    busy = [asyncio.create_task(run.one("busy")) for _ in range(50)]
    await asyncio.sleep(0)

    await run.one("late")

    assert run.began.index("late") <= 2
    await asyncio.gather(*busy)
    assert len(run.began) == 51


async def test_callers_are_served_in_turn() -> None:
    run = Run(1, 1)

    await asyncio.gather(*[run.one(caller) for caller in ["a"] * 5 + ["b"] * 3 + ["c"]])

    assert run.began == ["a", "a", "b", "c", "a", "b", "a", "b", "a"]


async def test_no_more_run_at_once_than_may() -> None:
    run = Run(4, 2)

    await asyncio.gather(*[run.one(caller, 3) for caller in "aaaaaaaabbbbbbbbcccc"])

    assert (run.most["all"], run.most["a"], run.most["b"], run.most["c"]) == (4, 2, 2, 2)


async def test_single_caller_leaves_room_for_others() -> None:
    run = Run(4, 2)
    busy = [asyncio.create_task(run.one("busy", 1000)) for _ in range(10)]
    await asyncio.sleep(0)

    await run.one("other")

    assert run.began == ["busy", "busy", "other"]
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)


async def test_cancelled_callers_are_passed_over_and_forgotten() -> None:
    run = Run(1, 1)
    holds = asyncio.create_task(run.one("first", 3))
    await asyncio.sleep(0)
    gone = [asyncio.create_task(run.one("gone")) for _ in range(20)]
    stays = asyncio.create_task(run.one("stays"))
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()

    await asyncio.gather(holds, stays)

    assert run.began == ["first", "stays"]
    assert not run.limiter._waiting and not run.limiter._running_of


async def test_turn_that_comes_as_its_caller_is_cancelled_goes_to_the_next() -> None:
    run = Run(1, 1)
    async with run.limiter.turn("first"):
        unlucky, next_one = asyncio.create_task(run.one("unlucky")), asyncio.create_task(run.one("next"))
        await asyncio.sleep(0)
    unlucky.cancel()  # its turn has come, and it does not know yet

    await next_one

    assert run.began == ["next"]
    assert not run.limiter._running_of
