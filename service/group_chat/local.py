"""The queue of one process: bounded, fair to users, with some workers, tasks of this loop. What waits dies with the process."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from sse_push.events.errors import AnswerFailed, OverLimit, Overloaded
from sse_push.service.group_chat.answers import Answers
from sse_push.service.group_chat.jobs import Job, Result
from sse_push.service.group_chat.queue import (
    ATTEMPTS,
    MAX_JOB_AGE_S,
    RETRY_AFTER_S,
    Done,
    JobQueue,
    Reached,
    pause,
)

_log = structlog.get_logger()


class _ByUser:
    """Jobs that wait, taken from one user after another."""

    def __init__(self) -> None:
        self._jobs: dict[str, deque[Job]] = {}  # by user, in the order of their turns
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, job: Job) -> None:
        self._jobs.setdefault(job.user_id, deque()).append(job)
        self._count += 1

    def popleft(self) -> Job:
        user_id = next(iter(self._jobs))
        jobs = self._jobs.pop(user_id)
        job = jobs.popleft()
        self._count -= 1
        if jobs:
            self._jobs[user_id] = jobs  # behind all others
        return job

    def remove(self, user_id: str, job_ids: Collection[str]) -> list[str]:
        """Take those of *job_ids* out that are there; their ids."""
        jobs = self._jobs.get(user_id, deque())
        removed = [job.id for job in jobs if job.id in job_ids]
        if left := deque(job for job in jobs if job.id not in job_ids):
            self._jobs[user_id] = left
        else:
            self._jobs.pop(user_id, None)
        self._count -= len(removed)
        return removed


class _FairQueue(asyncio.Queue[Job]):
    """A queue that takes users in turn: by the methods that asyncio's own priority queue is made with."""

    _queue: _ByUser

    def _init(self, maxsize: int) -> None:
        self._queue = _ByUser()

    def _put(self, item: Job) -> None:
        self._queue.append(item)

    def _get(self) -> Job:
        return self._queue.popleft()

    def remove(self, user_id: str, job_ids: Collection[str]) -> list[str]:
        return self._queue.remove(user_id, job_ids)


class _Withdrawn(Exception):
    """A job is not tried again: nobody waits for it."""


class LocalQueue(JobQueue):
    """Has *answers* answer jobs, *concurrency* at once; *limit* may wait, and *per_user* of one user be counted.

    Args:
        sleep: Waits so many seconds between two tries of a job.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        concurrency: int,
        limit: int,
        per_user: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._answers = answers
        self._concurrency = concurrency
        self._limit = limit
        self._per_user = per_user
        self._reserved: dict[str, set[str]] = {}  # ids of jobs, by user
        self._clock = clock
        self._sleep = sleep
        self._waiting = _FairQueue()
        self._between_tries: set[str] = set()  # ids of jobs
        self._at_work = 0
        self._workers: list[asyncio.Task[None]] = []

    async def start(self, done: Done, reached: Reached | None = None) -> None:
        await self._answers.start()
        self._workers = [asyncio.create_task(self._work(done)) for _ in range(self._concurrency)]

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        its = self._reserved.get(user_id, set())
        if len(its) + len(job_ids) > self._per_user:
            raise OverLimit("ai_jobs", RETRY_AFTER_S)
        if job_ids:
            self._reserved[user_id] = its | {*job_ids}
        return len(its)

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        left = self._reserved.get(user_id, set()) - {*job_ids}
        if left:
            self._reserved[user_id] = left
        else:
            self._reserved.pop(user_id, None)

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        between = self._between_tries.intersection(job_ids)
        self._between_tries -= between
        withdrawn = [*self._waiting.remove(user_id, job_ids), *between]
        await self.release(user_id, withdrawn)
        return withdrawn

    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        if self._waiting.qsize() + len(jobs) > self._limit:
            raise Overloaded("too many messages wait for the AI members")
        for job in jobs:
            self._waiting.put_nowait(job)

    async def close(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._answers.close()
        if left := self._waiting.qsize() + self._at_work:
            _log.warning("group_chat.jobs_dropped", jobs=left)

    async def _work(self, done: Done) -> None:
        while True:
            job = await self._waiting.get()
            self._at_work += 1
            try:
                await done(job, await self._try(job))
            except _Withdrawn:
                pass
            except Exception as error:  # noqa: BLE001 - one job's fault must not end the worker of all others
                _log.error("group_chat.job_crashed", job=job.id, exc_info=error)
            self._at_work -= 1  # not when it is cancelled: then it was dropped
            await self.release(job.user_id, [job.id])

    async def _pause(self, job: Job) -> None:
        """Wait until the next try.

        Raises:
            _Withdrawn: There is none.
        """
        self._between_tries.add(job.id)
        await self._sleep(pause())
        if job.id not in self._between_tries:
            raise _Withdrawn
        self._between_tries.discard(job.id)

    async def _try(self, job: Job) -> Result | None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._pause(job)
            if self._clock() - job.asked_at > MAX_JOB_AGE_S:
                return None
            try:
                return await self._answers.answer(job)
            except AnswerFailed:
                continue
            except Exception as error:  # noqa: BLE001 - a fault of ours, and the caller must not wait for nothing
                _log.error("group_chat.job_crashed", job=job.id, exc_info=error)
        return None
