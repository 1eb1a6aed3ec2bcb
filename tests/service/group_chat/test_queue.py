"""What both kinds of queue promise: in this process, and BullMQ's on a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from sse_push.events.errors import OverLimit, Overloaded
from sse_push.service.group_chat import queue as queue_module
from sse_push.service.group_chat.bullmq_client import BullMqClient
from sse_push.service.group_chat.bullmq_queue import BullMqQueue
from sse_push.service.group_chat.bullmq_worker import BullMqWorker
from sse_push.service.group_chat.jobs import Job
from sse_push.service.group_chat.local_queue import LocalQueue
from sse_push.service.group_chat.queue import ATTEMPTS, MAX_JOB_AGE_S, RETRY_DELAY_S, JobQueue, Outcome
from tests.conftest import DEADLINE_S, until
from tests.events.fakes import Clock
from tests.redis_server import RedisServer
from tests.service.group_chat.fakes import Oracle, Seen, job

Open = Callable[..., Awaitable[JobQueue]]
NOW = time.time()


@pytest.fixture(params=["local", "bull"])
async def open_queue(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens a queue, with a worker that asks *oracle*."""
    opened: list[JobQueue] = []
    server: RedisServer | None = None
    if request.param == "bull":
        server = request.getfixturevalue("redis_server")

    async def opening(
        oracle: Oracle, seen: Seen, *, concurrency: int = 2, limit: int = 10, per_user: int = 10
    ) -> JobQueue:
        queue: JobQueue
        if server is None:
            queue = LocalQueue(oracle, concurrency=concurrency, limit=limit, per_user=per_user)
        else:
            worker = BullMqWorker(BullMqClient(server.url), oracle, concurrency=concurrency, lock_s=5)
            queue = BullMqQueue(
                BullMqClient(server.url),
                limit=limit,
                per_user=per_user,
                max_result_age_s=300,
                worker=worker if concurrency else None,
            )
        opened.append(queue)
        await queue.start(seen)
        return queue

    yield opening
    for queue in opened:
        await queue.close()


async def test_job_is_answered_and_told_once(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen)

    await queue.add([job("one", persona=1, at=NOW), job("two", persona=2, at=NOW)])
    await until(lambda: len(seen.results) == 2)

    assert seen.results == {"turn-1": ["one"], "turn-2": ["two"]}
    assert sorted(oracle.asked) == ["one", "two"]


async def test_so_many_jobs_are_done_at_once_and_no_more(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen, concurrency=2)

    await queue.add([job("wait", turn=f"turn{number}", at=NOW) for number in range(5)])
    await until(lambda: oracle.at_once == 2)
    oracle.release.set()
    await until(lambda: len(seen.results) == 5)

    assert oracle.most_at_once == 2


async def test_job_that_fails_is_tried_again_and_then_told(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen)

    await queue.add([job("fail", persona=1, at=NOW), job("fine", persona=2, at=NOW)])
    await until(lambda: len(seen.results) == 2)

    assert seen.results == {"turn-1": [None], "turn-2": ["fine"]}
    assert oracle.asked.count("fail") == ATTEMPTS


async def test_job_that_makes_the_worker_stumble_is_told_as_failed(open_queue: Open) -> None:
    seen = Seen()
    queue = await open_queue(Oracle(), seen, concurrency=1)

    with capture_logs() as logs:
        await queue.add([job("crash", persona=1, at=NOW), job("fine", persona=2, at=NOW)])
        await until(lambda: len(seen.results) == 2)

    assert seen.results == {"turn-1": [None], "turn-2": ["fine"]}
    assert [log["job"] for log in logs if log["event"] == "group_chat.job_unhandled_error"] == [
        "turn-1"
    ] * ATTEMPTS


async def test_job_that_nobody_waits_for_any_more_is_not_asked(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen)

    await queue.add([job(at=NOW - MAX_JOB_AGE_S - 1)])
    await until(lambda: seen.results)

    assert (seen.results, oracle.asked) == ({"turn-1": [None]}, [])


async def test_full_queue_takes_all_of_a_turn_or_nothing(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen, concurrency=0, limit=3)
    await queue.add([job(turn="first", persona=1, at=NOW), job(turn="first", persona=2, at=NOW)])

    with pytest.raises(Overloaded):
        await queue.add([job(turn="second", persona=1, at=NOW), job(turn="second", persona=2, at=NOW)])

    await queue.add([job(turn="third", at=NOW)])
    assert seen.results == {}


async def add(queue: JobQueue, jobs: list[Job]) -> None:
    """As a turn does."""
    rank = await queue.reserve(jobs[0].user_id, [job.id for job in jobs])
    await queue.add(jobs, rank)


async def test_users_are_served_in_turn_however_much_each_has_asked(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen, concurrency=1)
    await add(queue, [job("wait", turn="first", user="0", at=NOW)])
    await until(lambda: oracle.at_once == 1)

    for turn in range(3):
        await add(queue, [job("much", turn=f"much{turn}", persona=n, user="1", at=NOW) for n in (1, 2)])
    await add(queue, [job("little", turn="little", user="2", at=NOW)])
    await add(queue, [job("some", turn="some", persona=n, user="3", at=NOW) for n in (1, 2)])
    oracle.release.set()
    await until(lambda: len(seen.results) == 10)

    assert oracle.asked[1:] == ["much", "little", "some", "much", "some", "much", "much", "much", "much"]


async def test_user_waits_for_so_many_answers_and_no_more(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen, concurrency=1, per_user=3)
    await add(queue, [job("wait", turn="first", persona=n, at=NOW) for n in (1, 2)])

    with pytest.raises(OverLimit) as refused:
        await queue.reserve("42", ["second-1", "second-2"])
    assert await queue.reserve("42", ["third-1"]) == 2
    assert await queue.reserve("43", ["other-1", "other-2"]) == 0
    await queue.release("42", ["third-1"])
    oracle.release.set()
    await until(lambda: len(seen.results) == 2)

    assert (refused.value.limit, refused.value.retry_after > 0) == ("ai_jobs", True)
    assert seen.results == {"first-1": ["wait"], "first-2": ["wait"]}

    async def freed() -> bool:
        """What was answered counts no more."""
        rank = await queue.reserve("42", ["fourth-1"])
        await queue.release("42", ["fourth-1"])
        return rank == 0

    while not await freed():
        await asyncio.sleep(0)


async def test_jobs_that_nobody_has_begun_are_withdrawn_and_never_asked(open_queue: Open) -> None:
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen, concurrency=1, per_user=3)
    await add(queue, [job("wait", persona=n, at=NOW) for n in (1, 2, 3)])
    await until(lambda: oracle.at_once == 1)
    await add(queue, [job("another's", turn="other", user="43", at=NOW)])

    withdrawn = await queue.withdraw("42", ["turn-1", "turn-2", "turn-3", "turn-4"])
    again = await queue.withdraw("42", ["turn-2", "turn-3"])
    rank = await queue.reserve("42", ["later-1"])
    oracle.release.set()
    await until(lambda: len(seen.results) == 2)

    assert (sorted(withdrawn), [*again], rank) == (["turn-2", "turn-3"], [], 1)
    assert oracle.asked == ["wait", "another's"]
    assert seen.results == {"turn-1": ["wait"], "other-1": ["another's"]}


async def test_job_that_failed_is_withdrawn_before_its_next_try(
    open_queue: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "RETRY_DELAY_S", 1000.0)  # the test need not be in time
    oracle, seen = Oracle(), Seen()
    queue = await open_queue(oracle, seen, concurrency=1)
    await add(queue, [job("fail", at=NOW)])
    await until(lambda: oracle.asked)

    async with asyncio.timeout(DEADLINE_S):
        while not (withdrawn := await queue.withdraw("42", ["turn-1"])):
            await asyncio.sleep(0)

    assert [*withdrawn] == ["turn-1"]
    assert await queue.withdraw("42", ["turn-1"]) == []
    assert await queue.reserve("42", ["later-1"]) == 0
    assert (oracle.asked, seen.results) == (["fail"], {})


async def test_worker_goes_on_when_the_job_it_was_to_try_again_is_withdrawn() -> None:
    oracle, seen = Oracle(), Seen()
    pausing, go_on = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        pausing.set()
        await go_on.wait()

    queue = LocalQueue(oracle, concurrency=1, limit=10, per_user=10, sleep=sleep)
    await queue.start(seen)
    await add(queue, [job("fail", persona=1, at=NOW), job("fine", persona=2, at=NOW)])
    await pausing.wait()

    assert await queue.withdraw("42", ["turn-1"]) == ["turn-1"]
    go_on.set()
    await until(lambda: seen.results)
    await queue.close()

    assert (oracle.asked, seen.results) == (["fail", "fine"], {"turn-2": ["fine"]})


async def test_answer_that_waits_to_be_seen_to_is_not_withdrawn(redis_server: RedisServer) -> None:
    seen = Seen()
    seen.outcome = Outcome.NOT_PUBLISHED
    worker = BullMqWorker(BullMqClient(redis_server.url), Oracle(), concurrency=1, lock_s=5)
    queue = BullMqQueue(
        BullMqClient(redis_server.url), limit=9, per_user=9, max_result_age_s=300, worker=worker
    )
    await queue.start(seen)
    await add(queue, [job("done", at=NOW)])
    await until(lambda: seen.results)

    assert await queue.withdraw("42", ["turn-1"]) == []
    assert await queue._queue.getJobCounts("completed") == {"completed": 1}
    await queue.close()


async def test_nodes_count_a_user_together_and_forget_what_a_dead_one_left(redis_server: RedisServer) -> None:
    clock = Clock(NOW)

    async def node() -> BullMqQueue:
        queue = BullMqQueue(
            BullMqClient(redis_server.url),
            limit=9,
            per_user=3,
            max_result_age_s=300,
            worker=None,
            clock=clock,
        )
        await queue.start(Seen())
        return queue

    one, other = await node(), await node()
    await one.reserve("42", ["a-1", "a-2"])
    await one.close()  # and never releases them

    with pytest.raises(OverLimit):
        await other.reserve("42", ["b-1", "b-2"])
    clock.now += MAX_JOB_AGE_S + 1
    assert await other.reserve("42", ["b-1", "b-2"]) == 0
    await other.close()


async def test_job_that_fails_waits_a_little_before_it_is_tried_again() -> None:
    oracle, seen, clock = Oracle(), Seen(), Clock(NOW)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now += seconds

    queue = LocalQueue(oracle, concurrency=1, limit=100, per_user=100, clock=clock, sleep=sleep)
    await queue.start(seen)
    await queue.add([job("fail", turn=f"turn{number}", at=NOW) for number in range(20)])
    await until(lambda: len(seen.results) == 20)
    await queue.close()

    assert len(pauses) == 20 * (ATTEMPTS - 1)
    assert all(RETRY_DELAY_S / 2 <= retry_delay <= RETRY_DELAY_S * 3 / 2 for retry_delay in pauses)
    assert len(set(pauses)) > 1, "they do not come back together"


async def test_job_that_grows_too_old_while_it_waits_is_not_tried_again() -> None:
    oracle, seen, clock = Oracle(), Seen(), Clock(NOW)

    async def oversleep(seconds: float) -> None:
        clock.now += MAX_JOB_AGE_S + 1

    queue = LocalQueue(oracle, concurrency=1, limit=10, per_user=10, clock=clock, sleep=oversleep)
    await queue.start(seen)
    await queue.add([job("fail", at=NOW)])
    await until(lambda: seen.results)
    await queue.close()

    assert (seen.results, oracle.asked) == ({"turn-1": [None]}, ["fail"])


async def test_pause_goes_with_each_job_of_the_queue_on_redis(redis_server: RedisServer) -> None:
    queue = BullMqQueue(
        BullMqClient(redis_server.url), limit=100, per_user=100, max_result_age_s=300, worker=None
    )
    await queue.start(Seen())
    await queue.add([job("fail", turn=f"turn{number}", at=NOW) for number in range(20)])
    delays = [kept.opts["backoff"]["delay"] for kept in await queue._queue.getJobs(["prioritized"])]
    await queue.close()

    assert len(delays) == 20 and len(set(delays)) > 1
    assert all(RETRY_DELAY_S * 500 <= delay <= RETRY_DELAY_S * 1500 for delay in delays)
