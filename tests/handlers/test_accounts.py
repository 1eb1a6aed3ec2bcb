"""Logins and users over HTTP, as a client of the guides and as an administrator."""

from typing import Any

import jwt
import pytest

from tests.conftest import SECRET, Clock, Service, Start, mint
from tests.postgres import Postgres

ADMIN = mint("root", "admin")
ADA = {"email": "ada@example.com", "password": "a password", "name": "Ada"}


async def log_in(
    service: Service, email: str = "ada@example.com", password: str = "a password", **more: Any
) -> Any:
    return await service.post("/api/auth/login/json", json={"email": email, "password": password}, **more)


async def with_ada(start: Start, **settings: Any) -> Service:
    service = await start(**settings)
    made = await service.post("/api/users", token=ADMIN, json=ADA)
    assert made.status == 201, made.body
    return service


async def test_login_gives_a_token_that_opens_streams(start: Start) -> None:
    service = await with_ada(start, token_ttl_s=600)
    answer = await log_in(service, email="Ada@example.com")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("bearer", 600)
    claims = jwt.decode(answer.json["access_token"], SECRET, algorithms=["HS256"])
    assert claims.pop("exp") - claims.pop("iat") == 600
    assert jwt.get_unverified_header(answer.json["access_token"])["login"] == 0
    assert claims == {"sub": "1", "roles": ["user"], "name": "Ada", "email": "ada@example.com"}
    stream = await service.open("/v1/app/sse", token=answer.json["access_token"])
    await service.publish(userId="1", data=7)
    assert (await stream.event()).json == 7


async def test_token_of_a_login_names_issuer_and_audience(start: Start) -> None:
    service = await start(jwt_issuer="https://here.example", jwt_audience="sse-push")
    admin = mint("root", "admin", iss="https://here.example", aud="sse-push")
    await service.post("/api/users", token=admin, json=ADA)
    token = (await log_in(service)).json["access_token"]
    assert (await service.get("/api/friends", token=token)).status == 200


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.com", "wrong"), ("nobody@example.com", "a password")]
)
async def test_wrong_login_gives_no_hint(start: Start, email: str, password: str, logged: list[Any]) -> None:
    service = await with_ada(start)
    answer = await log_in(service, email, password, headers={"X-Request-ID": "r"})
    assert answer.status == 401
    assert answer.json == {
        "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Incorrect email or password", "request_id": "r",
    }  # fmt: skip
    told = str([line for line in logged if line["event"] != "user.added"])
    assert "login.refused" in told
    assert password not in told
    assert email not in told


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"email": 1, "password": "x"}', 422),
        (b'{"email": "a@b", "password": null}', 422),
    ],
)
async def test_login_that_is_none_is_refused(start: Start, body: bytes, status: int) -> None:
    service = await start()
    answer = await service.post("/api/auth/login/json", data=body)
    assert answer.status == status


async def test_login_error_does_not_repeat_the_password(start: Start) -> None:
    service = await start()
    answer = await service.post("/api/auth/login/json", json={"email": 1, "password": "the secret"})
    assert answer.status == 422
    assert b"the secret" not in answer.body


async def test_guesses_for_one_account_are_limited_and_others_go_on(start: Start) -> None:
    clock = Clock()
    service = await with_ada(start, clock=clock, logins_per_account_per_minute=3)
    statuses = [(await log_in(service, password="wrong")).status for _ in range(3)]
    assert statuses == [401] * 3
    for email in ("ada@example.com", " ADA@Example.com "):
        refused = await log_in(service, email)
        assert (refused.status, refused.json["limit"]) == (429, "login_account")
        assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert (await log_in(service, "ben@example.com")).status == 401
    unknown = [(await log_in(service, "nobody@example.com")).status for _ in range(4)]
    assert unknown == [401, 401, 401, 429], "one that does not exist is limited alike"


async def test_strangers_guesses_do_not_keep_the_owner_out(start: Start) -> None:
    service = await with_ada(start, trusted_proxies="127.0.0.0/8")
    stranger, owner = {"X-Forwarded-For": "198.51.100.9"}, {"X-Forwarded-For": "203.0.113.7"}
    statuses = [(await log_in(service, password="wrong", headers=stranger)).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert (await log_in(service, headers=owner)).status == 200


async def test_guesses_from_many_networks_are_limited_and_the_owners_goes_on(start: Start) -> None:
    service = await with_ada(start, trusted_proxies="127.0.0.0/8", logins_per_account_everywhere_per_minute=5)
    owner = {"X-Forwarded-For": "203.0.113.7"}
    assert (await log_in(service, headers=owner)).status == 200
    statuses = [
        (await log_in(service, password="wrong", headers={"X-Forwarded-For": f"198.51.100.{number}"})).status
        for number in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2
    assert (await log_in(service, headers=owner)).status == 200
    elsewhere = await log_in(service, headers={"X-Forwarded-For": "203.0.113.8"})
    assert (elsewhere.status, elsewhere.json["limit"]) == (429, "login_account")


async def test_right_passwords_are_no_guesses(start: Start) -> None:
    service = await with_ada(start, logins_per_account_per_minute=2)
    assert [(await log_in(service)).status for _ in range(6)] == [200] * 6


async def test_login_that_could_not_be_looked_at_is_no_guess(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await with_ada(start, logins_per_account_per_minute=2)
    with monkeypatch.context() as patched:
        patched.setattr("sse_push.service.passwords.MAX_WAITING_HASHES", 0)
        refused = [(await log_in(service)).json["limit"] for _ in range(4)]
    assert refused == ["logins"] * 4
    assert (await log_in(service)).status == 200


async def test_guesses_from_one_address_are_limited(start: Start) -> None:
    service = await with_ada(start, logins_per_address_per_minute=3, trusted_proxies="127.0.0.0/8")
    for number in range(3):
        assert (await log_in(service, f"user{number}@example.com")).status == 401
    refused = await log_in(service)
    assert (refused.status, refused.json["limit"]) == (429, "login_address")
    assert "Retry-After" in refused.headers
    assert (await log_in(service, headers={"X-Forwarded-For": "203.0.113.7"})).status == 200


async def test_guesses_from_one_network_of_ipv6_are_limited_together(start: Start) -> None:
    service = await with_ada(start, logins_per_address_per_minute=1, trusted_proxies="127.0.0.0/8")
    statuses = [
        (await log_in(service, headers={"X-Forwarded-For": address})).status
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    ]
    assert statuses == [200, 429, 200]


async def test_login_where_another_issues_tokens_says_so(start: Start) -> None:
    service = await start(jwks_url="http://127.0.0.1:9/jwks")
    answer = await log_in(service)
    assert answer.status == 404
    assert "SSE_PUSH_JWKS_URL" in answer.json["detail"]


async def test_login_in_demo_mode_works_without_a_secret_and_outlives_a_restart(
    start: Start, tmp_path: Any
) -> None:
    admin = "YTphOmE6YWRtaW4="  # a:a:a:admin
    service = await start(auth_mode="demo", data_dir=tmp_path)
    await service.post("/api/users", token=admin, json=ADA)
    token = (await log_in(service)).json["access_token"]
    assert (await service.get("/api/friends", token=token)).status == 200
    assert (tmp_path / "jwt-secret").stat().st_mode & 0o077 == 0
    await service.client.close()
    again = await start(auth_mode="demo", data_dir=tmp_path)
    assert (await again.get("/api/friends", token=token)).status == 200
    other = await start(auth_mode="demo")
    assert (await other.get("/api/friends", token=token)).status == 401


async def test_administrator_sees_to_users(start: Start) -> None:
    service = await with_ada(start)
    twice = await service.post("/api/users", token=ADMIN, json={**ADA, "email": "ADA@example.com"})
    assert (twice.status, twice.json["detail"]) == (409, "another user has this e-mail address")
    ben = await service.post(
        "/api/users", token=ADMIN, json={**ADA, "email": "ben@example.com", "role": "admin"}
    )
    assert {
        "id": 2,
        "email": "ben@example.com",
        "name": "Ada",
        "role": "admin",
        "active": True,
    }.items() <= ben.json.items()
    assert b"password" not in ben.body
    listed = await service.get("/api/users", token=ADMIN)
    assert [user["id"] for user in listed.json] == [1, 2]
    page = await service.get("/api/users?after=1&limit=1", token=ADMIN)
    assert [user["id"] for user in page.json] == [2]
    changed = await service.call(
        "PATCH", "/api/users/1", token=ADMIN, json={"active": False, "name": "Ada L."}
    )
    assert (changed.status, changed.json["active"], changed.json["name"]) == (200, False, "Ada L.")
    assert (await log_in(service)).status == 401
    await service.call("PATCH", "/api/users/1", token=ADMIN, json={"active": True, "password": "another one"})
    assert (await log_in(service, password="another one")).status == 200
    assert (await service.call("DELETE", "/api/users/1", token=ADMIN)).status == 204
    assert (await log_in(service, password="another one")).status == 401


@pytest.mark.parametrize("number", ["77", "0", "ada", "99999999999999999999"])
async def test_user_who_is_unknown_is_not_found(start: Start, number: str) -> None:
    service = await start()
    for method in ("PATCH", "DELETE"):
        answer = await service.call(method, f"/api/users/{number}", token=ADMIN, json={})
        assert (answer.status, answer.json["detail"]) == (404, "User not found")


@pytest.mark.parametrize(("token", "status"), [(None, 401), (mint("1"), 403), (mint("1", "service"), 403)])
async def test_users_are_an_administrators_affair(start: Start, token: str | None, status: int) -> None:
    service = await start()
    for method, path in (("POST", ""), ("GET", ""), ("PATCH", "/1"), ("DELETE", "/1")):
        assert (await service.call(method, f"/api/users{path}", token=token, json=ADA)).status == status


@pytest.mark.parametrize(
    "change",
    [
        {"email": "ada"},
        {"password": ""},
        {"name": " "},
        {"role": "queen"},
        {"nickname": "A"},
        {"password": "x" * 257},
    ],
)
async def test_user_who_cannot_be_is_refused(start: Start, change: dict[str, Any]) -> None:
    service = await start()
    answer = await service.post("/api/users", token=ADMIN, json={**ADA, **change})
    assert answer.status == 422


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "limit=0",
        "limit=1001",
        "after=x",
        "after=2147483648",
        "after=9223372036854775808",
        "after=" + "9" * 5000,
        "after=1e400",
        "limit=9223372036854775808",
    ],
)
async def test_page_that_cannot_be_is_refused(start: Start, query: str) -> None:
    service = await start()
    assert (await service.get(f"/api/users?{query}", token=ADMIN)).status == 400


async def test_database_that_is_away_is_503_and_streams_go_on(
    start: Start, postgres_server: Postgres
) -> None:
    service = await with_ada(start, database_url=postgres_server.new_database())
    stream = await service.open("/v1/app/sse", token=mint("1"))
    postgres_server.stop()
    answer = await log_in(service)
    assert (answer.status, answer.json["detail"]) == (503, "the database can't be reached now")
    assert answer.headers["Retry-After"] == "5"
    assert (await service.get("/api/friends", token=mint("1"))).status == 503
    await service.publish(userId="1", data=7)
    assert (await stream.event()).json == 7
    postgres_server.start()
    assert (await log_in(service)).status == 200
