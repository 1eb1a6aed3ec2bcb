"""Builds group chat from the settings."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sse_push.events.engines.base import Engine
from sse_push.events.pipeline import Pipeline
from sse_push.events.router import Router
from sse_push.service.database import Database
from sse_push.service.group_chat.experience import Experience
from sse_push.service.group_chat.local_queue import LocalQueue
from sse_push.service.group_chat.model import ChatModel
from sse_push.service.group_chat.personas import Personas, load_personas
from sse_push.service.group_chat.queue import JobQueue
from sse_push.service.group_chat.responder import Responder
from sse_push.service.group_chat.rooms import Rooms
from sse_push.service.group_chat.turns import GroupChat
from sse_push.service.settings import PREFIX, BadSettings, Settings

if TYPE_CHECKING:
    from sse_push.service.group_chat.bullmq_worker import BullMqWorker


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
        charge: Called with the user who asked and the size in bytes of each published answer.

    Raises:
        BadSettings: The personas can't be read, or need a model and none is set.
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


def build_responder(settings: Settings, clock: Callable[[], float] = time.time) -> Responder:
    """The responder of this process."""
    model = None
    if settings.asks_a_model:
        model = ChatModel(
            base_url=settings.ai_base_url,
            key=settings.ai_api_key.get_secret_value(),
            model=settings.ai_model,
            timeout=settings.ai_timeout_s,
        )
    return Responder(model, cache_s=settings.ai_cache_s, clock=clock)


def personas_of(settings: Settings) -> Personas:
    """The personas of the settings.

    Raises:
        BadSettings: They can't be read, or need a model and none is set.
    """
    personas = load_personas(settings.personas_file)
    if settings.asks_a_model and not settings.ai_model and (names := personas.names_without_model()):
        raise BadSettings(f"{PREFIX}AI_MODEL: must be set, because {', '.join(names)} names no model")
    return personas


def build_worker(settings: Settings, clock: Callable[[], float] = time.time) -> "BullMqWorker":
    """A worker on the Redis of the settings."""
    from sse_push.service.group_chat.bullmq_client import BullMqClient
    from sse_push.service.group_chat.bullmq_worker import BullMqWorker

    return BullMqWorker(
        BullMqClient(settings.engine_url),
        build_responder(settings, clock),
        concurrency=max(1, settings.ai_worker_concurrency),
        lock_s=settings.ai_job_lock_s,
        clock=clock,
    )


def _queue(settings: Settings, clock: Callable[[], float]) -> JobQueue:
    limit, per_user = settings.max_queued_jobs, settings.ai_jobs_per_user
    concurrency = settings.ai_worker_concurrency
    if not settings.on_redis:
        responder = build_responder(settings, clock)
        return LocalQueue(responder, concurrency=concurrency, limit=limit, per_user=per_user, clock=clock)
    from sse_push.service.group_chat.bullmq_client import BullMqClient
    from sse_push.service.group_chat.bullmq_queue import BullMqQueue

    return BullMqQueue(
        BullMqClient(settings.engine_url),
        limit=limit,
        per_user=per_user,
        max_result_age_s=settings.idempotency_ttl_s / 2,
        worker=build_worker(settings, clock) if concurrency else None,
        clock=clock,
    )
