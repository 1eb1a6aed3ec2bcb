"""What every request passes: ids in and out, CORS, problem documents, the line in the log."""

import re
from typing import Any

import pytest
from aiohttp import web

from sse_push.handlers.app import build_app
from sse_push.handlers.middleware import middleware
from tests.conftest import Listen, Service, SettingsFactory, Start, mint

PAGE = "https://app.example.com"


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(cors_origins=f"{PAGE}, https://*.example.org, http://localhost:5173")


# -- request ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["a", "0f3c1d2e-1111-4222-8333-444455556666", "00-abc/def:1.2_3+4=", "x" * 128]
)
async def test_request_id_that_came_goes_out(service: Service, given: str) -> None:
    answer = await service.get("/nowhere", headers={"X-Request-ID": given})

    assert answer.headers["X-Request-ID"] == given
    assert answer.json["request_id"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "with space", 'quo"te', "<script>", "é", "a;b", "a,b", "{}"]
)
async def test_request_id_that_could_forge_is_replaced(service: Service, given: str) -> None:
    answer = await service.get("/nowhere", headers={"X-Request-ID": given})

    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


async def test_request_ids_that_are_made_up_differ(service: Service) -> None:
    assert len({(await service.get("/healthz")).headers["X-Request-ID"] for _ in range(5)}) == 5


async def test_request_id_is_in_the_log(service: Service, logged: list[dict[str, Any]]) -> None:
    await service.get("/system/status", headers={"X-Request-ID": "look-for-me"})

    [line] = [line for line in logged if line["event"] == "request.completed"]
    assert line["request_id"] == "look-for-me"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/system/status", 200)


# -- problem documents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/events", 405),
        ("DELETE", "/functions", 405),
        ("POST", "/v1/app/sse", 405),
        ("GET", "/%00", 404),
    ],
)
async def test_what_is_not_there_is_a_problem(service: Service, method: str, path: str, status: int) -> None:
    answer = await service.call(method, path)

    assert answer.status == answer.json["status"] == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


async def test_method_that_is_not_allowed_says_which_are(service: Service) -> None:
    answer = await service.get("/v1/events")

    assert answer.headers["Allow"] == "OPTIONS, POST"
    assert answer.json["detail"] == "this path takes OPTIONS, POST"


async def test_path_that_is_not_there_says_where_those_are_that_are(service: Service) -> None:
    assert "/openapi.json" in (await service.get("/v1/app/see")).json["detail"]


async def test_body_over_the_limit_is_a_problem(start: Start) -> None:
    service = await start(max_body_bytes=1024)

    answer = await service.post("/v1/events", token=mint("p", "service"), data=b"x" * 2048)

    assert answer.status == 413
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_crash_is_a_problem_that_tells_nothing(
    settings_for: SettingsFactory, aiohttp_client: Any
) -> None:
    app = build_app(settings_for())

    async def crash(request: web.Request) -> web.Response:
        raise RuntimeError("the password is hunter2")

    app.router.add_get("/crash", crash)
    answer = await Service(await aiohttp_client(app)).get("/crash")

    assert answer.status == answer.json["status"] == 500
    assert b"hunter2" not in answer.body
    assert b"RuntimeError" not in answer.body


async def test_every_answer_forbids_sniffing(service: Service) -> None:
    for path in ("/healthz", "/nowhere", "/metrics"):
        assert (await service.get(path)).headers["X-Content-Type-Options"] == "nosniff"


async def test_answers_are_counted_by_status(service: Service) -> None:
    await service.get("/nowhere")
    await service.get("/healthz")

    assert service.node.metrics.requests[404] == 1
    assert service.node.metrics.requests[200] == 1


async def test_refusal_by_a_limit_is_counted(start: Start) -> None:
    service = await start(max_connections=1)
    await service.open("/custom/stream")
    await service.get("/custom/stream")

    assert service.node.metrics.rejections["total"] == 1


def test_middleware_is_what_the_application_passes(settings_for: SettingsFactory) -> None:
    assert list(build_app(settings_for()).middlewares) == [middleware]


async def test_streamed_answers_have_the_headers_of_all_others(listen: Listen) -> None:
    server = await listen(cors_origins=PAGE)
    token = mint("p", "service")
    peer = await server.connect(
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 0\r\n"
        + f"Origin: {PAGE}\r\nAuthorization: Bearer {token}\r\nX-Request-ID: mine\r\n\r\n".encode()
    )
    head = (await peer.head()).lower()

    assert "x-request-id: mine" in head
    assert f"access-control-allow-origin: {PAGE}" in head
    assert "x-content-type-options: nosniff" in head


# -- caches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/users", 200),
        ("GET", "/api/users?limit=0", 400),
        ("POST", "/api/users", 400),
        ("PATCH", "/api/users/77", 400),
        ("DELETE", "/api/users/77", 404),
        ("POST", "/api/auth/login/json", 400),
        ("GET", "/api/friends", 404),
        ("PUT", "/api/friends/1", 404),
        ("DELETE", "/api/friends/1", 404),
        ("GET", "/api/chat/rooms/general/members", 200),
        ("POST", "/api/chat/rooms/general/group-sse", 400),
        ("GET", "/sse/status", 200),
        ("GET", "/system/status", 200),
        ("GET", "/api/presence/stream", 404),
        ("POST", "/chat/send", 400),
        ("POST", "/v1/events", 400),
        ("PUT", "/functions", 400),
        ("GET", "/nowhere", 404),
        ("PUT", "/api/users", 405),
    ],
)
async def test_answer_that_may_tell_of_people_is_kept_by_no_cache(
    service: Service, method: str, path: str, status: int
) -> None:
    tokens = (mint("root", "admin"), None, "bad")
    answers = [await service.call(method, path, token=token, data=b"{") for token in tokens]

    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 3
    assert answers[0].status == status


# -- answers that can't be sent --------------------------------------------------------------------


async def test_crash_in_the_middle_of_an_answer_cuts_it_off(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem document would be read as the rest of what was begun."""

    async def crashing(*_: Any) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("sse_push.handlers.ndjson._answer_to", crashing)
    server = await listen()
    lines = "Content-Type: application/x-ndjson\r\nContent-Length: 4\r\n\r\nnull"
    token = mint("publisher", "service")
    peer = await server.connect(
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{lines}".encode()
    )

    told = await peer.rest()

    assert told.count(b"HTTP/1.1") <= 1
    assert not told.endswith(b"0\r\n\r\n")
    assert server.node.metrics.requests == {500: 1}


async def test_error_of_a_connection_of_the_services_own_is_not_its_clients(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise ConnectionRefusedError("a server that the service asks")

    monkeypatch.setattr(type(service.node.tokens), "verify", failing)

    answer = await service.get("/system/status", token="unknown")

    assert (answer.status, answer.json["status"]) == (500, 500)
