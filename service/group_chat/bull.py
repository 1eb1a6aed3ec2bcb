"""The queue on Redis, BullMQ's own: workers may be processes of Node or Python on any machine.

A job that is done stays in the queue until somebody has seen to its answer:
its node when the queue's events tell it so, else whichever node comes by. docs/group-chat.md has the names and forms.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from pydantic import ValidationError

from sse_push.events.errors import EngineUnavailable, Overloaded
from sse_push.service.group_chat.jobs import QUEUE, Job, Result
from sse_push.service.group_chat.queue import ATTEMPTS, MAX_JOB_AGE_S, Done, JobQueue, Outcome, Reached, pause
from sse_push.service.group_chat.redis_place import RedisPlace, described, end
from sse_push.service.group_chat.user_shares import UserShares
from sse_push.service.group_chat.worker import BullWorker

DONE_KEPT = 1_000  # jobs that are done and whose answers nobody has seen to yet
DONE_KEPT_S = 3_600  # seconds for the same
FAILED_KEPT = 100  # jobs that failed, for whoever looks into why
FAILED_KEPT_S = 86_400  # seconds for the same
SWEEP_EVERY_S = 2.0  # seconds, give or take half, between two looks for answers that nobody has seen to
SWEPT_AT_ONCE = 100  # jobs of one such look
NODE_HAS_S = 2.0  # seconds in which a job's own node sees to it, before others do
AGAIN_S = (0.1, 5.0)  # seconds until a connection that broke is tried anew, doubled each time
START_S = 10.0  # seconds that a start waits for the queue's Redis
BLOCK_MS = 5_000  # milliseconds that one read of the queue's events waits

_log = structlog.get_logger()


class BullQueue(JobQueue):
    """The queue of the Redis at *place*, seen by one node.

    Args:
        limit: Jobs that may wait.
        per_user: Jobs that may be counted as one user's, on all nodes together.
        unseen_s: Seconds after which an answer that nobody could see to is given up. It must be less than the engine
            remembers idempotency keys, or a room could be told twice.
        worker: Works in this process too; ``None`` leaves all to others.
    """

    tells_again = True

    def __init__(
        self,
        place: RedisPlace,
        *,
        limit: int,
        per_user: int,
        unseen_s: float,
        worker: BullWorker | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._limit = limit
        self._shares = UserShares(place, per_user, clock)
        self._unseen_s = unseen_s
        self._worker = worker
        self._clock = clock
        self._ours: dict[str, Job] = {}
        self._seeing_to: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last_event = "$"

    async def start(self, done: Done, reached: Reached | None = None) -> None:
        self._done, self._reached = done, reached
        await self._place.open()
        self._queue = self._place.queue(QUEUE)
        try:
            async with asyncio.timeout(START_S):
                self._last_event = await self._newest_event()
        except self._place.errors as error:  # TimeoutError is one
            raise EngineUnavailable(
                f"the queue of group chat can't be reached: {described(error)}"
            ) from error
        if self._worker is not None:
            await self._worker.start()
        self._spawn(self._follow())
        self._spawn(self._sweep())

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        return await self._shares.reserve(user_id, job_ids)

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        await self._shares.release(user_id, job_ids)

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        withdrawn = await self._shares.withdraw(user_id, job_ids)
        for job_id in withdrawn:
            self._ours.pop(job_id, None)
        return withdrawn

    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        entries = [_entry(job, rank + place) for place, job in enumerate(jobs, 1)]
        try:
            waiting = await self._queue.getJobCountByTypes("wait", "prioritized", "delayed", "paused")
            if waiting + len(jobs) > self._limit:
                raise Overloaded("too many messages wait for the AI members")
            self._ours |= {job.id: job for job in jobs}
            await self._queue.addBulk(entries)
        except self._place.errors as error:
            raise EngineUnavailable("the queue can't be reached now") from error

    async def close(self) -> None:
        await end(self._tasks)
        if self._worker is not None:
            await self._worker.close()
        await self._place.close()

    # -- what became of jobs -----------------------------------------------------------------------

    async def _newest_event(self) -> str:
        """Where the queue's events stand now: ``$`` would lose what comes between two reads."""
        newest = await self._place.client().xrevrange(self._queue.keys["events"], count=1)
        return str(newest[0][0]) if newest else "0"

    async def _follow(self) -> None:
        """Take the queue's events as they come, for as long as the node lives."""
        wait, longest = AGAIN_S
        while True:
            began = self._clock()
            events = self._place.events(QUEUE, self._last_event, BLOCK_MS)
            faults: list[Exception] = []
            events.on("completed", self._completed)
            events.on("failed", self._failed)
            events.on("error", faults.append)
            try:
                await events.run()
            except Exception as error:  # noqa: BLE001 - whatever it is, events must be followed again
                faults.append(error)
            finally:
                await events.close()
            if faults:
                _log.warning(
                    "group_chat.events_failed", error=repr(faults[0]), exc_info=self._fault_of(faults[0])
                )
            wait = AGAIN_S[0] if self._clock() - began > longest else min(2 * wait, longest)
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))

    def _completed(self, told: dict[str, Any], event_id: str) -> None:
        self._last_event = event_id
        if (job := self._ours.get(told.get("jobId", ""))) is not None:
            self._spawn(self._see_to(job, _result(told.get("returnvalue")), is_kept=True))

    def _failed(self, told: dict[str, Any], event_id: str) -> None:
        self._last_event = event_id
        if (job := self._ours.get(told.get("jobId", ""))) is not None:
            self._spawn(self._see_to(job, None, is_kept=False))

    async def _see_to(self, job: Job, result: Result | None, *, is_kept: bool) -> None:
        """Hand *job* on, once at a time, and take it out of the queue when all is seen to.

        Args:
            is_kept: It is among those that are done, whatever the worker said; those that failed stay for a day.
        """
        if job.id in self._seeing_to:
            return
        self._seeing_to.add(job.id)
        try:
            outcome = await self._done(job, result)
            if outcome is Outcome.COMPLETE:
                self._ours.pop(job.id, None)
                await self.release(job.user_id, [job.id])
                if is_kept:
                    await self._remove(job.id)
            elif outcome is Outcome.NOT_AWARDED:
                await self._place.client().set(self._published(job.id), "", ex=DONE_KEPT_S)
        except Exception as error:  # noqa: BLE001 - one job's fault must not end the sweep of all others
            _log.error("group_chat.job_crashed", job=job.id, exc_info=error)
        finally:
            self._seeing_to.discard(job.id)

    async def _remove(self, job_id: str) -> None:
        with suppress(*self._place.errors):  # the next sweep finds it again: what was done is not done twice
            await self._queue.backend.remove(job_id, True)

    def _published(self, job_id: str) -> str:
        """The key that is there once the room has the answer, while something else is left to do."""
        return self._place.key(QUEUE, f"published:{job_id}")

    def _fault_of(self, error: Exception) -> Exception | None:
        """*error*, if it is not Redis': where it stands in the code is logged too."""
        return None if isinstance(error, self._place.errors) else error

    async def _sweep(self) -> None:
        """See to answers that nobody has seen to: their node is dead, or missed the event."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S * random.uniform(0.5, 1.5))
            now = self._clock()
            for job in [job for job in self._ours.values() if now - job.asked_at > 2 * MAX_JOB_AGE_S]:
                del self._ours[job.id]
            try:
                done = await self._place.client().zrange(self._queue.keys["completed"], 0, SWEPT_AT_ONCE - 1)
                for job_id in done:
                    await self._sweep_one(job_id, now)
            except Exception as error:  # noqa: BLE001 - whatever it is, answers must be looked for again
                _log.warning("group_chat.sweep_failed", error=repr(error), exc_info=self._fault_of(error))

    async def _sweep_one(self, job_id: str, now: float) -> None:
        kept = await self._read(job_id)
        if kept is None:
            # Nobody's, or another node has handled it since it was listed: only what is still there is reported.
            if await self._discard(job_id):
                _log.warning("group_chat.foreign_job_removed", job=job_id)
            return
        job, result, finished = kept
        # A worker's clock may be wrong: an answer is no older than its question.
        age = now - max(finished, job.asked_at)
        if age > self._unseen_s:
            await self._give_up(job, result)
        elif age >= NODE_HAS_S or job_id in self._ours:
            await self._see_to(job, result, is_kept=True)

    async def _read(self, job_id: str) -> tuple[Job, Result | None, float] | None:
        """A job that is done, its result, and when it was; ``None`` if it is not there, or not ours."""
        try:
            kept = await self._queue.getJob(job_id)
            job = Job.model_validate(kept.data)
            return (job, _result(kept.returnvalue), kept.finishedOn / 1000) if job.id == job_id else None
        except (ValueError, TypeError, AttributeError):
            return None

    async def _give_up(self, job: Job, result: Result | None) -> None:
        published = await self._place.client().exists(self._published(job.id))
        # A node that died, or lost Redis, right behind publishing it could not take it out of the queue.
        reached = not published and result is not None and self._reached and await self._reached(job, result)
        if not await self._discard(job.id):
            return  # another node was faster
        if published:
            _log.error("group_chat.award_lost", job=job.id, room=job.room_id, error="tried for too long")
        elif not reached:
            _log.error("group_chat.answer_lost", job=job.id, room=job.room_id, error="tried for too long")

    async def _discard(self, job_id: str) -> bool:
        """Take a job out of those that are done, by one node only: whether it was this one."""
        removed = await self._place.client().zrem(self._queue.keys["completed"], job_id)
        if removed:
            await self._remove(job_id)
        return bool(removed)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _entry(job: Job, priority: int) -> dict[str, Any]:
    """*job* as BullMQ takes it.

    Args:
        priority: Its place among the jobs of its user: the first of everybody's come before the second of anybody's.
    """
    return {
        "name": "answer",
        "data": job.model_dump(mode="json", by_alias=True),
        "opts": {
            "jobId": job.id,
            "priority": priority,
            "attempts": ATTEMPTS,
            "backoff": {"type": "fixed", "delay": round(pause() * 1000)},
            "removeOnComplete": {"age": DONE_KEPT_S, "count": DONE_KEPT},
            "removeOnFail": {"age": FAILED_KEPT_S, "count": FAILED_KEPT},
        },
    }


def _result(value: object) -> Result | None:
    """What a worker gave back; ``None`` if it is not what it should be."""
    try:
        return Result.model_validate(value)
    except ValidationError:
        return None
