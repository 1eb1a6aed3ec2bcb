"""Friendships over HTTP."""

import pytest

from tests.conftest import Service, Start, mint

ADMIN = mint("root", "admin")


@pytest.fixture
async def service(start: Start) -> Service:
    service = await start()
    for name in ("ada", "ben"):
        new = {"email": f"{name}@example.com", "password": "a password", "name": name.title()}
        assert (await service.post("/api/users", token=ADMIN, json=new)).status == 201
    return service


async def friends(service: Service, user: int) -> object:
    answer = await service.get("/api/friends", token=mint(str(user)))
    assert answer.status == 200
    return answer.json


async def test_friendship_is_asked_for_accepted_and_ended(service: Service) -> None:
    asked = await service.put("/api/friends/2", token=mint("1"))
    assert (asked.status, asked.json) == (200, {"user_id": 2, "state": "requested"})
    assert await friends(service, 1) == [{"user_id": 2, "state": "requested"}]
    assert await friends(service, 2) == [{"user_id": 1, "name": "Ada", "state": "asked"}]
    accepted = await service.put("/api/friends/1", token=mint("2"))
    assert accepted.json == {"user_id": 1, "name": "Ada", "state": "accepted"}
    assert await friends(service, 1) == [{"user_id": 2, "name": "Ben", "state": "accepted"}]
    for _ in range(2):
        ended = await service.call("DELETE", "/api/friends/2", token=mint("1"))
        assert (ended.status, ended.body) == (204, b"")
    assert await friends(service, 1) == await friends(service, 2) == []


async def test_stranger_is_not_named_before_they_ask_too(service: Service) -> None:
    for _ in range(2):
        assert b"Ben" not in (await service.put("/api/friends/2", token=mint("1"))).body
        assert b"Ben" not in (await service.get("/api/friends", token=mint("1"))).body
    await service.put("/api/friends/1", token=mint("2"))
    assert b"Ben" in (await service.get("/api/friends", token=mint("1"))).body
    await service.call("DELETE", "/api/friends/2", token=mint("1"))

    assert b"Ben" not in (await service.put("/api/friends/2", token=mint("1"))).body


async def test_token_may_name_its_user_by_a_number(service: Service) -> None:
    assert (await service.get("/api/friends", token=mint(1))).json == []


@pytest.mark.parametrize("user", ["77", "ada", "0"])
async def test_caller_without_an_account_is_not_found(service: Service, user: str) -> None:
    for method, path in (("GET", ""), ("PUT", "/1"), ("DELETE", "/1")):
        answer = await service.call(method, f"/api/friends{path}", token=mint(user))
        assert (answer.status, answer.json["detail"]) == (404, "User not found")


@pytest.mark.parametrize("other", ["77", "ben", "0"])
async def test_friend_who_is_unknown_is_not_found(service: Service, other: str) -> None:
    for method in ("PUT", "DELETE"):
        answer = await service.call(method, f"/api/friends/{other}", token=mint("1"))
        assert (answer.status, answer.json["detail"]) == (404, "User not found")


async def test_own_friendship_makes_no_sense(service: Service) -> None:
    assert (await service.put("/api/friends/1", token=mint("1"))).status == 400


async def test_friends_want_a_token(service: Service) -> None:
    for method, path in (("GET", ""), ("PUT", "/2"), ("DELETE", "/2")):
        answer = await service.call(method, f"/api/friends{path}")
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
