"""Which pages of other origins may call, and what ``OPTIONS`` tells them."""

from collections.abc import Mapping

import pytest

from sse_push.handlers.cors import REQUEST_HEADERS
from tests.conftest import Service, Start

PAGE = "https://app.example.com"


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(cors_origins=f"{PAGE}, https://*.example.org, http://localhost:5173")


@pytest.mark.parametrize(
    "origin", [PAGE, "https://a.example.org", "https://a.b.example.org", "http://localhost:5173"]
)
@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/app/sse"])
async def test_cors_lets_listed_origins_in_with_credentials(service: Service, path: str, origin: str) -> None:
    answer = await service.get(path, headers={"Origin": origin})

    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.net",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://example.org",
        "https://evilexample.org",
        "https://app.example.com.evil.net",
        "HTTPS://APP.EXAMPLE.COM",
        "https://app.example.com/",
        "https://u@app.example.com",
        "http://localhost",
        "null",
        "*",
        "",
    ],
)
async def test_cors_lets_no_other_origin_in(service: Service, origin: str) -> None:
    answer = await service.get("/healthz", headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


async def test_cors_is_silent_where_no_origin_is_listed(start: Start) -> None:
    answer = await (await start()).get("/healthz", headers={"Origin": PAGE})

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Vary" not in answer.headers


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/events", "POST"),
        ("/v1/app/sse", "GET"),
        ("/v1/stream", "GET"),
        ("/functions", "PUT"),
        ("/chat/send", "POST"),
    ],
)
async def test_options_allows_what_the_path_has(service: Service, path: str, method: str) -> None:
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": method}
    answer = await service.call("OPTIONS", path, headers=preflight)

    assert answer.status == 204
    assert answer.body == b""
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert method in answer.headers["Allow"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    for name in ("authorization", "last-event-id", "idempotency-key", "content-type"):
        assert name in allowed


async def test_options_of_a_path_that_is_not_there_is_404(service: Service) -> None:
    assert (await service.call("OPTIONS", "/nowhere", headers={"Origin": PAGE})).status == 404


async def test_options_promises_other_origins_nothing(service: Service) -> None:
    answer = await service.call("OPTIONS", "/v1/events", headers={"Origin": "https://evil.net"})

    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


APPS = [
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "app://.",
    "app://obsidian.md",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://3c078156-979c-498b-8990-85f7987dd929",
]


@pytest.mark.parametrize("origin", APPS)
async def test_cors_lets_listed_apps_in(start: Start, origin: str) -> None:
    service = await start(cors_origins=",".join(["https://a.example", *APPS[:-1], "moz-extension://*"]))
    answer = await service.get("/healthz", headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(
    "origin",
    [
        "capacitor://other",
        "capacitor://localhost:1",
        "capacitor://localhost/x",
        "capacitor://",
        "ionic://localhost",
        "moz-extension://",
        "http://localhost",
        "null",
        "file://",
    ],
)
async def test_cors_lets_no_other_app_in(start: Start, origin: str) -> None:
    service = await start(cors_origins="capacitor://localhost,moz-extension://*")
    answer = await service.get("/healthz", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origin", ["null", "file://"])
async def test_cors_lets_pages_without_an_origin_in_without_credentials(start: Start, origin: str) -> None:
    service = await start(cors_origins=origin)
    answer = await service.get("/healthz", headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def _preflight(service: Service, origin: str, asked: str, **more: str) -> Mapping[str, str]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
        **more,
    }
    return (await service.call("OPTIONS", "/v1/events", headers=headers)).headers


async def test_preflight_allows_a_listed_origin_what_its_page_asks_for(service: Service) -> None:
    headers = await _preflight(service, PAGE, "traceparent,baggage, x-requested-with ,authorization")
    allowed = headers["Access-Control-Allow-Headers"].split(", ")
    assert allowed[-3:] == ["traceparent", "baggage", "x-requested-with"]
    assert len({name.lower() for name in allowed}) == len(allowed)
    assert headers["Access-Control-Max-Age"] == "7200"
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "a b",
        "a,,b",
        "ü",
        "a:b",
        ",".join(f"x-{number}" for number in range(65)),
        "x" * 4097,
    ],
)
async def test_preflight_repeats_nothing_that_is_no_list_of_names(service: Service, asked: str) -> None:
    headers = await _preflight(service, PAGE, asked)
    assert headers["Access-Control-Allow-Headers"] == REQUEST_HEADERS


async def test_preflight_allows_other_origins_nothing(service: Service) -> None:
    headers = await _preflight(service, "https://evil.net", "traceparent")
    assert not [name for name in headers if name.startswith("Access-Control-")]


async def test_preflight_lets_listed_origins_into_a_private_network(service: Service) -> None:
    asks = {"Access-Control-Request-Private-Network": "true"}
    assert (await _preflight(service, PAGE, "", **asks))["Access-Control-Allow-Private-Network"] == "true"
    assert "Access-Control-Allow-Private-Network" not in await _preflight(service, PAGE, "")
