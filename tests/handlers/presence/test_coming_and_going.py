"""Friends who come and go: told of once, after the last of their streams, remembered over a restart."""

import asyncio
from typing import Any

from tests.conftest import Clock, mint, until
from tests.handlers.presence.watching import (
    People,
    befriend,
    change,
    offline,
    online,
    refreshed,
    token,
    watch,
)


async def test_friend_who_comes_and_goes_is_told_of_once(people: People) -> None:
    service = await people(3, (1, 2))
    mine, _ = await watch(service, 1)
    others, _ = await watch(service, 3)
    theirs, _ = await watch(service, 2)
    assert await change(mine) == online(2)
    service.node.clock.advance(60)  # type: ignore[attr-defined]
    theirs.close()
    assert await change(mine) == offline(2, "2026-01-18T10:31:00.000Z")
    await befriend(service, 2, 3)
    assert await change(others) == offline(2, "2026-01-18T10:31:00.000Z")
    await watch(service, 2)
    assert await change(mine) == await change(others) == online(2, "2026-01-18T10:31:00.000Z")


async def test_last_seen_is_kept_by_the_database(people: People, tmp_path: Any) -> None:
    service = await people(2, (1, 2), data_dir=tmp_path)
    theirs, _ = await watch(service, 2)
    theirs.close()
    await until(lambda: not len(service.node.presence))
    await watch(service, 1)
    await service.client.close()
    again = await people(0, data_dir=tmp_path)
    assert (await watch(again, 2))[1] == {"1": offline(1)}
    _, initial = await watch(again, 1)
    assert initial == {"2": online(2)}


async def test_user_with_several_tabs_is_online_until_the_last_one_closes(people: People) -> None:
    service = await people(2, (1, 2))
    mine, _ = await watch(service, 1)
    tabs = [(await watch(service, 2))[0] for _ in range(3)]
    many = await service.open("/v1/stream?topics=presence", token=token(2))
    assert [frame.event for frame in await many.events(2)] == ["presence/connected", "presence/initial"]
    assert await change(mine) == online(2)
    for tab in tabs:
        tab.close()
    await until(lambda: service.node.connections.open_by_kind["presence"] == 1)
    assert (await refreshed(service, mine))["2"]["is_online"]
    many.close()
    assert await change(mine) == offline(2)


async def test_page_that_is_loaded_again_shows_no_flicker(people: People) -> None:
    service = await people(2, (1, 2), presence_grace_s=5)
    mine, _ = await watch(service, 1)
    for _ in range(3):
        theirs, _ = await watch(service, 2)
        theirs.close()
        await until(lambda: service.node.connections.open_by_kind["presence"] == 1)
    await watch(service, 2)
    assert await change(mine) == online(2)
    assert (await refreshed(service, mine))["2"]["is_online"]


async def test_user_whose_token_expires_is_offline(people: People) -> None:
    clock = Clock()
    service = await people(2, (1, 2), clock=clock, heartbeat_s=0.06)
    mine, _ = await watch(service, 1)
    stream = await service.open("/api/presence/stream", token=mint("2", lifetime=60))
    assert (await change(mine))["is_online"] is True
    clock.advance(61)
    frames = await stream.rest()
    assert [frame.event for frame in frames if frame.event][-1] == "sse.expired"
    assert (await change(mine))["is_online"] is False


async def test_crowd_that_comes_and_goes_at_once_is_told_of_exactly(people: People) -> None:
    users = range(1, 31)
    pairs = [(one, other) for one in users for other in range(one + 1, 31) if (one + other) % 3]
    service = await people(30, *pairs)
    opened = dict(zip(users, await asyncio.gather(*(watch(service, user) for user in users)), strict=True))
    for user in users[::2]:
        opened[user][0].close()
    await until(lambda: len(service.node.presence) == 15 and service.node.presence.is_idle)
    service.node.presence.refresh()
    for user in users[1::2]:
        stream, known = opened[user]
        while (frame := await stream.event()).event == "status_change":
            friend = str(frame.json["user_id"])
            assert known[friend]["is_online"] is not frame.json["is_online"], "told twice"
            known[friend] = frame.json
        assert frame.json == known
        assert {friend: status["is_online"] for friend, status in known.items()} == {
            str(friend): friend % 2 == 0
            for friend in users
            if (user, friend) in pairs or (friend, user) in pairs
        }
