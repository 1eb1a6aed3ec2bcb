"""Answers a job: by script, from the cache, or by a model. Knows no queue and no room."""

import time
from collections.abc import Callable
from typing import Protocol
from zlib import crc32

import structlog

from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.jobs import Job, Result

CACHED_ANSWERS = 1_000  # answers cached by one worker if AI_CACHE_S is set; a few MB

_SCRIPTED = "[scripted] "
_log = structlog.get_logger()
_Key = tuple[str, int, str, str | None, str]


class Model(Protocol):
    """A language model."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def complete(self, job: Job) -> str:
        """The answer to *job*.

        Raises:
            AnswerFailed: The model gave none.
        """


class Responder:
    """Answers jobs.

    Args:
        model: Answers for personas without scripted replies; with ``None`` these are scripted too, and say so.
        cache_s: Seconds for which an answer is reused for the same question; 0 means never.
    """

    def __init__(
        self, model: Model | None, *, cache_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._model = model
        self._cache_s = cache_s
        self._clock = clock
        self._cached: dict[_Key, tuple[float, Result]] = {}

    async def start(self) -> None:
        """Start the model's client.

        Raises:
            BadSettings: A package that the model needs is not installed.
        """
        if self._model is not None:
            await self._model.start()

    async def close(self) -> None:
        if self._model is not None:
            await self._model.close()

    async def answer(self, job: Job) -> Result:
        """The answer to *job*.

        Raises:
            AnswerFailed: The model gave none.
        """
        started = time.perf_counter()
        source, result = await self._result(job)
        _log.info(
            "group_chat.answered",
            job=job.id,
            room=job.room_id,
            persona=job.persona.id,
            source=source,
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )
        return result

    async def _result(self, job: Job) -> tuple[str, Result]:
        if self._model is None or job.persona.replies:
            return "script", Result(content=_SCRIPTED + _scripted(job))
        key = _key(job)
        if (cached := self._recall(key)) is not None:
            return "cache", cached
        text = await self._model.complete(job)
        if not text.strip():
            raise AnswerFailed("the model gave an empty answer")
        result = Result(content=text)
        self._remember(key, result)
        return "model", result

    def _recall(self, key: _Key) -> Result | None:
        at, result = self._cached.get(key, (0.0, None))
        return result if self._clock() - at < self._cache_s else None

    def _remember(self, key: _Key, result: Result) -> None:
        if not self._cache_s:
            return
        self._cached.pop(key, None)
        self._cached[key] = (self._clock(), result)
        if len(self._cached) > CACHED_ANSWERS:
            del self._cached[next(iter(self._cached))]


def _key(job: Job) -> _Key:
    """The cache key: the question without case and white space, and the room, because an answer may quote the room."""
    persona = job.persona
    return (job.room_id, persona.id, persona.prompt, persona.model, " ".join(job.message.casefold().split()))


def _scripted(job: Job) -> str:
    replies = job.persona.replies
    if replies:
        return replies[crc32(job.message.encode()) % len(replies)]
    reply = f"I have read your {len(job.message)} characters, {job.user_name}"
    return f"I am {job.persona.name}. No language model is set for me, so all that I can say is: {reply}."
