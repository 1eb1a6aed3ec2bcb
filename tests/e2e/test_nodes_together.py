"""Nodes that act as one: who is connected, whose key it was, what a node pays, and what all say while Redis is away."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import ADMIN, SERVICE, demo
from tests.e2e.cluster import Cluster
from tests.e2e.stream import Frame, Stream
from tests.process import ServerProcess, eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

TARGET = "https://shop.example.com/checkout"
HEARTBEAT = b": hb\n\n"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    async with Cluster(
        folder, 2, redirect_origins="https://shop.example.com", custom_interval_s=0.2
    ) as cluster:
        yield cluster
        assert cluster.complaints == []


async def redirect(cluster: Cluster, node: ServerProcess, client: str) -> str:
    """What became of a redirect of *client* that *node* was asked for: ``sent``, or the type of the error."""
    given = {"method": "redirectClient", "params": {"input": {"clientId": client, "url": TARGET}}}
    status, answer = await cluster.api.call(node, "PUT", "/functions", given)
    assert status == 200
    return answer["error"]["type"] if "error" in answer else "sent"


async def connected(cluster: Cluster, node: ServerProcess, client: str) -> Stream:
    """A client's stream on *node*, that can be sent to."""
    stream = await Stream.open(node, f"/sse/connect?clientId={client}", demo(client))
    while (frame := await stream.frame()) is None or not frame.id:
        pass
    return stream


async def placed(stream: Stream) -> Frame:
    """The frame by which *stream* has a place to resume from."""
    while True:
        frame = await stream.frame()
        assert frame is not None
        if frame.id:
            return frame


def is_closed(node: ServerProcess, user: str) -> Any:
    return node.logged("stream.closed", user=user)


async def test_client_is_connected_while_a_node_holds_its_stream(cluster: Cluster) -> None:
    here, there = cluster.nodes
    assert await redirect(cluster, here, "c1") == "CLIENT_NOT_CONNECTED"
    streams = [await connected(cluster, node, "c1") for node in cluster.nodes]
    for node in cluster.nodes:
        assert await redirect(cluster, node, "c1") == "sent"
    for stream in streams:
        assert [frame.json["url"] for frame in await stream.events(2)] == [TARGET] * 2

    streams[0].close()
    await eventually(lambda: is_closed(here, "c1"), "the first is closed")
    assert [await redirect(cluster, node, "c1") for node in cluster.nodes] == ["sent", "sent"]
    streams[1].close()
    await eventually(lambda: is_closed(there, "c1"), "the second is closed")
    # Asked at once, where it was and where it was not.
    assert [await redirect(cluster, node, "c1") for node in reversed(cluster.nodes)] == [
        "CLIENT_NOT_CONNECTED"
    ] * 2


async def test_client_is_gone_with_the_node_that_held_its_stream(cluster: Cluster) -> None:
    here, there = cluster.nodes
    stream = await connected(cluster, there, "c2")
    assert await redirect(cluster, here, "c2") == "sent"
    await there.kill()
    stream.close()
    assert await redirect(cluster, here, "c2") == "CLIENT_NOT_CONNECTED"
    await there.start()


async def test_client_is_gone_when_its_node_has_lost_a_connection_without_a_word(cluster: Cluster) -> None:
    """The server still thinks that the old connection listens: the node that is back ends it."""
    here, there = cluster.nodes
    stream = await connected(cluster, there, "c3")
    cluster.proxies[1].strand()
    await cluster.says(there, 503)
    await cluster.says(there, 200)
    assert await redirect(cluster, here, "c3") == "sent"
    stream.close()
    await eventually(lambda: is_closed(there, "c3"), "the stream is closed")
    assert await redirect(cluster, here, "c3") == "CLIENT_NOT_CONNECTED"


async def test_key_is_known_on_every_node(cluster: Cluster) -> None:
    event = {"userId": "42", "data": "once", "key": "order-7"}
    ids = {await cluster.api.publish(node, event) for node in cluster.nodes * 2}
    assert len(ids) == 1
    other = await cluster.api.publish(cluster.nodes[1], event, demo("another", "service"))
    assert other not in ids, "two callers' keys met"


async def test_node_takes_from_redis_only_what_somebody_there_listens_to(cluster: Cluster) -> None:
    here, there = cluster.nodes
    async with await Stream.open(there, "/v1/app/sse", demo("ann")) as stream:
        await placed(stream)
        before = cluster.proxies[1].from_server
        ids = await cluster.api.publish(here, [{"userId": "bob", "data": "x" * 1000}] * 200)
        last = await cluster.api.publish(here, {"userId": "ann", "data": "y" * 1000})
        assert [frame.id for frame in await stream.events(1)] == [last]
        taken = cluster.proxies[1].from_server - before
    assert len(ids) == 200
    assert 1000 < taken < 20_000, "a node took what nobody there listens to"


async def test_many_topics_and_an_admins_stream_come_whole_from_both_nodes(cluster: Cluster) -> None:
    many = "/v1/stream?topics=app,notifications,realtime,chat:general,custom"
    async with (
        await Stream.open(cluster.nodes[0], many, demo("ann")) as topics,
        await Stream.open(cluster.nodes[1], "/v1/app/sse", ADMIN) as whole,
    ):
        await placed(topics)
        await placed(whole)
        events = [
            {"userId": "ann", "data": 1},
            {"topic": "notifications", "userIds": ["ann", "bob"], "data": 2},
            {"topic": "realtime", "broadcast": True, "data": {"entityType": "a", "entityId": "1"}},
            {"room": "general", "data": 4},
            {"userId": "bob", "data": 5},
            {"broadcast": True, "data": 6},
        ]
        ids = [
            await cluster.api.publish(cluster.nodes[index % 2], event) for index, event in enumerate(events)
        ]
        got = []
        while len(got) < 5:
            frame = await topics.event()
            if frame.id:  # /custom/stream's have none
                got.append(frame)
        assert [(frame.id, frame.event) for frame in got] == [
            (ids[0], "app"),
            (ids[1], "notifications"),
            (ids[2], "realtime"),
            (ids[3], "chat:general"),
            (ids[5], "app"),
        ]
        assert [frame.id for frame in await whole.events(3)] == [ids[0], ids[4], ids[5]]


async def test_entries_of_the_inbox_are_published_once_by_whichever_node(cluster: Cluster) -> None:
    streams = [await Stream.open(node, "/v1/app/sse", demo("ann")) for node in cluster.nodes]
    for stream in streams:
        await placed(stream)
    inbox = "{sse-push}:inbox"
    good = [{"userId": "ann", "data": number} for number in range(20)]
    bad = [{"topic": "system", "broadcast": True, "data": 1}, {"data": 1}]
    for event in [*good, *bad]:
        cluster.redis.call("XADD", inbox, "*", "event", json.dumps(event))
    for stream in streams:
        got = [frame.json for frame in await stream.events(len(good))]
        assert sorted(got) == [event["data"] for event in good]
        stream.close()
    await eventually(lambda: cluster.redis.call("XLEN", inbox) == 0, "the inbox is empty")
    refused = cluster.redis.call("XRANGE", f"{inbox}:refused", "-", "+")
    assert sorted(json.loads(fields[-1])["data"] for _, fields in refused) == [1, 1]
    await eventually(
        lambda: sum(len(node.logged("inbox.refused")) for node in cluster.nodes) == len(bad), "it is logged"
    )


async def test_nodes_say_that_redis_is_away_and_streams_stay_open(cluster: Cluster) -> None:
    async with await Stream.open(cluster.nodes[0], "/v1/app/sse", demo("ann")) as stream:
        await placed(stream)
        cluster.redis.kill()
        for node in cluster.nodes:
            await cluster.says(node, 503)
            assert (await cluster.api.call(node, "GET", "/healthz"))[0] == 200
            assert (await cluster.api.call(node, "GET", "/system/status"))[1]["status"] == "degraded"
            event = {"userId": "ann", "data": "x"}
            status, problem = await cluster.api.call(node, "POST", "/v1/events", event, SERVICE)
            assert (status, problem["status"]) == (503, 503)
            async with await Stream.open(node, "/v1/app/sse", demo("late")) as refused:
                assert refused.status == 503
                assert int(refused.headers["retry-after"]) > 0
        for _ in range(2):
            assert await stream.chunk() == HEARTBEAT
        cluster.redis.start(aof=True)
        await cluster.ready()
        id_ = await cluster.api.publish(cluster.nodes[1], {"userId": "ann", "data": "back"})
        assert (await stream.event()).id == id_


async def test_redis_that_comes_back_empty_is_told_to_every_stream(cluster: Cluster) -> None:
    streams = [await Stream.open(node, "/v1/app/sse", demo("ann")) for node in cluster.nodes]
    for stream in streams:
        await placed(stream)
    old = await cluster.api.publish(cluster.nodes[0], {"userId": "ann", "data": "before"})
    for stream in streams:
        assert (await stream.event()).id == old
    cluster.redis.stop()
    cluster.redis.start(aof=False)
    gaps = [await stream.event() for stream in streams]
    await cluster.ready()
    for node in cluster.nodes:
        late = await Stream.open(node, "/v1/app/sse", demo("ann"), last_id=old)
        streams.append(late)
        gaps.append(await late.event())
    for gap in gaps:
        assert gap.event == "sse.gap"
        assert gap.json == {"reason": "unknown", "requested": old, "resumed_from": None}
        assert gap.id is not None and gap.id.partition("-")[0] != old.partition("-")[0]
    new = await cluster.api.publish(cluster.nodes[1], {"userId": "ann", "data": "after"})
    for stream in streams:
        assert (await stream.event()).id == new
        stream.close()
    for gap in gaps:
        async with await Stream.open(cluster, "/v1/app/sse", demo("ann"), last_id=gap.id) as stream:
            assert (await stream.event()).id == new
