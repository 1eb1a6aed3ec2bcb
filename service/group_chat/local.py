"""The queue of one process: bounded, with some workers, tasks of this loop. What waits in it dies with the process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from events.errors import AnswerFailed, Overloaded
from service.group_chat.answers import Answers
from service.group_chat.jobs import Job, Result
from service.group_chat.queue import ATTEMPTS, MAX_JOB_AGE_S, Done, JobQueue, pause

_log = structlog.get_logger()


class LocalQueue(JobQueue):
    """Has *answers* answer jobs, *concurrency* at once; *limit* may wait.

    Args:
        sleep: Waits so many seconds between two tries of a job.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        concurrency: int,
        limit: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._answers = answers
        self._concurrency = concurrency
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    async def start(self, done: Done) -> None:
        await self._answers.start()
        self._workers = [asyncio.create_task(self._work(done)) for _ in range(self._concurrency)]

    async def add(self, jobs: Sequence[Job]) -> None:
        if self._waiting.qsize() + len(jobs) > self._limit:
            raise Overloaded("too many messages wait for the AI members")
        for job in jobs:
            self._waiting.put_nowait(job)

    async def close(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._answers.close()
        if left := self._waiting.qsize():
            _log.warning("group_chat.jobs_dropped", jobs=left)

    async def _work(self, done: Done) -> None:
        while True:
            job = await self._waiting.get()
            try:
                await done(job, await self._try(job))
            except Exception as error:  # noqa: BLE001 - one job's fault must not end the worker of all others
                _log.error("group_chat.job_crashed", job=job.id, exc_info=error)

    async def _try(self, job: Job) -> Result | None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._sleep(pause())
            if self._clock() - job.asked_at > MAX_JOB_AGE_S:
                return None
            try:
                return await self._answers.answer(job)
            except AnswerFailed:
                continue
            except Exception as error:  # noqa: BLE001 - a fault of ours, and the caller must not wait for nothing
                _log.error("group_chat.job_crashed", job=job.id, exc_info=error)
        return None
