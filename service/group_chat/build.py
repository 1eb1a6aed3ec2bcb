"""Group chat, put together from the settings: who answers, which queue, where it all goes."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sse_push.events.engines.base import Engine
from sse_push.events.pipeline import Pipeline
from sse_push.events.router import Router
from sse_push.service.database import Database
from sse_push.service.group_chat.answers import Answers
from sse_push.service.group_chat.experience import Experience
from sse_push.service.group_chat.local import LocalQueue
from sse_push.service.group_chat.model import ChatModel
from sse_push.service.group_chat.personas import Personas, load_personas
from sse_push.service.group_chat.queue import JobQueue
from sse_push.service.group_chat.rooms import Rooms
from sse_push.service.group_chat.turns import GroupChat
from sse_push.service.settings import PREFIX, BadSettings, Settings

if TYPE_CHECKING:
    from sse_push.service.group_chat.worker import BullWorker


def build_group_chat(
    settings: Settings,
    pipeline: Pipeline,
    engine: Engine,
    router: Router,
    database: Database,
    charge: Callable[[str, int], object],
    clock: Callable[[], float] = time.time,
) -> GroupChat:
    """The group chat of one node.

    Args:
        charge: Called with who asked and the bytes of each answer that is published.

    Raises:
        BadSettings: The personas can't be read, or have no model to speak by.
    """
    return GroupChat(
        personas_of(settings),
        _queue(settings, clock),
        Rooms(pipeline, engine, router, messages=settings.ai_history_messages, clock=clock),
        Experience(database, clock),
        timeout=settings.group_chat_timeout_s,
        charge=charge,
        clock=clock,
    )


def build_answers(settings: Settings, clock: Callable[[], float] = time.time) -> Answers:
    """What answers jobs in this process."""
    model = None
    if settings.asks_a_model:
        model = ChatModel(
            base_url=settings.ai_base_url,
            key=settings.ai_api_key.get_secret_value(),
            model=settings.ai_model,
            timeout=settings.ai_timeout_s,
        )
    return Answers(model, cache_s=settings.ai_cache_s, clock=clock)


def personas_of(settings: Settings) -> Personas:
    """The personas of the settings.

    Raises:
        BadSettings: They can't be read, or have no model to speak by.
    """
    personas = load_personas(settings.personas_file)
    if settings.asks_a_model and not settings.ai_model and (names := personas.without_model()):
        raise BadSettings(f"{PREFIX}AI_MODEL: must be set, for {', '.join(names)} names no model of its own")
    return personas


def build_worker(settings: Settings, clock: Callable[[], float] = time.time) -> "BullWorker":
    """A worker on the Redis of the settings."""
    from sse_push.service.group_chat.redis_place import RedisPlace
    from sse_push.service.group_chat.worker import BullWorker

    return BullWorker(
        RedisPlace(settings.engine_url),
        build_answers(settings, clock),
        concurrency=max(1, settings.ai_worker_concurrency),
        lock_s=settings.ai_job_lock_s,
        clock=clock,
    )


def _queue(settings: Settings, clock: Callable[[], float]) -> JobQueue:
    limit, per_user = settings.max_queued_jobs, settings.ai_jobs_per_user
    concurrency = settings.ai_worker_concurrency
    if not settings.on_redis:
        answers = build_answers(settings, clock)
        return LocalQueue(answers, concurrency=concurrency, limit=limit, per_user=per_user, clock=clock)
    from sse_push.service.group_chat.bull import BullQueue
    from sse_push.service.group_chat.redis_place import RedisPlace

    return BullQueue(
        RedisPlace(settings.engine_url),
        limit=limit,
        per_user=per_user,
        unseen_s=settings.idempotency_ttl_s / 2,
        worker=build_worker(settings, clock) if concurrency else None,
        clock=clock,
    )
