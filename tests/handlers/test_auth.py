"""Where the token stands, and which of several decides."""

from typing import Any

import pytest

from tests.conftest import Service, Start, mint

GOOD = mint("42")
OTHERS = mint("43")
BAD = "not-a-token"
MINE = "/v1/app/sse/42"  # 200 for GOOD, 403 for OTHERS, 401 for BAD
COMMAND = {"roomId": "general", "message": "hello"}


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(cors_origins="https://app.example.com")


async def _status(
    service: Service, header: str | None = None, cookie: str | None = None, query: str | None = None
) -> int:
    headers = {} if header is None else {"Authorization": header}
    if cookie is not None:
        headers["Cookie"] = f"access_token={cookie}"
    params = {} if query is None else {"token": query}
    async with service.client.get(MINE, headers=headers, params=params) as response:
        return response.status


@pytest.mark.parametrize("where", ["header", "cookie", "query"])
@pytest.mark.parametrize(("token", "status"), [(GOOD, 200), (OTHERS, 403), (BAD, 401)])
async def test_token_is_taken_from_each_place(service: Service, where: str, token: str, status: int) -> None:
    given = f"Bearer {token}" if where == "header" else token

    assert await _status(service, **{where: given}) == status


@pytest.mark.parametrize(
    ("header", "cookie", "query", "status"),
    [
        (f"Bearer {GOOD}", BAD, BAD, 200),
        (f"Bearer {BAD}", GOOD, GOOD, 401),
        (f"Bearer {OTHERS}", GOOD, GOOD, 403),
        (None, GOOD, BAD, 200),
        (None, BAD, GOOD, 401),
        (None, OTHERS, GOOD, 403),
        (None, "", GOOD, 401),
        (None, None, "", 401),
    ],
)
async def test_token_that_comes_first_decides(
    service: Service, header: str | None, cookie: str | None, query: str | None, status: int
) -> None:
    assert await _status(service, header, cookie, query) == status


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer"])
async def test_token_that_is_empty_does_not_fall_through(service: Service, header: str) -> None:
    assert await _status(service, header, GOOD, GOOD) == 401


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "Bearer   {}"])
async def test_scheme_is_read_as_http_writes_it(service: Service, header: str) -> None:
    assert await _status(service, header.format(GOOD)) == 200


async def test_bad_token_is_refused_where_none_is_needed(service: Service) -> None:
    for path in ("/system/status", "/sse/status", "/custom/stream", "/system/status/stream"):
        answer = await service.get(path, token=BAD)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_bad_token_is_not_in_the_answer(service: Service) -> None:
    answer = await service.get("/v1/app/sse?token=very-secret-indeed")

    assert b"very-secret" not in answer.body
    assert "very-secret" not in str(answer.headers)


async def test_query_token_is_in_no_log_line_and_no_metric(
    service: Service, logged: list[dict[str, Any]]
) -> None:
    for token in ("very-secret-indeed", GOOD):
        await service.get(f"/sse/status?token={token}")
        await service.post(f"/v1/events?token={token}", json={})
        await service.get(f"/nowhere?token={token}")
    metrics = (await service.get("/metrics")).body.decode()

    assert any(line["event"] == "request.completed" for line in logged)
    for secret in ("very-secret", GOOD):
        assert secret not in str(logged)
        assert secret not in metrics


# -- a cookie commands for its own site only ------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.net",
        "null",
        "https://app.example.com.evil.net",
        "http://app.example.com",
        "https://app.example.com:444",
        "http://[",
        "",
    ],
)
async def test_cookie_does_not_command_for_another_site(service: Service, origin: str) -> None:
    answer = await service.post(
        "/chat/send", json=COMMAND, headers={"Cookie": f"access_token={GOOD}", "Origin": origin}
    )

    assert answer.status == 403


@pytest.mark.parametrize("origin", ["https://app.example.com", None, "own"])
async def test_cookie_commands_for_its_own_site_and_listed_ones(service: Service, origin: str | None) -> None:
    headers = {"Cookie": f"access_token={GOOD}"}
    if origin is not None:
        headers["Origin"] = (
            f"http://{service.client.host}:{service.client.port}" if origin == "own" else origin
        )

    assert (await service.post("/chat/send", json=COMMAND, headers=headers)).status == 200


async def test_cookie_reads_for_any_site_since_the_browser_shows_it_nothing(service: Service) -> None:
    answer = await service.get(
        "/sse/status", headers={"Cookie": f"access_token={GOOD}", "Origin": "https://evil.net"}
    )

    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_header_token_commands_from_any_site(service: Service) -> None:
    answer = await service.post(
        "/chat/send", json=COMMAND, token=GOOD, headers={"Origin": "https://evil.net"}
    )

    assert answer.status == 200
