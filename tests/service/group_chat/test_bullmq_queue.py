"""BullMQ's queue on a real Redis: what happens to answers when nodes and workers die and Redis goes away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.group_chat import bullmq_queue
from sse_push.service.group_chat.bullmq_client import BullMqClient, cancel_all, split_url
from sse_push.service.group_chat.bullmq_queue import BullMqQueue
from sse_push.service.group_chat.bullmq_worker import BullMqWorker
from sse_push.service.group_chat.jobs import QUEUE, Job, Result
from sse_push.service.group_chat.queue import Outcome
from tests.conftest import DEADLINE_S, until
from tests.redis_server import RedisServer
from tests.service.group_chat.fakes import Oracle, Seen, job

Open = Callable[..., Awaitable[BullMqQueue]]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other nodes look after answers at once, not after seconds."""
    monkeypatch.setattr(bullmq_queue, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(bullmq_queue, "OWN_NODE_FIRST_S", 0.0)


@pytest.fixture
async def node(redis_server: RedisServer) -> AsyncIterator[Open]:
    """Opens a node's queue; with an oracle a worker of its own too."""
    opened: list[BullMqQueue] = []

    async def opening(
        seen: Seen,
        oracle: Oracle | None = None,
        max_result_age_s: float = 300,
        lock_s: float = 5,
        concurrency: int = 2,
    ) -> BullMqQueue:
        worker = oracle and BullMqWorker(
            BullMqClient(redis_server.url), oracle, concurrency=concurrency, lock_s=lock_s
        )
        opened.append(
            BullMqQueue(
                BullMqClient(redis_server.url),
                limit=10,
                per_user=10,
                max_result_age_s=max_result_age_s,
                worker=worker,
            )
        )
        await opened[-1].start(seen)
        return opened[-1]

    yield opening
    for queue in opened:
        await queue.close()


async def counts(queue: BullMqQueue) -> dict[str, int]:
    found = await queue._queue.getJobCounts("wait", "active", "completed", "failed")
    return {state: count for state, count in found.items() if count}


async def until_empty(queue: BullMqQueue) -> None:
    """Wait until no job is left. Each look is a round trip, which waits for nothing else."""
    async with asyncio.timeout(DEADLINE_S):
        while await counts(queue):
            pass


def lost_in(logged: list[dict[str, Any]]) -> set[tuple[str, str]]:
    names = ("group_chat.answer_lost", "group_chat.award_lost", "group_chat.foreign_job_removed")
    return {(line["event"], line["job"]) for line in logged if line["event"] in names}


@pytest.mark.parametrize("outcome", [Outcome.NOT_PUBLISHED, Outcome.NOT_AWARDED])
async def test_answer_is_kept_until_it_was_seen_to(node: Open, soon: None, outcome: Outcome) -> None:
    seen = Seen()
    seen.outcome = outcome
    queue = await node(seen, Oracle())

    await queue.add([job(at=time.time())])
    await until(lambda: len(seen.results.get("turn-1", [])) >= 3)
    assert await counts(queue) == {"completed": 1}
    seen.outcome = Outcome.COMPLETE

    await until_empty(queue)


async def test_answer_of_a_dead_node_is_seen_to_by_another(node: Open, soon: None) -> None:
    dead, alive = Seen(), Seen()
    first = await node(dead)
    await first.add([job("to the room", at=time.time())])
    await first.close()  # and never comes back

    second = await node(alive, Oracle())
    await until(lambda: alive.results)

    assert alive.results == {"turn-1": ["to the room"]}
    assert dead.results == {}
    await until(lambda: not second._delivering)
    assert await counts(second) == {}


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (Outcome.NOT_PUBLISHED, "group_chat.answer_lost"),
        (Outcome.NOT_AWARDED, "group_chat.award_lost"),  # the room has it: no answer was lost
    ],
)
async def test_what_nobody_could_see_to_is_given_up_and_named(
    node: Open, soon: None, logged: list[dict[str, Any]], outcome: Outcome, event: str
) -> None:
    seen = Seen()
    seen.outcome = outcome
    queue = await node(seen, Oracle(), max_result_age_s=0.2)

    await queue.add([job(at=time.time())])
    await until(lambda: lost_in(logged))
    await until_empty(queue)

    assert seen.results["turn-1"]
    assert lost_in(logged) == {(event, "turn-1")}


async def test_job_that_another_node_has_seen_to_meanwhile_is_not_called_lost(
    node: Open, soon: None, logged: list[dict[str, Any]]
) -> None:
    """Between a sweep's list of jobs and its look at each, anybody may take one out of the queue."""
    queue = await node(Seen())

    await queue._sweep_one("taken-1", time.time())

    assert lost_in(logged) == set()


@pytest.mark.parametrize("reached", [True, False])
async def test_answer_that_its_room_has_is_not_called_lost(
    node: Open, logged: list[dict[str, Any]], reached: bool
) -> None:
    """Its node published it and died, or lost Redis, before it could take it out of the queue."""

    async def has_answer(job: Job, result: Result) -> bool:
        return reached and (job.id, result.content) == ("turn-1", "hello")

    seen = Seen()
    seen.outcome = Outcome.NOT_PUBLISHED
    queue = await node(seen, Oracle(), max_result_age_s=0.0)
    queue._is_published = has_answer
    await queue.add([job(at=time.time() - 1)])
    await until(lambda: seen.results)

    await queue._sweep_one("turn-1", time.time() + 1)

    assert lost_in(logged) == (set() if reached else {("group_chat.answer_lost", "turn-1")})
    assert await counts(queue) == {}


async def test_answer_that_two_nodes_give_up_is_called_lost_once(
    node: Open, logged: list[dict[str, Any]]
) -> None:
    seen = Seen()
    seen.outcome = Outcome.NOT_PUBLISHED
    one, other = await node(seen, Oracle(), max_result_age_s=0.0), await node(seen, max_result_age_s=0.0)
    await one.add([job(at=time.time() - 1)])
    await until(lambda: seen.results)

    later = time.time() + 1
    await asyncio.gather(one._sweep_one("turn-1", later), other._sweep_one("turn-1", later))

    assert [line["event"] for line in logged].count("group_chat.answer_lost") == 1


@pytest.mark.parametrize("given", ['"text"', "{}", '{"content": ""}', '{"content": 7}', "null"])
async def test_what_is_no_result_counts_as_none(node: Open, redis_server: RedisServer, given: str) -> None:
    seen = Seen()
    queue = await node(seen)
    await queue.add([job(at=time.time())])

    # A worker of somebody else's, with a mind of its own.
    await queue._client.client().xadd(
        f"bull:{QUEUE}:events", {"event": "completed", "jobId": "turn-1", "returnvalue": given}
    )
    await until(lambda: seen.results)

    assert seen.results == {"turn-1": [None]}


@pytest.mark.parametrize("given", ["text", {}, {"content": ""}, {"content": 7}, None, ["a"]])
async def test_job_done_with_what_is_no_result_is_told_once_and_put_away(
    node: Open, redis_server: RedisServer, soon: None, given: object
) -> None:
    """Not only by the queue's events: the node of the job may be dead, and another sweeps."""
    asker, sweeper = Seen(), Seen()
    first = await node(asker)
    await first.add([job(at=time.time())])
    await first.close()
    queue = await node(sweeper)

    async def answer(job: Any, token: str) -> object:
        return given

    foreign = queue._client.worker(QUEUE, answer, {})
    running = asyncio.get_running_loop().create_task(foreign.run())
    await until(lambda: sweeper.results)

    async def put_away() -> bool:
        return await counts(queue) == {}

    for _ in range(1000):
        if await put_away():
            break
    assert await put_away()
    assert (asker.results, sweeper.results) == ({}, {"turn-1": [None]})
    await foreign.close(force=True)
    await cancel_all([running])


async def test_rubbish_among_what_is_done_keeps_no_answer_from_being_seen_to(
    node: Open, soon: None, logged: list[dict[str, Any]]
) -> None:
    asker, sweeper = Seen(), Seen()
    first = await node(asker)
    await first.add([job("to the room", at=time.time())])
    client, key = first._client.client(), f"bull:{QUEUE}"
    now = time.time() * 1000  # or BullMQ itself would find them too old
    await client.zadd(f"{key}:completed", {"ghost": now, "broken": now, "strange": now})
    await client.hset(f"{key}:broken", mapping={"data": "{not json", "finishedOn": "1"})
    await client.hset(f"{key}:strange", mapping={"data": "[]", "finishedOn": "soon"})
    await client.xadd(f"{key}:events", {"event": "completed"})
    await client.xadd(f"{key}:events", {"rubbish": "x"})
    await first.close()

    queue = await node(sweeper, Oracle())
    await until(lambda: sweeper.results)

    async def left() -> list[str]:
        found: list[str] = await queue._client.client().zrange(f"{key}:completed", 0, -1)
        return found

    for _ in range(1000):
        if not await left():
            break
    assert (sweeper.results, await left()) == ({"turn-1": ["to the room"]}, [])
    names = {"broken", "ghost", "strange"}
    # The first node may have begun with one of them.
    assert lost_in(logged) == {("group_chat.foreign_job_removed", name) for name in names}


async def test_stranger_in_the_queue_is_thrown_out(
    node: Open, soon: None, logged: list[dict[str, Any]]
) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await node(seen, oracle)

    await queue._queue.add("answer", {"version": 2}, {"jobId": "stranger"})

    async def failed() -> int:
        return (await counts(queue)).get("failed", 0)

    for _ in range(1000):
        if await failed():
            break
    assert await failed() == 1 and oracle.asked == [] and seen.results == {}


async def test_job_of_a_worker_that_fell_silent_goes_to_another(
    node: Open, redis_server: RedisServer
) -> None:
    seen, silent, next_one = Seen(), Oracle(), Oracle()
    queue = await node(seen, silent, lock_s=1, concurrency=1)
    await queue.add([job("wait", at=time.time())])
    await until(lambda: silent.at_once == 1)

    assert queue._worker is not None
    await queue._worker._worker.lockManager.close()  # no more signs of life: it hangs
    queue._worker._worker.stalledCheckTimer.stop()
    next_one.release.set()
    await node(Seen(), next_one, lock_s=1)
    await until(lambda: seen.results)

    assert (seen.results, next_one.asked) == ({"turn-1": ["wait"]}, ["wait"])
    silent.release.set()


async def test_redis_that_was_away_is_used_again(node: Open, redis_server: RedisServer, soon: None) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await node(seen, oracle)
    await queue.add([job("before", turn="a", at=time.time())])
    await until(lambda: "a-1" in seen.results)

    redis_server.kill()
    with pytest.raises(EngineUnavailable):
        await queue.add([job("meanwhile", turn="b", at=time.time())])
    redis_server.start()
    await queue.add([job("after", turn="c", at=time.time())])
    await until(lambda: "c-1" in seen.results, 20)

    assert seen.results == {"a-1": ["before"], "c-1": ["after"]}


def test_url_of_the_engine_names_the_queues_prefix() -> None:
    assert split_url("redis://h:1/0") == ("redis://h:1/0", "bull")
    assert split_url("redis://u:p@h:1/0?prefix=mine") == ("redis://u:p@h:1/0", "mine")
    assert split_url("unix:///run/redis.sock?db=2&prefix=mine") == ("unix:///run/redis.sock?db=2", "mine")
