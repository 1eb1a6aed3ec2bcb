"""Users in each kind of database: found, logged in, changed, removed, listed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sse_push.events.errors import Conflict, NotFound, Unauthenticated
from sse_push.service.people import UserChange
from tests.conftest import Clock
from tests.service.people import People


@pytest.fixture
async def people(database_url: str) -> AsyncIterator[People]:
    people = People(database_url, Clock(1768732200.0))
    yield people
    await people.close()


async def test_new_user_is_numbered_and_found(people: People) -> None:
    ada = await people.add("ada", email="Ada@Example.com", role="admin")
    ben = await people.add("ben")
    assert (ada.id, ben.id) == (1, 2)
    assert (ada.email, ada.name, ada.role, ada.active) == ("ada@example.com", "Ada", "admin", True)
    assert (ada.created_at, ada.last_seen) == ("2026-01-18T10:30:00.000Z", None)
    assert await people.accounts.get(1) == ada
    assert await people.accounts.list() == [ada, ben]


async def test_user_logs_in_by_address_in_any_case_and_password(people: People) -> None:
    ada = await people.add("ada")
    assert await people.accounts.log_in(" ADA@example.com", "ada's password") == (ada, 0)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "wrong"),
        ("nobody@example.com", "ada's password"),
        ("ada@example.com", ""),
        ("", "\ud800"),
    ],
)
async def test_wrong_half_of_a_login_cannot_be_told(people: People, email: str, password: str) -> None:
    await people.add("ada")
    with pytest.raises(Unauthenticated, match=r"^Incorrect email or password$"):
        await people.accounts.log_in(email, password)


async def test_address_is_one_users(people: People) -> None:
    await people.add("ada")
    with pytest.raises(Conflict, match="e-mail address"):
        await people.add("other", email="ADA@example.com")
    many = await asyncio.gather(*(people.add("twin") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, Conflict) for one in many) == 4


async def test_user_is_changed_in_what_is_given(people: People) -> None:
    await people.add("ada")
    changed = await people.accounts.change(1, UserChange(name="Ada L.", role="service"))  # type: ignore[arg-type]
    assert (changed.name, changed.role, changed.email) == ("Ada L.", "service", "ada@example.com")
    await people.accounts.change(1, UserChange(password="another one"))  # type: ignore[arg-type]
    assert await people.accounts.log_in("ada@example.com", "another one") == (changed, 2)
    with pytest.raises(Unauthenticated):
        await people.accounts.log_in("ada@example.com", "ada's password")
    assert await people.accounts.change(1, UserChange()) == changed


async def test_user_who_is_not_active_cannot_log_in(people: People) -> None:
    await people.add("ada")
    await people.accounts.change(1, UserChange(active=False))
    with pytest.raises(Unauthenticated):
        await people.accounts.log_in("ada@example.com", "ada's password")
    await people.accounts.change(1, UserChange(active=True))
    await people.accounts.log_in("ada@example.com", "ada's password")


async def test_user_who_was_removed_is_gone_with_all_friendships(people: People) -> None:
    await people.add("ada")
    await people.add("ben")
    await people.befriend(1, 2)
    await people.accounts.remove(1)
    assert await people.friends.list(2) == []
    for gone in (
        people.accounts.get(1),
        people.accounts.remove(1),
        people.accounts.change(1, UserChange(name="A")),
    ):
        with pytest.raises(NotFound, match=r"^User not found$"):
            await gone


async def test_users_are_listed_in_pages(people: People) -> None:
    for name in ("ada", "ben", "cid"):
        await people.add(name)
    assert [user.id for user in await people.accounts.list(0, 2)] == [1, 2]
    assert [user.id for user in await people.accounts.list(2, 2)] == [3]


@pytest.mark.parametrize(
    "email",
    [
        "a\x00@example.com",
        "\x00",
        "",
        " ",
        "no address",
        "a@" + "b" * 1000,
        "a\ud800@example.com",
        "a@b\udfff",
    ],
)
async def test_login_by_what_is_no_address_is_nobodys(people: People, email: str) -> None:
    await people.add("ada")
    with pytest.raises(Unauthenticated):
        await people.accounts.log_in(email, "a password")
    assert await people.accounts.log_in("ada@example.com", "ada's password")
