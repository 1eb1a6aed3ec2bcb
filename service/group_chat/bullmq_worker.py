"""A worker of the BullMQ queue: takes jobs, answers them, returns the results. Knows no room and no caller.

The jobs of a worker that crashes go to others when its locks expire. docs/group-chat.md explains how to write one.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from pydantic import ValidationError

from sse_push.events.backoff import Backoff
from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.bullmq_client import CANCEL_RETRY_S, BullMqClient, cancel_all
from sse_push.service.group_chat.jobs import QUEUE, Job
from sse_push.service.group_chat.queue import ATTEMPTS, MAX_JOB_AGE_S
from sse_push.service.group_chat.responder import Responder

IDLE_WAIT_S = 5  # seconds that an idle worker blocks for a job before it asks again
SHUTDOWN_JOBS_S = 5.0  # seconds that a stopping worker has for its current jobs; others take them after
RECONNECT_DELAYS_S = (
    0.2,
    5.0,
)  # seconds until a broken connection is retried: first, doubled each time up to the last

_log = structlog.get_logger()


class BullMqWorker:
    """Answers *concurrency* jobs at once.

    Args:
        lock_s: Seconds after which others take a job whose lock was not renewed.
    """

    def __init__(
        self,
        client: BullMqClient,
        responder: Responder,
        *,
        concurrency: int,
        lock_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._responder = responder
        self._clock = clock
        self._worker: Any = None
        self._running: asyncio.Task[None] | None = None
        self._options = {
            "concurrency": concurrency,
            "drainDelay": IDLE_WAIT_S,
            "lockDuration": round(lock_s * 1000),
            "lockRenewTime": round(lock_s * 500),
            "stalledInterval": round(lock_s * 500),
            "maxStalledCount": ATTEMPTS - 1,
            "runRetryDelay": 1_000,
        }

    async def start(self) -> None:
        """Start taking jobs; an unreachable Redis is retried.

        Raises:
            BadSettings: A package that it needs is not installed.
        """
        await self._client.open()
        await self._responder.start()
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Take no more jobs, and finish the current ones within ``SHUTDOWN_JOBS_S``."""
        if self._running is not None and self._worker is not None:
            closing = asyncio.ensure_future(self._worker.close())
            deadline = asyncio.get_running_loop().time() + SHUTDOWN_JOBS_S
            while not (await asyncio.wait([closing], timeout=CANCEL_RETRY_S))[0]:
                if asyncio.get_running_loop().time() > deadline:
                    await self._worker.close(force=True)
                elif self._worker.waiting:
                    self._worker.waiting.cancel()  # as cancel_all() does
        await cancel_all([self._running] if self._running is not None else [])
        await self._responder.close()
        await self._client.close()

    async def _run(self) -> None:
        backoff = Backoff(*RECONNECT_DELAYS_S)
        while True:
            began = self._clock()
            self._worker = self._client.worker(QUEUE, self._process, self._options)
            self._worker.on("error", _failed)
            try:
                await self._worker.run()
            except self._client.errors as error:
                _failed(error)
            if self._worker.closing:
                return
            if self._clock() - began > RECONNECT_DELAYS_S[1]:
                backoff.reset()
            await asyncio.sleep(backoff.next_wait())

    async def _process(self, job: Any, token: str) -> dict[str, Any]:
        result = None
        try:
            read = Job.model_validate(job.data)
            fault = "too old"
            if self._clock() - read.asked_at <= MAX_JOB_AGE_S:
                result = await self._responder.answer(read)
        except ValidationError:
            fault = "not a job of version 1"
        except AnswerFailed as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - a bug belongs into our log, not into the queue
            _log.error("group_chat.job_unhandled_error", job=job.id, exc_info=error)
            fault = "an error in the worker"
        if result is None:
            # Outside of the except blocks: BullMQ stores the traceback, which must not show the cause.
            raise AnswerFailed(fault)
        return result.model_dump(by_alias=True)


def _failed(error: object, *_: object) -> None:
    _log.warning("ai_worker.failed", error=type(error).__name__)
