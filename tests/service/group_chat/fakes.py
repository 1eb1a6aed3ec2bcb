"""Jobs for the tests of group chat, and somebody to answer them."""

import asyncio
from typing import Any

from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.jobs import Job, Member, Result
from sse_push.service.group_chat.queue import Outcome
from sse_push.service.group_chat.responder import Responder


def job(
    message: str = "hello",
    *,
    turn: str = "turn",
    persona: int = 1,
    at: float = 0.0,
    user: str = "42",
    **more: Any,
) -> Job:
    member = Member(id=persona, name="Ada", prompt="You are Ada.", **more)
    return Job(
        turn_id=turn, room_id="general", persona=member, user_id=user, user_name="ada", message=message, asked_at=at
    )  # fmt: skip


class Oracle(Responder):
    """Responder by the message: ``fail`` fails, ``crash`` crashes, ``wait`` waits for :attr:`release`, all else is repeated."""

    def __init__(self) -> None:
        super().__init__(None, cache_s=0)
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.release = asyncio.Event()

    async def answer(self, job: Job) -> Result:
        self.asked.append(job.message)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if job.message == "fail":
                raise AnswerFailed("it was to fail")
            if job.message == "crash":
                raise ZeroDivisionError
            if job.message == "wait":
                await self.release.wait()
            await asyncio.sleep(0)
            return Result(content=job.message)
        finally:
            self.at_once -= 1


class Seen:
    """What a queue told of its jobs.

    Attributes:
        outcome: What it is answered.
    """

    def __init__(self) -> None:
        self.results: dict[str, list[str | None]] = {}
        self.outcome = Outcome.COMPLETE

    async def __call__(self, job: Job, result: Result | None) -> Outcome:
        self.results.setdefault(job.id, []).append(result and result.content)
        return self.outcome
