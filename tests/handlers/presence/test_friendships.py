"""Who sees whom: friendships that begin and end, users who are shut out or removed, in this node or elsewhere."""

from sse_push.service.people import UserChange
from tests.conftest import mint, until
from tests.handlers.presence.watching import People, all_anew, befriend, change, offline, online, token, watch


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
