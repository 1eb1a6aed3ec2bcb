"""Friendships on each kind of database: requested, accepted, ended, limited, also concurrently."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sse_push.events.errors import BadRequest, NotFound, OverLimit
from sse_push.service import friends
from sse_push.service.people import Friend, UserChange
from tests.service.people import People


@pytest.fixture
async def people(database_url: str) -> AsyncIterator[People]:
    people = People(database_url)
    for name in ("ada", "ben", "cid"):
        await people.add(name)
    yield people
    await people.close()


async def states(people: People, user: int) -> dict[int, str]:
    return {friend.user_id: friend.state for friend in await people.friends.list(user)}


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 1)])
async def test_friendship_begins_once_both_have_asked(people: People, one: int, other: int) -> None:
    asked, began = await people.friends.ask(one, other)
    assert (asked.user_id, asked.state, began) == (other, "requested", False)
    assert (await states(people, one), await states(people, other)) == ({other: "requested"}, {one: "asked"})
    accepted, began = await people.friends.ask(other, one)
    assert (accepted.user_id, accepted.state, began) == (one, "accepted", True)
    assert (await states(people, one), await states(people, other)) == (
        {other: "accepted"},
        {one: "accepted"},
    )


async def test_friends_are_listed_with_their_names_in_order(people: People) -> None:
    await people.befriend(2, 3)
    await people.friends.ask(1, 2)
    assert await people.friends.list(2) == [
        Friend(user_id=1, name="Ada", state="asked"),
        Friend(user_id=3, name="Cid", state="accepted"),
    ]


async def test_asking_again_changes_nothing(people: People) -> None:
    for _ in range(2):
        assert (await people.friends.ask(1, 2))[1] is False
    await people.friends.ask(2, 1)
    friend, began = await people.friends.ask(2, 1)
    assert (friend.state, began) == ("accepted", False)


async def test_concurrent_requests_of_both_begin_one_friendship(people: People) -> None:
    for _ in range(5):
        answers = await asyncio.gather(people.friends.ask(1, 2), people.friends.ask(2, 1))
        assert sorted(began for _, began in answers) == [False, True]
        assert await states(people, 1) == {2: "accepted"}
        await people.friends.end(1, 2)


@pytest.mark.parametrize("who", [1, 2])
async def test_friendship_is_ended_by_either(people: People, who: int) -> None:
    await people.befriend(1, 2)
    assert await people.friends.end(who, 3 - who) is True
    assert (await states(people, 1), await states(people, 2)) == ({}, {})
    assert await people.friends.end(who, 3 - who) is False


async def test_request_can_be_withdrawn_or_refused(people: People) -> None:
    for who in (1, 2):
        await people.friends.ask(1, 2)
        assert await people.friends.end(who, 3 - who) is False, "they were no friends"
        assert await states(people, 1) == {}
    assert (await people.friends.ask(2, 1))[0].state == "requested"


async def test_nobody_is_their_own_friend(people: People) -> None:
    with pytest.raises(BadRequest):
        await people.friends.ask(1, 1)


async def test_unknown_users_have_no_friends(people: People) -> None:
    await people.accounts.change(3, UserChange(active=False))
    for one, other in ((1, 77), (77, 1), (1, 3), (3, 1)):
        for act in (people.friends.ask, people.friends.end):
            with pytest.raises(NotFound, match=r"^User not found$"):
                await act(one, other)
    with pytest.raises(NotFound):
        await people.friends.list(77)


async def test_requests_of_a_user_are_limited(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(friends, "MAX_FRIENDS", 1)
    await people.friends.ask(1, 2)
    await people.friends.ask(1, 2)
    with pytest.raises(OverLimit) as caught:
        await people.friends.ask(1, 3)
    assert caught.value.limit == "friends"
    assert await states(people, 3) == {}
    await people.friends.ask(3, 2)
    with pytest.raises(OverLimit):
        await people.friends.ask(3, 1)
    await people.befriend(2, 3)  # to be asked by many takes nothing from the one who is


async def test_concurrent_requests_of_a_user_are_limited(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(friends, "MAX_FRIENDS", 2)
    for name in ("dan", "eve", "fay", "gus", "hal"):
        await people.add(name)
    answers = await asyncio.gather(
        *(people.friends.ask(1, other) for other in range(2, 9)), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(OverLimit) == 5
    assert len(await states(people, 1)) == 2


async def test_concurrent_requests_of_many_users_do_not_deadlock(people: People) -> None:
    pairs = [(one, other) for one in (1, 2, 3) for other in (1, 2, 3) if one != other]
    for _ in range(5):
        await asyncio.gather(*(people.friends.ask(one, other) for one, other in pairs))
        assert await states(people, 1) == {2: "accepted", 3: "accepted"}
        await asyncio.gather(*(people.friends.end(one, other) for one, other in pairs))
