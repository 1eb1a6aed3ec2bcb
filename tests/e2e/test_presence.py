"""Presence over several nodes: it is right after each trouble, and nobody flickers who stayed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import combinations, count

import pytest
import pytest_asyncio

from sse_push.service.database import Database
from sse_push.service.tables import FriendshipRow, UserRow
from tests.e2e.client import demo
from tests.e2e.cluster import Cluster
from tests.e2e.watcher import Watcher
from tests.process import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_S = 3.0  # after which a dead node's users are offline
CROWDS, CROWD = 12, 6  # each test has a crowd of its own, in which everybody is everybody's friend


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("presence")
    url = f"sqlite:///{folder}/accounts.db"
    await fill(Database(url, folder))
    settings = {"presence_timeout_s": TIMEOUT_S, "presence_grace_s": 1, "presence_heartbeat_s": 0.6}
    async with Cluster(folder, 3, database_url=url, **settings) as cluster:
        yield cluster
        assert cluster.complaints == []


async def fill(database: Database) -> None:
    async with database.write() as session:
        for user in range(1, CROWDS * CROWD + 1):
            session.add(
                UserRow(id=user, email=str(user), name="", role="user", password_hash="-", created_at=0)
            )
        await session.flush()
        for first in range(1, CROWDS * CROWD, CROWD):
            for low, high in combinations(range(first, first + CROWD), 2):
                session.add(FriendshipRow(low_id=low, high_id=high, low_asked=True, high_asked=True))
    await database.close()


class Crowd:
    """Users of one test, and their streams, which are closed behind it."""

    def __init__(self, cluster: Cluster, first: int) -> None:
        self._cluster = cluster
        self._stack = AsyncExitStack()
        self.users = list(range(first, first + CROWD))

    async def open(self, user: int, node: int) -> Watcher:
        return await self._stack.enter_async_context(Watcher(self._cluster.nodes[node], user))

    async def close(self) -> None:
        await self._stack.aclose()

    async def see(self, watchers: list[Watcher], *online: int, within: float = 10.0) -> None:
        """Wait until each of *watchers* knows that just *online* are."""
        for watcher in watchers:
            wanted = set(online) - {watcher.user}
            await eventually(
                lambda watcher=watcher, wanted=wanted: watcher.online == wanted,
                f"{watcher.user} sees {wanted}", within,
            )  # fmt: skip


_first = count(1, CROWD)


@pytest_asyncio.fixture(loop_scope="module")
async def crowd(cluster: Cluster) -> AsyncIterator[Crowd]:
    await cluster.ready()
    crowd = Crowd(cluster, next(_first))
    yield crowd
    await crowd.close()


async def test_change_is_told_once_on_every_node(cluster: Cluster, crowd: Crowd) -> None:
    me, ben, cid, *_ = crowd.users
    watchers = [await crowd.open(me, node) for node in range(3)]
    tabs = [await crowd.open(ben, node) for node in range(2)]
    await crowd.see(watchers, ben)
    await tabs[0].close()
    other = await crowd.open(cid, 2)
    await crowd.see(watchers, ben, cid)
    await tabs[1].close()
    await crowd.see([*watchers, other], me, cid)
    assert [watcher.changes for watcher in watchers] == [[(ben, True), (cid, True), (ben, False)]] * 3
    assert watchers[0].friends[ben]["last_seen"].endswith("Z")
    await eventually(lambda: all(watcher.heartbeats for watcher in watchers), "hearts beat")


async def test_page_that_is_loaded_again_on_another_node_shows_no_flicker(crowd: Crowd) -> None:
    me, ben, cid, *_ = crowd.users
    watcher = await crowd.open(me, 0)
    for node in (0, 1, 2, 0, 1, 2):
        await (await crowd.open(ben, node)).close()
    await crowd.open(ben, 1)
    await crowd.open(cid, 1)
    await crowd.see([watcher], ben, cid)
    assert watcher.changes == [(ben, True), (cid, True)]


async def test_friendship_that_begins_is_told_on_every_node(cluster: Cluster, crowd: Crowd) -> None:
    me, ben, *_ = crowd.users
    one, other = await crowd.open(me, 0), await crowd.open(ben, 1)
    await crowd.see([one, other], me, ben)
    status, _ = await cluster.api.call(cluster.nodes[2], "DELETE", f"/api/friends/{ben}", token=demo(me))
    assert status == 204
    late = await crowd.open(me, 2)
    assert ben not in late.friends
    for user, friend in ((me, ben), (ben, me)):
        await cluster.api.call(cluster.nodes[2], "PUT", f"/api/friends/{friend}", token=demo(user))
    await crowd.see([late], ben)
    await eventually(lambda: other.changes[-1:] == [(me, True)], "both are told")


async def test_users_of_a_node_that_dies_are_offline_in_time_and_once(cluster: Cluster, crowd: Crowd) -> None:
    me, lost, elsewhere, returning, new, _ = crowd.users
    watchers = [await crowd.open(me, node) for node in range(2)]
    on_dead = [await crowd.open(user, 2) for user in (lost, elsewhere, returning)]
    await crowd.open(elsewhere, 0)
    await crowd.see(watchers, lost, elsewhere, returning)
    await cluster.nodes[2].kill()
    await crowd.open(returning, 1)  # at once, before the dead node's lease is over
    for watcher in on_dead:
        await watcher.close()
    await crowd.see(watchers, elsewhere, returning, within=TIMEOUT_S + 1)
    await cluster.nodes[2].start()
    await cluster.ready()
    await crowd.open(new, 2)
    await crowd.see(watchers, elsewhere, returning, new)
    came = {(user, True) for user in (lost, elsewhere, returning)}
    for watcher in watchers:
        assert set(watcher.changes[:3]) == came
        assert watcher.changes[3:] == [(lost, False), (new, True)]


async def test_users_of_a_node_that_goes_away_come_to_another_without_a_flicker(
    cluster: Cluster, crowd: Crowd
) -> None:
    me, ben, cid, new, *_ = crowd.users
    watchers = [await crowd.open(me, node) for node in range(2)]
    for user in (ben, cid):
        await crowd.open(user, 2)
    await crowd.see(watchers, ben, cid)
    assert await cluster.nodes[2].terminate() == 0
    for user in (ben, cid):
        await crowd.open(user, 1)
    await cluster.nodes[2].start()
    await crowd.open(new, 2)
    await crowd.see(watchers, ben, cid, new)
    assert [watcher.changes for watcher in watchers] == [[(ben, True), (cid, True), (new, True)]] * 2


async def redis_is_stopped(cluster: Cluster, meanwhile: Awaitable[None]) -> None:
    cluster.redis.stop()
    await asyncio.gather(*(cluster.says(node, 503) for node in cluster.nodes))
    await meanwhile
    cluster.redis.start(aof=True)


async def redis_comes_back_empty(cluster: Cluster, meanwhile: Awaitable[None]) -> None:
    cluster.redis.kill()
    await meanwhile
    cluster.redis.start()


async def redis_is_away_for_longer_than_a_lease(cluster: Cluster, meanwhile: Awaitable[None]) -> None:
    cluster.redis.stop()
    await meanwhile
    await asyncio.sleep(TIMEOUT_S)
    cluster.redis.start(aof=True)


async def connections_are_cut(cluster: Cluster, meanwhile: Awaitable[None]) -> None:
    await cluster.proxies[2].refuse()
    await meanwhile
    await cluster.says(cluster.nodes[2], 503)
    await cluster.proxies[2].start()


@pytest.mark.parametrize(
    "trouble",
    [redis_is_stopped, redis_is_away_for_longer_than_a_lease, connections_are_cut, redis_comes_back_empty],
    ids=lambda trouble: trouble.__name__,
)
async def test_presence_is_right_and_nobody_flickers_after(
    cluster: Cluster, crowd: Crowd, trouble: Callable[[Cluster, Awaitable[None]], Awaitable[None]]
) -> None:
    me, *staying, leaving, coming = crowd.users
    watchers = [await crowd.open(me, node) for node in range(3)]
    others = [await crowd.open(user, node) for node, user in enumerate(staying)]
    tab = await crowd.open(leaving, 2)
    await crowd.see(watchers, *staying, leaving)
    await trouble(cluster, tab.close())
    await cluster.ready()
    await crowd.open(coming, 1)
    await crowd.see([*watchers, *others], me, *staying, coming, within=20)
    for watcher in watchers:
        gone = [user for user, online in watcher.changes if not online]
        assert gone in ([], [leaving]), "told once, or by an initial that came anew"
