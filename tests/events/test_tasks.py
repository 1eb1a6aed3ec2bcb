"""Background tasks run, are forgotten at their end, and end at a cancel."""

import asyncio

from sse_push.events.tasks import BackgroundTasks


async def test_task_that_ended_is_forgotten() -> None:
    tasks, done = BackgroundTasks(), []

    async def work() -> None:
        done.append(1)

    await tasks.spawn_task(work())
    await asyncio.sleep(0)
    assert done == [1] and [*tasks] == []


async def test_cancel_waits_until_all_have_ended() -> None:
    tasks, ended = BackgroundTasks(), []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    for number in range(3):
        tasks.spawn(work(number))
    await asyncio.sleep(0)
    await tasks.cancel()
    assert sorted(ended) == [0, 1, 2]


async def test_task_that_fails_does_not_keep_the_others_from_their_end() -> None:
    tasks = BackgroundTasks()

    async def fail() -> None:
        raise ValueError

    async def wait() -> None:
        await asyncio.Event().wait()

    failing, waiting = tasks.spawn_task(fail()), tasks.spawn_task(wait())
    await tasks.cancel()
    assert waiting.cancelled() and failing.done()
