"""Several nodes on one Redis: nothing acknowledged is lost, repeated or out of order, whatever fails between them."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.e2e.client import ADMIN, demo
from tests.e2e.cluster import Cluster
from tests.e2e.follower import Follower
from tests.e2e.publishers import SEED, USERS, Publishers, check_whole, is_end
from tests.e2e.stream import Stream
from tests.process import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

SOME = 100  # events published before and after each trouble


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path_factory.mktemp("cluster"), 3) as cluster:
        yield cluster
        assert cluster.complaints == []


async def nodes_are_terminated_and_killed(cluster: Cluster) -> None:
    first, second, _ = cluster.nodes
    assert await first.terminate() == 0
    await second.kill()
    await asyncio.gather(first.start(), second.start())


async def redis_is_killed(cluster: Cluster) -> None:
    cluster.redis.kill()
    await asyncio.gather(*(cluster.says(node, 503) for node in cluster.nodes))
    cluster.redis.start(aof=True)


async def redis_is_paused_for_long(cluster: Cluster) -> None:
    cluster.redis.pause()
    await asyncio.gather(*(cluster.says(node, 503) for node in cluster.nodes))
    cluster.redis.resume()


async def connections_are_stalled_for_a_moment(cluster: Cluster) -> None:
    cluster.proxies[1].stall()
    async with await Stream.open(cluster.nodes[1], "/custom/stream", "") as stream:
        await stream.chunk()
        assert await stream.chunk()  # it lives meanwhile
    cluster.proxies[1].go_on()


async def redis_is_killed_together_with_a_node(cluster: Cluster) -> None:
    cluster.redis.kill()
    await cluster.nodes[2].kill()
    cluster.redis.start(aof=True)
    await cluster.nodes[2].start()


async def connections_are_cut(cluster: Cluster) -> None:
    for proxy in cluster.proxies:
        proxy.cut()
        await eventually(lambda proxy=proxy: proxy.connections >= 2, "it connects again")


async def connections_are_refused_for_a_while(cluster: Cluster) -> None:
    await cluster.proxies[0].refuse()
    await cluster.says(cluster.nodes[0], 503)
    await cluster.proxies[0].start()


async def subscribers_are_killed(cluster: Cluster) -> None:
    assert cluster.redis.call("CLIENT", "KILL", "TYPE", "pubsub") >= len(cluster.nodes)


NODES_FAIL = [nodes_are_terminated_and_killed, redis_is_killed_together_with_a_node]
REDIS_FAILS = [
    redis_is_killed,
    redis_is_paused_for_long,
    connections_are_cut,
    connections_are_stalled_for_a_moment,
    connections_are_refused_for_a_while,
    subscribers_are_killed,
]


@pytest.mark.parametrize("trouble", [*NODES_FAIL, *REDIS_FAILS], ids=lambda trouble: trouble.__name__)
async def test_streams_get_every_event_once_and_in_order_while(
    cluster: Cluster, trouble: Callable[[Cluster], Awaitable[None]]
) -> None:
    await cluster.ready()
    follows = [
        *((user, "/v1/app/sse", demo(user)) for user in USERS[:3]),
        (None, "/v1/app/sse", ADMIN),
        (USERS[1], "/v1/stream?topics=app,notifications", demo(USERS[1])),
    ]
    # These break off and come back anywhere; those stay, each on a node of its own.
    wandering = [
        Follower(cluster, target, token, random.Random(SEED + index))
        for index, (_, target, token) in enumerate(follows)
    ]
    staying = [Follower(node, "/v1/app/sse", ADMIN) for node in cluster.nodes]
    publishers = Publishers(cluster.api, cluster)
    async with asyncio.TaskGroup() as group:
        for follower in [*wandering, *staying]:
            group.create_task(follower.follow(is_end))
        for follower in [*wandering, *staying]:
            await follower.started.wait()
        publishing = [group.create_task(publishers.run(f"p{index}", retries=index > 0)) for index in range(3)]
        await publishers.promised_another(SOME)
        await trouble(cluster)
        await cluster.ready()
        await publishers.promised_another(SOME)
        await publishers.finish(publishing)
    for (user, _, _), follower in zip(follows, wandering, strict=True):
        assert follower.connects > 1, "it did not break off"
        check_whole(follower.frames, user, publishers)
    for follower in staying:
        check_whole(follower.frames, None, publishers)
        if trouble in REDIS_FAILS:
            assert follower.connects == 1, "an open stream did not stay open"
