"""The way of jobs to workers and back: what both kinds of queue promise.

1.  A job that was added is done once, by one worker after another until one does it, at most ``ATTEMPTS`` times.
2.  ``done`` is called with each job's result, or ``None`` when nobody could do it; where it could not handle all of
    the result (:class:`Outcome`) and the queue outlives this process, it is called again later, here or elsewhere.
3.  What waits is bounded: past it, adding raises ``Overloaded``. Of one user it is bounded too, on all nodes together:
    past that, reserving raises ``OverLimit``.
4.  Jobs of many users are taken in turn: whoever has many waiting has no more of the workers than who has one.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

from sse_push.service.group_chat.jobs import Job, Result

ATTEMPTS = 2  # tries of one job: a model that failed twice will fail again
TRY_AGAIN_S = (
    0.5  # seconds between them, give or take half: jobs that failed together do not come back together
)
RETRY_AFTER_S = 5  # seconds after which a user who waits for too many answers has some of them
MAX_JOB_AGE_S = 300.0  # seconds after which nobody waits for an answer any more: such a job fails unasked


class Outcome(Enum):
    """What became of a job's result."""

    COMPLETE = "nothing is left to do"
    NOT_AWARDED = "the room has the answer; what the user earns with it is not written yet"
    NOT_PUBLISHED = "the room does not have the answer"


Done = Callable[[Job, Result | None], Awaitable[Outcome]]
Reached = Callable[[Job, Result], Awaitable[bool]]  # whether the room has the answer


def pause() -> float:
    """Seconds until the next try of a job that failed."""
    return TRY_AGAIN_S * random.uniform(0.5, 1.5)


class JobQueue(ABC):
    """Jobs that wait to be done.

    Attributes:
        tells_again: Where ``done`` could not see to a result, it is called again later.
    """

    tells_again = False

    @abstractmethod
    async def start(self, done: Done, reached: Reached | None = None) -> None:
        """Begin; from now on call *done* for jobs that are. Whatever becomes of it, :meth:`close` is to follow.

        Args:
            reached: Asked before an answer is called lost.

        Raises:
            BadSettings: Something that it wants is not installed.
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        """Count jobs that are about to be added as *user_id*'s; :meth:`add` or :meth:`release` must follow.

        Returns:
            How many of theirs were counted before: those come first.

        Raises:
            OverLimit: ``ai_jobs``; none was counted.
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        """Jobs that were reserved are not added, or not done. What can't be released is counted until it is too old."""

    @abstractmethod
    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        """Take jobs of *user_id* out that no worker has begun; the ids of these.

        Raises:
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        """Add *jobs*, all or none.

        Args:
            rank: What :meth:`reserve` returned for them.

        Raises:
            Overloaded: Too many wait already.
            EngineUnavailable: The queue can't be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Do no more; also where the start failed."""
