"""A worker on BullMQ's queue: takes jobs, has them answered, gives the answers back. Knows no room and no caller.

One that dies gives no sign of life any more, and its jobs go to others. docs/group-chat.md tells how to write one.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import structlog
from pydantic import ValidationError

from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.answers import Answers
from sse_push.service.group_chat.jobs import QUEUE, Job
from sse_push.service.group_chat.queue import ATTEMPTS, MAX_JOB_AGE_S
from sse_push.service.group_chat.redis_place import CANCEL_AGAIN_S, RedisPlace, end

DRAIN_S = 5  # seconds that an idle worker waits for a job before it asks anew
FINISH_S = (
    5.0  # seconds that a worker which is told to stop has for the jobs it is at; others take them after
)
AGAIN_S = (0.2, 5.0)  # seconds until a connection that broke is tried anew, doubled each time

_log = structlog.get_logger()


class BullWorker:
    """Does *concurrency* jobs at once.

    Args:
        lock_s: Seconds without a sign of life after which others take its jobs.
    """

    def __init__(
        self,
        place: RedisPlace,
        answers: Answers,
        *,
        concurrency: int,
        lock_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._answers = answers
        self._clock = clock
        self._worker: Any = None
        self._running: asyncio.Task[None] | None = None
        self._options = {
            "concurrency": concurrency,
            "drainDelay": DRAIN_S,
            "lockDuration": round(lock_s * 1000),
            "lockRenewTime": round(lock_s * 500),
            "stalledInterval": round(lock_s * 500),
            "maxStalledCount": ATTEMPTS - 1,
            "runRetryDelay": 1_000,
        }

    async def start(self) -> None:
        """Begin to take jobs; a Redis that is away is tried again.

        Raises:
            BadSettings: Something that it wants is not installed.
        """
        await self._place.open()
        await self._answers.start()
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Take no more jobs, end those in hand if that is soon."""
        if self._running is not None and self._worker is not None:
            closing = asyncio.ensure_future(self._worker.close())
            ends = asyncio.get_running_loop().time() + FINISH_S
            while not (await asyncio.wait([closing], timeout=CANCEL_AGAIN_S))[0]:
                if asyncio.get_running_loop().time() > ends:
                    await self._worker.close(force=True)
                elif self._worker.waiting:
                    self._worker.waiting.cancel()  # as end() does
        await end([self._running] if self._running is not None else [])
        await self._answers.close()
        await self._place.close()

    async def _run(self) -> None:
        wait, longest = AGAIN_S
        while True:
            began = self._clock()
            self._worker = self._place.worker(QUEUE, self._process, self._options)
            self._worker.on("error", _failed)
            try:
                await self._worker.run()
            except self._place.errors as error:
                _failed(error)
            if self._worker.closing:
                return
            wait = AGAIN_S[0] if self._clock() - began > longest else min(2 * wait, longest)
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))

    async def _process(self, job: Any, token: str) -> dict[str, Any]:
        result = None
        try:
            read = Job.model_validate(job.data)
            fault = "too old"
            if self._clock() - read.asked_at <= MAX_JOB_AGE_S:
                result = await self._answers.answer(read)
        except ValidationError:
            fault = "not a job of version 1"
        except AnswerFailed as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours is for our log, not for the queue to keep
            _log.error("group_chat.job_crashed", job=job.id, exc_info=error)
            fault = "a fault in the worker"
        if result is None:
            # Outside of the except blocks: BullMQ keeps the traceback, which must not tell of what lay behind.
            raise AnswerFailed(fault)
        return result.model_dump(by_alias=True)


def _failed(error: object, *_: object) -> None:
    _log.warning("ai_worker.failed", error=type(error).__name__)
