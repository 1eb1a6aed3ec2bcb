"""Tokens of a login, and the accounts behind them."""

import asyncio
from typing import Any

import jwt
import pytest

from sse_push.events.errors import DatabaseUnavailable
from sse_push.service import account_checks as module
from tests.conftest import SECRET, Clock, Service, Start, mint, until
from tests.postgres import Postgres

ADMIN = mint("root", "admin")
EVENT = {"userId": "1", "data": 1}


async def add(service: Service, name: str, role: str = "user") -> int:
    new = {"email": f"{name}@example.com", "password": "a password", "name": name, "role": role}
    answer = await service.post("/api/users", token=ADMIN, json=new)
    assert answer.status == 201
    return int(answer.json["id"])


async def log_in(service: Service, name: str) -> str:
    body = {"email": f"{name}@example.com", "password": "a password"}
    answer = await service.post("/api/auth/login/json", json=body)
    assert answer.status == 200
    return str(answer.json["access_token"])


async def change(service: Service, user: int, token: str = ADMIN, **to: Any) -> int:
    return (await service.call("PATCH", f"/api/users/{user}", token=token, json=to)).status


async def remove(service: Service, user: int) -> int:
    return (await service.call("DELETE", f"/api/users/{user}", token=ADMIN)).status


CHANGES = [{"active": False}, {"password": "another one"}, {"role": "service"}, None]


@pytest.mark.parametrize("to", CHANGES)
async def test_admin_who_is_no_more_is_none_at_once(start: Start, to: dict[str, Any] | None) -> None:
    service = await start()
    eve = await add(service, "eve", "admin")
    token = await log_in(service, "eve")
    assert (await service.get("/api/users", token=token)).status == 200

    assert (await remove(service, eve) if to is None else await change(service, eve, **to)) in (200, 204)

    new = {"email": "x@example.com", "password": "a password", "name": "x", "role": "admin"}
    for answer in (
        await service.post("/api/users", token=token, json=new),
        await service.get("/api/users", token=token),
        await service.call("PATCH", "/api/users/1", token=token, json={"active": True}),
        await service.call("DELETE", "/api/users/1", token=token),
        await service.get("/api/friends", token=token),
        await service.post("/v1/events", token=token, json=EVENT),
        await service.get("/v1/app/sse", token=token),
        await service.get("/sse/status", token=token),
    ):
        assert (answer.status, "log in again" in answer.json["detail"]) == (401, True)


@pytest.mark.parametrize("to", CHANGES)
async def test_streams_of_a_changed_account_end_and_others_go_on(
    start: Start, to: dict[str, Any] | None
) -> None:
    service = await start()
    ada, ben = await add(service, "ada"), await add(service, "ben")
    token = await log_in(service, "ada")
    streams = [
        await service.open(path, token=token)
        for path in ("/v1/app/sse", "/v1/stream?topics=app,presence", "/chat/stream?room=general")
    ]
    other = await service.open("/v1/app/sse", token=await log_in(service, "ben"))
    of_another_issuer = await service.open("/v1/app/sse", token=mint(str(ada)))

    await (remove(service, ada) if to is None else change(service, ada, **to))

    for stream in streams:
        while (frame := await stream.next()).event != "sse.expired":
            pass
        assert frame.json.keys() == {"timestamp"}
    await until(lambda: len(service.node.connections) == 2)
    for user, stream in ((ben, other), (ada, of_another_issuer)):
        await service.publish(userId=str(user), data=7)
        assert (await stream.event()).json == 7


async def test_stream_that_is_still_opening_ends_with_its_account(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    ada, token, node = await add(service, "ada"), await log_in(service, "ada"), service.node
    is_heard = asyncio.Event()

    async def wait_caught_up(keys: object) -> int:
        await is_heard.wait()
        return node.engine.head

    monkeypatch.setattr(node.engine, "wait_caught_up", wait_caught_up)
    monkeypatch.setattr(node.engine, "is_caught_up", lambda keys, seq: is_heard.is_set())
    opening = asyncio.create_task(service.get("/v1/app/sse", token=token))
    await until(lambda: node.connections.opening)

    await change(service, ada, active=False)
    is_heard.set()

    assert (await opening).status == 401


@pytest.mark.parametrize("to", [{"active": False}, None])
async def test_presence_ends_with_the_account_whoever_signed_the_token(
    start: Start, to: dict[str, Any] | None
) -> None:
    service = await start()
    ada = await add(service, "ada")
    streams = [
        await service.open(path, token=mint(str(ada)))
        for path in ("/api/presence/stream", "/v1/stream?topics=presence,app")
    ]

    await (remove(service, ada) if to is None else change(service, ada, **to))

    for stream in streams:
        while (await stream.next()).event != "sse.expired":
            pass
    assert (await service.get("/api/presence/stream", token=mint(str(ada)))).status == 404


@pytest.mark.parametrize("to", [{"name": "Ada L."}, {"role": "user"}, {"active": True}])
async def test_change_that_is_none_of_rights_leaves_tokens_and_streams(
    start: Start, to: dict[str, Any]
) -> None:
    service = await start()
    ada = await add(service, "ada")
    token = await log_in(service, "ada")
    stream = await service.open("/v1/app/sse", token=token)

    await change(service, ada, **to)

    await service.publish(userId=str(ada), data=7)
    assert (await stream.event()).json == 7
    assert (await service.get("/api/friends", token=token)).status == 200


async def test_token_of_before_stays_void_when_the_account_is_enabled_again(start: Start) -> None:
    service = await start()
    ada = await add(service, "ada")
    token = await log_in(service, "ada")
    await change(service, ada, active=False)
    await change(service, ada, active=True)

    assert (await service.get("/api/friends", token=token)).status == 401
    assert (await service.get("/api/friends", token=await log_in(service, "ada"))).status == 200


async def test_token_of_another_issuer_is_not_bound_to_the_account_of_its_number(start: Start) -> None:
    service = await start()
    eve = await add(service, "eve", "admin")
    await remove(service, eve)

    assert (await service.get("/api/users", token=mint(str(eve), "admin"))).status == 200


async def test_publisher_is_seen_to_be_gone_within_seconds_by_a_node_that_was_not_asked(
    start: Start, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    one, other = await start(database_url=database_url), await start(database_url=database_url)
    ada, bot = await add(one, "ada"), await add(one, "bot", "service")
    token = await log_in(one, "bot")
    stream = await other.open("/v1/app/sse", token=await log_in(one, "ada"))
    assert (await other.post("/v1/events", token=token, json=EVENT)).status == 200

    await change(one, bot, active=False)
    await remove(one, ada)

    while (await stream.next()).event != "sse.expired":
        pass
    assert (await other.post("/v1/events", token=token, json=EVENT)).status == 401


async def test_fast_path_forgets_a_token_whose_account_is_to_be_looked_at(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock)
    await add(service, "bot", "service")
    token = await log_in(service, "bot")
    await service.post("/v1/events", token=token, json=EVENT)
    assert service.node.tokens.recall(token)

    clock.advance(module.CHECK_S)

    assert service.node.tokens.recall(token) is None


async def test_last_answer_counts_for_an_hour_while_the_database_is_away(
    start: Start, postgres_server: Postgres
) -> None:
    clock = Clock()
    service = await start(clock=clock, database_url=postgres_server.new_database(), token_ttl_s=86_400)
    await add(service, "bot", "service")
    await add(service, "new", "service")
    token, unseen = await log_in(service, "bot"), await log_in(service, "new")
    assert (await service.post("/v1/events", token=token, json=EVENT)).status == 200
    postgres_server.stop()
    try:
        clock.advance(module.KEEP_S)
        assert (await service.post("/v1/events", token=token, json=EVENT)).status == 200
        answer = await service.post("/v1/events", token=unseen, json=EVENT)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        clock.advance(module.CHECK_S + 1)
        assert (await service.post("/v1/events", token=token, json=EVENT)).status == 503
        assert (await service.get("/api/friends", token=token)).status == 503
    finally:
        postgres_server.start()
    assert (await service.post("/v1/events", token=token, json=EVENT)).status == 200


async def test_look_that_fails_is_made_up_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await start()
    ada = await add(service, "ada")
    stream = await service.open("/v1/app/sse", token=await log_in(service, "ada"))
    checks, accounts = service.node.account_checks, service.node.accounts

    async def unavailable(at: float) -> Any:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(checks, "changed", checks._ask)  # as if another node had been asked
    await remove(service, ada)
    with monkeypatch.context() as patched:
        patched.setattr(accounts, "changed_since", unavailable)
        with pytest.raises(DatabaseUnavailable):
            await checks.look()
    await checks.look()

    while (await stream.next()).event != "sse.expired":
        pass


async def test_change_is_seen_after_the_clock_was_set_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    service = await start(clock=clock)
    ada = await add(service, "ada")
    await service.open("/v1/app/sse", token=await log_in(service, "ada"))
    checks = service.node.account_checks
    await checks.look()
    clock.advance(-3600)

    monkeypatch.setattr(checks, "changed", checks._ask)  # as if another node had been asked
    await remove(service, ada)
    await checks.look()

    assert {connection.reason for connection in service.node.connections} <= {"account_changed"}


async def test_remembered_accounts_are_bounded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    service = await start()
    for name in ("ada", "ben", "cleo"):
        await add(service, name)
        await service.get("/sse/status", token=await log_in(service, name))

    assert len(service.node.account_checks._known) == 2


@pytest.mark.parametrize("generation", ["1", True, 1.0, [1], {}])
async def test_generation_that_is_no_number_is_refused(start: Start, generation: Any) -> None:
    service = await start()
    await add(service, "ada")
    claims = {"sub": "1", "roles": ["admin"], "exp": 4_000_000_000}
    token = jwt.encode(claims, SECRET, headers={"login": generation})

    assert (await service.get("/api/users", token=token)).status == 401


async def test_token_of_a_login_that_names_no_account_is_refused(start: Start) -> None:
    service = await start()
    await add(service, "ada")
    for sub in ("root", "0", "99999999999", "7"):
        claims = {"sub": sub, "roles": ["admin"], "exp": 4_000_000_000}
        token = jwt.encode(claims, SECRET, headers={"login": 0})

        assert (await service.get("/api/users", token=token)).status == 401
