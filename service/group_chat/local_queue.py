"""The job queue of one process, with workers as tasks of its loop. Queued jobs are lost when the process ends."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from sse_push.events.errors import AnswerFailed, OverLimit, Overloaded
from sse_push.service.group_chat.jobs import Job, Result
from sse_push.service.group_chat.queue import (
    ATTEMPTS,
    MAX_JOB_AGE_S,
    RETRY_AFTER_S,
    IsPublished,
    JobQueue,
    OnDone,
    retry_delay,
)
from sse_push.service.group_chat.responder import Responder

_log = structlog.get_logger()


class _ByUser:
    """Queued jobs, taken round-robin by user."""

    def __init__(self) -> None:
        self._jobs: dict[str, deque[Job]] = {}  # by user; the first user is next
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
            self._jobs[user_id] = jobs  # behind all other users
        return job

    def remove(self, user_id: str, job_ids: Collection[str]) -> list[str]:
        """Remove the queued jobs among *job_ids*; returns their ids."""
        jobs = self._jobs.get(user_id, deque())
        removed = [job.id for job in jobs if job.id in job_ids]
        if left := deque(job for job in jobs if job.id not in job_ids):
            self._jobs[user_id] = left
        else:
            self._jobs.pop(user_id, None)
        self._count -= len(removed)
        return removed


class _FairQueue(asyncio.Queue[Job]):
    """An asyncio queue that is round-robin by user; overrides what ``asyncio.PriorityQueue`` overrides."""

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
    """The job was withdrawn between two attempts."""


class LocalQueue(JobQueue):
    """Answers jobs with *responder*.

    Args:
        concurrency: Jobs in work at once.
        limit: Jobs that may be queued.
        per_user: Jobs that one user may have, queued or in work.
        sleep: Waits the given seconds between two attempts of a job.
    """

    def __init__(
        self,
        responder: Responder,
        *,
        concurrency: int,
        limit: int,
        per_user: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._responder = responder
        self._concurrency = concurrency
        self._limit = limit
        self._per_user = per_user
        self._reserved: dict[str, set[str]] = {}  # ids of jobs, by user
        self._clock = clock
        self._sleep = sleep
        self._waiting = _FairQueue()
        self._between_attempts: set[str] = set()  # ids of jobs
        self._in_work = 0
        self._workers: list[asyncio.Task[None]] = []

    async def start(self, on_done: OnDone, is_published: IsPublished | None = None) -> None:
        await self._responder.start()
        self._workers = [asyncio.create_task(self._work(on_done)) for _ in range(self._concurrency)]

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        reserved = self._reserved.get(user_id, set())
        if len(reserved) + len(job_ids) > self._per_user:
            raise OverLimit("ai_jobs", RETRY_AFTER_S)
        if job_ids:
            self._reserved[user_id] = reserved | {*job_ids}
        return len(reserved)

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        left = self._reserved.get(user_id, set()) - {*job_ids}
        if left:
            self._reserved[user_id] = left
        else:
            self._reserved.pop(user_id, None)

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        between = self._between_attempts.intersection(job_ids)
        self._between_attempts -= between
        withdrawn = [*self._waiting.remove(user_id, job_ids), *between]
        await self.release(user_id, withdrawn)
        return withdrawn

    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        if self._waiting.qsize() + len(jobs) > self._limit:
            raise Overloaded("the queue of the AI members is full")
        for job in jobs:
            self._waiting.put_nowait(job)

    async def close(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._responder.close()
        if left := self._waiting.qsize() + self._in_work:
            _log.warning("group_chat.jobs_dropped", jobs=left)

    async def _work(self, on_done: OnDone) -> None:
        while True:
            job = await self._waiting.get()
            self._in_work += 1
            try:
                await on_done(job, await self._attempt(job))
            except _Withdrawn:
                pass
            except Exception as error:  # noqa: BLE001 - one job's bug must not end the worker
                _log.error("group_chat.job_unhandled_error", job=job.id, exc_info=error)
            self._in_work -= 1  # not after a cancellation: the job was dropped
            await self.release(job.user_id, [job.id])

    async def _pause(self, job: Job) -> None:
        """Wait until the next attempt.

        Raises:
            _Withdrawn: The job was withdrawn.
        """
        self._between_attempts.add(job.id)
        await self._sleep(retry_delay())
        if job.id not in self._between_attempts:
            raise _Withdrawn
        self._between_attempts.discard(job.id)

    async def _attempt(self, job: Job) -> Result | None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._pause(job)
            if self._clock() - job.asked_at > MAX_JOB_AGE_S:
                return None
            try:
                return await self._responder.answer(job)
            except AnswerFailed:
                continue
            except Exception as error:  # noqa: BLE001 - a bug; the caller must get an answer
                _log.error("group_chat.job_unhandled_error", job=job.id, exc_info=error)
        return None
