"""The job queue: what both implementations promise.

1.  A job that was added is attempted by one worker after another until one succeeds, at most ``ATTEMPTS`` times.
2.  ``on_done`` is called with each job's result, or ``None`` if every attempt failed. If it could not handle the whole
    result (:class:`Outcome`) and the queue outlives this process, it is called again later, on this node or another.
3.  The queue is bounded: past the limit, adding raises ``Overloaded``. Each user is bounded too, on all nodes
    together: past that limit, reserving raises ``OverLimit``.
4.  Users take turns: one with many queued jobs gets no larger share of the workers than one with a single job.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

from sse_push.service.group_chat.jobs import Job, Result

ATTEMPTS = 2  # per job: a model that failed twice will fail again
RETRY_DELAY_S = (
    0.5  # seconds between attempts, plus or minus half: jobs that failed together are not retried together
)
RETRY_AFTER_S = 5  # seconds after which a user with too many pending answers has got some of them
MAX_JOB_AGE_S = 300.0  # seconds after which nobody waits for an answer: such a job fails without an attempt


class Outcome(Enum):
    """How far a job's result was handled."""

    COMPLETE = "nothing is left to do"
    NOT_AWARDED = "the room has the answer; the exp is not written yet"
    NOT_PUBLISHED = "the room does not have the answer"


OnDone = Callable[[Job, Result | None], Awaitable[Outcome]]
IsPublished = Callable[[Job, Result], Awaitable[bool]]  # True if the room has the answer


def retry_delay() -> float:
    """Seconds until the next attempt of a failed job."""
    return RETRY_DELAY_S * random.uniform(0.5, 1.5)


class JobQueue(ABC):
    """Queued jobs.

    Attributes:
        redelivers: ``on_done`` is called again later if it could not handle a result.
    """

    redelivers = False

    @abstractmethod
    async def start(self, on_done: OnDone, is_published: IsPublished | None = None) -> None:
        """Start; from now on *on_done* is called for finished jobs. :meth:`close` must follow, also after an error.

        Args:
            is_published: Asked before an answer is reported as lost.

        Raises:
            BadSettings: A package that the queue needs is not installed.
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        """Reserve places for jobs of *user_id*; :meth:`add` or :meth:`release` must follow.

        Returns:
            The number of places that the user had reserved before.

        Raises:
            OverLimit: ``ai_jobs``; none was reserved.
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        """Release places of jobs that are not added, or finished. A place that can't be released expires."""

    @abstractmethod
    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        """Remove jobs of *user_id* that no worker has begun; returns their ids.

        Raises:
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        """Add *jobs*, all or none.

        Args:
            rank: What :meth:`reserve` returned.

        Raises:
            Overloaded: The queue is full.
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Stop. Also called after a failed start."""
