"""Quotas of the BullMQ queue: the jobs of each user, counted for all nodes together.

Beside BullMQ's own keys there is a sorted set of jobs for each user; entries that were never released expire. Knows keys
and scripts, not what is in a job.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from sse_push.events.errors import EngineUnavailable, OverLimit
from sse_push.service.group_chat.bullmq_client import BullMqClient
from sse_push.service.group_chat.jobs import QUEUE
from sse_push.service.group_chat.queue import MAX_JOB_AGE_S, RETRY_AFTER_S

# Reserve jobs for a user, all or none; returns the count before, or -1. ARGV: now, expiry, limit, then the ids.
_RESERVE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local before = redis.call('ZCARD', KEYS[1])
if before + #ARGV - 3 > tonumber(ARGV[3]) then return -1 end
for place = 4, #ARGV do redis.call('ZADD', KEYS[1], ARGV[2], ARGV[place]) end
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return before
"""
# Remove queued jobs, also those that wait for a retry; returns their ids.
_WITHDRAW = """
local withdrawn = {}
for _, id in ipairs(ARGV) do
    if redis.call('ZREM', KEYS[1], id) + redis.call('ZREM', KEYS[2], id) > 0 then
        redis.call('DEL', KEYS[3] .. id)
        redis.call('ZREM', KEYS[4], id)
        withdrawn[#withdrawn + 1] = id
    end
end
return withdrawn
"""


class UserQuotas:
    """Counts the jobs of each user; *per_user* is the limit."""

    def __init__(self, client: BullMqClient, per_user: int, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._per_user = per_user
        self._clock = clock

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        """As :meth:`sse_push.service.group_chat.queue.JobQueue.reserve`."""
        if not job_ids:
            return 0
        now = round(self._clock() * 1000)
        facts = now, now + round(MAX_JOB_AGE_S * 1000), self._per_user
        before = await self._run(_RESERVE, [self._key(user_id)], *facts, *job_ids)
        if before < 0:
            raise OverLimit("ai_jobs", RETRY_AFTER_S)
        return int(before)

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        """As :meth:`sse_push.service.group_chat.queue.JobQueue.release`."""
        if job_ids:
            with suppress(*self._client.errors):
                await self._client.client().zrem(self._key(user_id), *job_ids)

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> list[str]:
        """As :meth:`sse_push.service.group_chat.queue.JobQueue.withdraw`."""
        if not job_ids:
            return []
        prioritized, delayed, jobs = [
            self._client.key(QUEUE, name) for name in ("prioritized", "delayed", "")
        ]
        withdrawn: list[str] = await self._run(
            _WITHDRAW, [prioritized, delayed, jobs, self._key(user_id)], *job_ids
        )
        return withdrawn

    def _key(self, user_id: str) -> str:
        return self._client.key(QUEUE, f"user:{user_id}")

    async def _run(self, script: str, keys: Sequence[str], *arguments: object) -> Any:
        try:
            return await self._client.client().eval(script, len(keys), *keys, *arguments)
        except self._client.errors as error:
            raise EngineUnavailable("the queue can't be reached now") from error
