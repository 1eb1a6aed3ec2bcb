"""The presence stream as a client of the guides reads it (G4)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.people import UserChange
from service.tables import FriendshipRow, UserRow
from tests.conftest import Clock, OpenStream, Service, Start, mint, until

NOW = 1768732200.0
AT = "2026-01-18T10:30:00.000Z"
People = Callable[..., Awaitable[Service]]


@pytest.fixture
def people(start: Start) -> People:
    """Starts a service with so many users, of whom some pairs are friends."""

    async def make(count: int, *friends: tuple[int, int], **settings: Any) -> Service:
        service = await start(**{"presence_grace_s": 0.05, "clock": Clock(NOW), **settings})
        async with service.node.database.write() as session:
            session.add_all(user_row(number) for number in range(1, count + 1))
            await session.flush()
            session.add_all(
                FriendshipRow(low_id=min(pair), high_id=max(pair), low_asked=True, high_asked=True)
                for pair in friends
            )
        return service

    return make


def user_row(number: int) -> UserRow:
    return UserRow(
        id=number, email=str(number), name=f"User {number}", role="user", password_hash="-", created_at=0
    )


def token(user: int) -> str:
    return mint(str(user))


async def befriend(service: Service, one: int, other: int) -> None:
    for user, friend in ((one, other), (other, one)):
        assert (await service.put(f"/api/friends/{friend}", token=token(user))).status == 200


async def watch(service: Service, user: int) -> tuple[OpenStream, Any]:
    """Open a presence stream; it, and how the friends are."""
    stream = await service.open("/api/presence/stream", token=token(user))
    connected, initial = await stream.events(2)
    assert (connected.event, connected.id, connected.json["user_id"]) == ("connected", None, user)
    assert (initial.event, initial.id) == ("initial", None)
    return stream, initial.json


async def change(stream: OpenStream) -> Any:
    frame = await stream.event()
    assert (frame.event, frame.id) == ("status_change", None), frame
    return frame.json


def online(user: int, at: str = AT) -> dict[str, Any]:
    return {"user_id": user, "is_online": True, "last_activity": at}


def offline(user: int, at: str | None = AT) -> dict[str, Any]:
    return {"user_id": user, "is_online": False, **({} if at is None else {"last_seen": at})}


async def test_stream_begins_with_how_every_friend_is(people: People) -> None:
    service = await people(5, (1, 2), (1, 3), (2, 4))
    await watch(service, 2)
    _, initial = await watch(service, 1)
    assert initial == {"2": online(2), "3": offline(3, None)}
    assert list(initial["2"]) == ["user_id", "is_online", "last_activity"]
    assert (await watch(service, 5))[1] == {}


async def test_frames_are_as_the_guide_reads_them(people: People) -> None:
    service = await people(2, (1, 2))
    async with service.client.get(f"/api/presence/stream?token={token(1)}") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        seen = [(await response.content.readline()).decode() for _ in range(8)]
    assert seen[0].startswith("retry: ")
    assert [line[:7] for line in seen[2:8]] == ["event: ", "data: {", "\n", "event: ", "data: {", "\n"]
    assert (seen[2], seen[5]) == ("event: connected\n", "event: initial\n")
    assert seen[6] == 'data: {"2":{"user_id":2,"is_online":false}}\n'


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
    await befriend_and_hear(service, mine)
    many.close()
    assert await change(mine) == offline(2)


async def befriend_and_hear(service: Service, mine: OpenStream) -> None:
    """Something else happens, which shows that nothing did before."""
    service.node.presence.refresh()
    frame = await mine.event()
    assert (frame.event, frame.json["2"]["is_online"]) == ("initial", True)


async def test_page_that_is_loaded_again_shows_no_flicker(people: People) -> None:
    service = await people(2, (1, 2), presence_grace_s=5)
    mine, _ = await watch(service, 1)
    for _ in range(3):
        theirs, _ = await watch(service, 2)
        theirs.close()
        await until(lambda: service.node.connections.open_by_kind["presence"] == 1)
    await watch(service, 2)
    assert await change(mine) == online(2)
    await befriend_and_hear(service, mine)


async def test_many_topics_over_one_connection_have_presence_among_them(people: People) -> None:
    service = await people(2, (1, 2))
    many = await service.open("/v1/stream?topics=app,presence", token=token(1))
    first, initial = await many.events(2)
    assert (first.event, initial.event, initial.json) == (
        "presence/connected",
        "presence/initial",
        {"2": offline(2, None)},
    )
    await service.publish(userId="1", data=7)
    assert (await many.event()).event == "app"
    await watch(service, 2)
    frame = await many.event()
    assert (frame.event, frame.id, frame.json) == ("presence/status_change", None, online(2))


async def test_topic_comes_after_what_was_missed_of_the_others(people: People) -> None:
    service = await people(2, (1, 2))
    first = await service.publish(userId="1", data=0)
    for number in range(3):
        await service.publish(userId="1", data=number)
    many = await service.open(
        "/v1/stream?topics=app,presence", token=token(1), headers={"Last-Event-ID": first}
    )
    assert [frame.event for frame in await many.events(5)] == ["app"] * 3 + [
        "presence/connected",
        "presence/initial",
    ]


async def test_heartbeats_are_events_and_refresh_the_users_activity(people: People) -> None:
    service = await people(2, (1, 2), presence_heartbeat_s=0.06)
    theirs, _ = await watch(service, 2)
    second, _ = await watch(service, 2)
    for stream in (theirs, second):
        frame = await stream.event()
        assert (frame.event, frame.id, frame.json) == ("heartbeat", None, {"timestamp": AT})
    service.node.clock.advance(1)  # type: ignore[attr-defined]
    later = "2026-01-18T10:30:01.000Z"
    while (await theirs.event()).json != {"timestamp": later}:
        pass
    await until_told(service, online(2, later))


async def until_told(service: Service, wanted: Any) -> None:
    async with asyncio.timeout(5):
        while (await watch(service, 1))[1]["2"] != wanted:
            pass


async def test_friendship_that_begins_takes_effect_at_once(people: People) -> None:
    service = await people(2)
    mine, initial = await watch(service, 1)
    assert initial == {}
    await befriend(service, 1, 2)
    assert await change(mine) == offline(2, None)
    theirs, _ = await watch(service, 2)
    assert await change(mine) == online(2)
    await service.call("DELETE", "/api/friends/2", token=token(1))
    assert await all_anew(mine) == await all_anew(theirs) == {}
    await befriend(service, 2, 1)
    assert await change(mine) == online(2)
    assert await change(theirs) == online(1)


async def test_friendship_that_ended_is_told_by_all_that_is_left_and_then_nothing_more(
    people: People,
) -> None:
    service = await people(3, (1, 2), (1, 3))
    mine, _ = await watch(service, 1)
    theirs, _ = await watch(service, 2)
    assert await change(mine) == online(2)
    await service.call("DELETE", "/api/friends/1", token=token(2))
    assert await all_anew(mine) == {"3": offline(3, None)}
    assert await all_anew(theirs) == {}
    theirs.close()
    await until(lambda: len(service.node.presence) == 1)
    await watch(service, 3)
    assert await change(mine) == online(3)
    assert (await watch(service, 1))[1] == {"3": online(3)}


async def all_anew(stream: OpenStream) -> Any:
    frame = await stream.event()
    while frame.event == "heartbeat":
        frame = await stream.event()
    assert frame.event == "initial"
    return frame.json


async def test_user_who_is_shut_out_or_removed_goes_out_of_their_friends_sight_at_once(
    people: People,
) -> None:
    service = await people(3, (1, 2), (1, 3))
    mine, _ = await watch(service, 1)
    admin = mint("root", "admin")
    await service.call("PATCH", "/api/users/2", token=admin, json={"active": False})
    assert await all_anew(mine) == {"3": offline(3, None)}
    await service.call("PATCH", "/api/users/2", token=admin, json={"active": True})
    assert (await all_anew(mine)).keys() == {"2", "3"}
    await service.call("DELETE", "/api/users/3", token=admin)
    assert await all_anew(mine) == {"2": offline(2, None)}


async def test_what_is_done_elsewhere_in_the_database_is_seen_within_a_heartbeat(people: People) -> None:
    service = await people(3, presence_heartbeat_s=0.06)
    mine, _ = await watch(service, 1)
    for one, other in ((1, 2), (2, 1)):
        await service.node.friends.ask(one, other)
    assert await all_anew(mine) == {"2": offline(2, None)}
    await service.node.friends.end(2, 1)
    assert await all_anew(mine) == {}
    await service.node.friends.ask(1, 2)
    await service.node.friends.ask(2, 1)
    assert (await all_anew(mine)).keys() == {"2"}
    await service.node.accounts.remove(2)
    assert await all_anew(mine) == {}


async def test_asking_alone_shows_nothing(people: People) -> None:
    service = await people(2)
    await service.put("/api/friends/2", token=token(1))
    await watch(service, 2)
    assert (await watch(service, 1))[1] == {}
    assert (await watch(service, 2))[1] == {}


async def test_friend_who_was_shut_out_is_not_shown(people: People) -> None:
    service = await people(2, (1, 2))
    await service.node.accounts.change(2, UserChange(active=False))
    assert (await watch(service, 1))[1] == {}
    answer = await service.get("/api/presence/stream", token=token(2))
    assert (answer.status, answer.json["detail"]) == (404, "User not found")


@pytest.mark.parametrize("path", ["/api/presence/stream", "/v1/stream?topics=app,presence"])
@pytest.mark.parametrize("user", ["77", "ada", "0", "99999999999"])
async def test_user_of_a_valid_token_who_is_unknown_is_not_found(start: Start, path: str, user: str) -> None:
    service = await start()
    answer = await service.get(path, token=mint(user))
    assert (answer.status, answer.json["detail"]) == (404, "User not found")
    assert len(service.node.connections) == 0


@pytest.mark.parametrize("bad", [None, "bad", mint("1", lifetime=-5), mint("1", secret="x" * 32)])
async def test_token_that_is_missing_or_bad_is_invalid(start: Start, bad: str | None) -> None:
    service = await start()
    answer = await service.get("/api/presence/stream", token=bad)
    assert (answer.status, answer.json["detail"]) == (401, "Invalid token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    query = await service.get(f"/api/presence/stream?token={bad or ''}")
    assert query.json["detail"] == "Invalid token"


async def test_stream_over_a_limit_leaves_nobody_online(people: People) -> None:
    service = await people(2, (1, 2), max_connections=1)
    mine, _ = await watch(service, 1)
    refused = await service.get("/api/presence/stream", token=token(2))
    assert refused.status == 429
    assert len(service.node.presence) == 1
    await befriend_and_see(mine, service)


async def befriend_and_see(mine: OpenStream, service: Service) -> None:
    service.node.presence.refresh()
    frame = await mine.event()
    assert (frame.event, frame.json) == ("initial", {"2": offline(2, None)})


async def test_presence_cannot_be_published_to(start: Start) -> None:
    service = await start()
    event = {"topic": "presence", "userId": "1", "data": 1}
    assert (await service.post("/v1/events", token=mint("p", "service"), json=event)).status == 422


async def test_last_event_id_is_ignored(people: People) -> None:
    service = await people(1)
    stream = await service.open("/api/presence/stream", token=token(1), headers={"Last-Event-ID": "x-1"})
    assert stream.first.id is None
    assert (await stream.event()).event == "connected"


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
