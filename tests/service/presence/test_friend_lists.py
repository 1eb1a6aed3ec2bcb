"""Friend lists, their versions and the times users were last seen, on each kind of database."""

from collections.abc import AsyncIterator, Awaitable

import pytest

from sse_push.service.people import UserChange
from sse_push.service.presence.friend_lists import FriendLists
from tests.service.people import People


@pytest.fixture
async def people(database_url: str) -> AsyncIterator[People]:
    people = People(database_url)
    for name in ("ada", "ben", "cid", "dan"):
        await people.add(name)
    yield people
    await people.close()


@pytest.fixture
def friend_lists(people: People) -> FriendLists:
    return FriendLists(people.database)


async def test_friend_list_has_accepted_friends_in_both_directions(
    people: People, friend_lists: FriendLists
) -> None:
    await people.befriend(2, 1)
    await people.befriend(2, 3)
    await people.friends.ask(2, 4)
    assert await friend_lists.of([1, 2, 3, 4, 77]) == {
        1: {2: None},
        2: {1: None, 3: None},
        3: {2: None},
        4: {},
        77: {},
    }


async def test_inactive_friend_is_left_out(people: People, friend_lists: FriendLists) -> None:
    await people.befriend(1, 2)
    await people.accounts.change(2, UserChange(active=False))
    assert await friend_lists.of([1, 2]) == {1: {}, 2: {1: None}}
    assert (await friend_lists.versions([1, 2, 77])).keys() == {1}


async def test_changed_friend_list_has_another_version(people: People, friend_lists: FriendLists) -> None:
    async def changed(act: Awaitable[object]) -> set[int]:
        before = await friend_lists.versions([1, 2, 3, 4])
        await act
        after = await friend_lists.versions([1, 2, 3, 4])
        return {user for user, version in after.items() if before.get(user, version) != version}

    assert await changed(people.friends.ask(1, 2)) == set()
    assert await changed(people.friends.ask(2, 1)) == {1, 2}
    assert await changed(people.befriend(1, 3)) == {1, 3}
    assert await changed(people.friends.ask(2, 1)) == set()
    assert await changed(people.friends.ask(1, 4)) == set()
    assert await changed(people.accounts.change(1, UserChange(name="Ada"))) == set()
    assert await changed(people.accounts.change(1, UserChange(active=False))) == {2, 3}
    assert await changed(people.accounts.change(1, UserChange(active=True))) == {2, 3}
    assert await changed(people.friends.end(2, 1)) == {1, 2}
    assert await changed(people.friends.end(1, 2)) == set()
    assert await changed(people.accounts.remove(1)) == {3}


async def test_last_seen_is_recorded(people: People, friend_lists: FriendLists) -> None:
    await people.befriend(1, 2)
    await friend_lists.record_last_seen({2: 1768732200.125, 3: 1768732300.0, 77: 1.0})
    assert (await friend_lists.of([1]))[1] == {2: 1768732200.125}
    assert (await people.accounts.get(3)).last_seen == "2026-01-18T10:31:40.000Z"
