"""The job queue on Redis, by BullMQ: workers may be Node or Python processes on any machine.

A completed job stays in the queue until its result is delivered: by its own node, which follows the queue's events, or
by any node's sweep. docs/group-chat.md has the names and formats.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from pydantic import ValidationError

from sse_push.events.backoff import Backoff
from sse_push.events.errors import EngineUnavailable, Overloaded
from sse_push.events.tasks import BackgroundTasks
from sse_push.service.group_chat.bullmq_client import BullMqClient, cancel_all, describe_error
from sse_push.service.group_chat.bullmq_worker import BullMqWorker
from sse_push.service.group_chat.jobs import QUEUE, Job, Result
from sse_push.service.group_chat.queue import (
    ATTEMPTS,
    MAX_JOB_AGE_S,
    IsPublished,
    JobQueue,
    OnDone,
    Outcome,
    retry_delay,
)
from sse_push.service.group_chat.user_quotas import UserQuotas

COMPLETED_KEPT = 1_000  # completed jobs whose results are not delivered yet
COMPLETED_KEPT_S = 3_600  # seconds for the same
FAILED_KEPT = 100  # failed jobs, kept for diagnosis
FAILED_KEPT_S = 86_400  # seconds for the same
SWEEP_EVERY_S = 2.0  # seconds between sweeps for undelivered results, plus or minus half
SWEEP_JOBS = 100  # jobs of one sweep
OWN_NODE_FIRST_S = 2.0  # seconds in which only the job's own node delivers its result
RECONNECT_DELAYS_S = (
    0.1,
    5.0,
)  # seconds until a broken connection is retried: first, doubled each time up to the last
START_S = 10.0  # seconds that a start waits for the queue's Redis
READ_TIMEOUT_MS = 5_000  # milliseconds that one read of the queue's events blocks

_log = structlog.get_logger()


class BullMqQueue(JobQueue):
    """One node's view of the queue.

    Args:
        limit: Jobs that may be queued.
        per_user: Jobs that one user may have on all nodes together.
        max_result_age_s: Seconds after which an undelivered result is dropped. It must be less than the engine
            remembers idempotency keys, or a room could get an answer twice.
        worker: A worker in this process; ``None`` leaves all jobs to others.
    """

    redelivers = True

    def __init__(
        self,
        client: BullMqClient,
        *,
        limit: int,
        per_user: int,
        max_result_age_s: float,
        worker: BullMqWorker | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._limit = limit
        self._quotas = UserQuotas(client, per_user, clock)
        self._unseen_s = max_result_age_s
        self._worker = worker
        self._clock = clock
        self._own_jobs: dict[str, Job] = {}
        self._delivering: set[str] = set()
        self._tasks = BackgroundTasks()
        self._last_event = "$"

    async def start(self, on_done: OnDone, is_published: IsPublished | None = None) -> None:
        self._on_done, self._is_published = on_done, is_published
        await self._client.open()
        self._queue = self._client.queue(QUEUE)
        try:
            async with asyncio.timeout(START_S):
                self._last_event = await self._newest_event()
        except self._client.errors as error:  # TimeoutError is one
            raise EngineUnavailable(
                f"the queue of group chat can't be reached: {describe_error(error)}"
            ) from error
        if self._worker is not None:
            await self._worker.start()
        self._tasks.spawn(self._follow_events())
        self._tasks.spawn(self._sweep())

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        return await self._quotas.reserve(user_id, job_ids)

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        await self._quotas.release(user_id, job_ids)

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        withdrawn = await self._quotas.withdraw(user_id, job_ids)
        for job_id in withdrawn:
            self._own_jobs.pop(job_id, None)
        return withdrawn

    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        entries = [_entry(job, rank + position) for position, job in enumerate(jobs, 1)]
        try:
            waiting = await self._queue.getJobCountByTypes("wait", "prioritized", "delayed", "paused")
            if waiting + len(jobs) > self._limit:
                raise Overloaded("the queue of the AI members is full")
            self._own_jobs |= {job.id: job for job in jobs}
            await self._queue.addBulk(entries)
        except self._client.errors as error:
            raise EngineUnavailable("the queue can't be reached now") from error

    async def close(self) -> None:
        await cancel_all(self._tasks)
        if self._worker is not None:
            await self._worker.close()
        await self._client.close()

    # -- what became of jobs -----------------------------------------------------------------------

    async def _newest_event(self) -> str:
        """The id of the latest event of the queue: reading from ``$`` would lose events between two reads."""
        newest = await self._client.client().xrevrange(self._queue.keys["events"], count=1)
        return str(newest[0][0]) if newest else "0"

    async def _follow_events(self) -> None:
        """Follow the queue's events until cancelled."""
        backoff = Backoff(*RECONNECT_DELAYS_S)
        while True:
            began = self._clock()
            events = self._client.events(QUEUE, self._last_event, READ_TIMEOUT_MS)
            errors: list[Exception] = []
            events.on("completed", self._completed)
            events.on("failed", self._failed)
            events.on("error", errors.append)
            try:
                await events.run()
            except Exception as error:  # noqa: BLE001 - the events must be followed again after any error
                errors.append(error)
            finally:
                await events.close()
            if errors:
                _log.warning(
                    "group_chat.events_failed", error=repr(errors[0]), exc_info=self._unexpected(errors[0])
                )
            if self._clock() - began > RECONNECT_DELAYS_S[1]:
                backoff.reset()
            await asyncio.sleep(backoff.next_wait())

    def _completed(self, event: dict[str, Any], event_id: str) -> None:
        self._last_event = event_id
        if (job := self._own_jobs.get(event.get("jobId", ""))) is not None:
            self._tasks.spawn(self._deliver_result(job, _result(event.get("returnvalue")), is_kept=True))

    def _failed(self, event: dict[str, Any], event_id: str) -> None:
        self._last_event = event_id
        if (job := self._own_jobs.get(event.get("jobId", ""))) is not None:
            self._tasks.spawn(self._deliver_result(job, None, is_kept=False))

    async def _deliver_result(self, job: Job, result: Result | None, *, is_kept: bool) -> None:
        """Deliver the result of *job*, once at a time, and remove the job when everything is handled.

        Args:
            is_kept: The job is in the completed set. Failed jobs stay for a day.
        """
        if job.id in self._delivering:
            return
        self._delivering.add(job.id)
        try:
            outcome = await self._on_done(job, result)
            if outcome is Outcome.COMPLETE:
                self._own_jobs.pop(job.id, None)
                await self.release(job.user_id, [job.id])
                if is_kept:
                    await self._remove(job.id)
            elif outcome is Outcome.NOT_AWARDED:
                await self._client.client().set(self._published(job.id), "", ex=COMPLETED_KEPT_S)
        except Exception as error:  # noqa: BLE001 - one job's bug must not end the sweep
            _log.error("group_chat.job_unhandled_error", job=job.id, exc_info=error)
        finally:
            self._delivering.discard(job.id)

    async def _remove(self, job_id: str) -> None:
        with suppress(*self._client.errors):  # the next sweep finds it again; delivery is idempotent
            await self._queue.backend.remove(job_id, True)

    def _published(self, job_id: str) -> str:
        """The key that exists once the room has the answer, while the exp is not written yet."""
        return self._client.key(QUEUE, f"published:{job_id}")

    def _unexpected(self, error: Exception) -> Exception | None:
        """*error* if it does not come from Redis: then its traceback is logged."""
        return None if isinstance(error, self._client.errors) else error

    async def _sweep(self) -> None:
        """Deliver results that nobody has delivered: their node is gone, or missed the event."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S * random.uniform(0.5, 1.5))
            now = self._clock()
            for job in [job for job in self._own_jobs.values() if now - job.asked_at > 2 * MAX_JOB_AGE_S]:
                del self._own_jobs[job.id]
            try:
                done = await self._client.client().zrange(self._queue.keys["completed"], 0, SWEEP_JOBS - 1)
                for job_id in done:
                    await self._sweep_one(job_id, now)
            except Exception as error:  # noqa: BLE001 - the sweep must go on after any error
                _log.warning("group_chat.sweep_failed", error=repr(error), exc_info=self._unexpected(error))

    async def _sweep_one(self, job_id: str, now: float) -> None:
        kept = await self._read(job_id)
        if kept is None:
            # A foreign entry, or another node has handled it since: report only what is still there.
            if await self._discard(job_id):
                _log.warning("group_chat.foreign_job_removed", job=job_id)
            return
        job, result, finished = kept
        # A worker's clock may be wrong: an answer is not older than its question.
        age = now - max(finished, job.asked_at)
        if age > self._unseen_s:
            await self._give_up(job, result)
        elif age >= OWN_NODE_FIRST_S or job_id in self._own_jobs:
            await self._deliver_result(job, result, is_kept=True)

    async def _read(self, job_id: str) -> tuple[Job, Result | None, float] | None:
        """A completed job, its result, and when it completed; ``None`` if it is gone or not one of ours."""
        try:
            kept = await self._queue.getJob(job_id)
            job = Job.model_validate(kept.data)
            return (job, _result(kept.returnvalue), kept.finishedOn / 1000) if job.id == job_id else None
        except (ValueError, TypeError, AttributeError):
            return None

    async def _give_up(self, job: Job, result: Result | None) -> None:
        lacks_award = await self._client.client().exists(self._published(job.id))
        # A node that crashed or lost Redis right after it published the answer could not remove the job.
        is_published = (
            not lacks_award
            and result is not None
            and self._is_published
            and await self._is_published(job, result)
        )
        if not await self._discard(job.id):
            return  # another node has done it
        if lacks_award:
            _log.error("group_chat.award_lost", job=job.id, room=job.room_id, error="not delivered in time")
        elif not is_published:
            _log.error("group_chat.answer_lost", job=job.id, room=job.room_id, error="not delivered in time")

    async def _discard(self, job_id: str) -> bool:
        """Remove a completed job; ``True`` on the one node that removed it."""
        removed = await self._client.client().zrem(self._queue.keys["completed"], job_id)
        if removed:
            await self._remove(job_id)
        return bool(removed)


def _entry(job: Job, priority: int) -> dict[str, Any]:
    """*job* in BullMQ's format.

    Args:
        priority: Its position among its user's jobs: every user's first job comes before any user's second.
    """
    return {
        "name": "answer",
        "data": job.model_dump(mode="json", by_alias=True),
        "opts": {
            "jobId": job.id,
            "priority": priority,
            "attempts": ATTEMPTS,
            "backoff": {"type": "fixed", "delay": round(retry_delay() * 1000)},
            "removeOnComplete": {"age": COMPLETED_KEPT_S, "count": COMPLETED_KEPT},
            "removeOnFail": {"age": FAILED_KEPT_S, "count": FAILED_KEPT},
        },
    }


def _result(value: object) -> Result | None:
    """A worker's result; ``None`` if it is malformed."""
    try:
        return Result.model_validate(value)
    except ValidationError:
        return None
