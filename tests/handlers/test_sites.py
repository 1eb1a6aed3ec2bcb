"""Pages of other sites: what they may have their visitor's browser call, in demo mode and outside it."""

import base64
from typing import Any

import pytest

from tests.conftest import Listen, Service, Start, mint

DEMO = base64.b64encode(b"a:a:a@b.c:user,admin,service").decode()
EVENT = b'{"userId": "1", "data": 1}'
JSON = {"Content-Type": "application/json"}
READS = [
    "/v1/app/sse",
    "/sse/connect?clientId=a",
    "/sse/status",
    "/api/users",
    "/",
    "/custom/stream",
    "/nowhere",
]


@pytest.fixture
async def demo(start: Start) -> Service:
    return await start(
        auth_mode="demo",
        cors_origins="https://app.example.com",
        demo_hosts="demo.example.com, Push.example.net",
    )


async def publish(service: Service, token: str = DEMO, **headers: str) -> int:
    return (await service.post(f"/v1/events?token={token}", data=EVENT, headers={**JSON, **headers})).status


async def read(service: Service, path: str, **headers: str) -> int:
    joint = "&" if "?" in path else "?"
    async with service.client.get(f"{path}{joint}token={DEMO}", headers=headers) as response:
        return response.status


# -- by which name it is called ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8000", "EVIL.example", "localhost.evil.example", "127.0.0.1.evil.example",
        "evil.example.", "2130706433", "0x7f000001", "evil@localhost", "localhost@evil.example", "[::1].evil", "x.",
        "sub.demo.example.com", "a b", "localhost:8000:1", "évil",
    ],
)  # fmt: skip
async def test_demo_mode_is_not_called_by_a_strangers_name(demo: Service, host: str) -> None:
    assert [await read(demo, path, Host=host) for path in READS] == [403] * len(READS)
    assert await publish(demo, Host=host) == 403


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8000", "x", "node-1:8000", "app.localhost:8000", "127.0.0.1", "127.9.9.9:1", "[::1]:8000", "192.168.1.5:8000",
        "[2001:db8::1]", "demo.example.com", "DEMO.example.com:8443", "push.example.net", "app.example.com",
    ],
)  # fmt: skip
async def test_demo_mode_is_called_by_its_own_names_and_by_addresses(demo: Service, host: str) -> None:
    assert await read(demo, "/sse/status", Host=host) == 200
    assert await publish(demo, Host=host) == 200


async def test_refusal_says_what_to_set(demo: Service) -> None:
    answer = await demo.get("/sse/status", headers={"Host": "evil.example"})

    assert "SSE_PUSH_DEMO_HOSTS" in answer.json["detail"]


async def test_probes_come_by_any_name(demo: Service) -> None:
    for path in ("/healthz", "/readyz"):
        assert await read(demo, path, Host="node-1.internal") == 200


async def test_fast_path_is_not_called_by_a_strangers_name_either(listen: Listen) -> None:
    peer = await (await listen(auth_mode="demo")).connect()
    statuses = []
    for host in ("localhost", "localhost", "evil.example", "evil.example", "127.0.0.1"):
        head = f"POST /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {DEMO}\r\nContent-Type: application/json\r\n"
        await peer.send(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(EVENT), EVENT))
        statuses.append((await peer.answer())[0][9:12])

    assert statuses == ["200", "200", "403", "403", "200"]


# -- whose page calls -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "", "http://evil.example:8000", "http://localhost.evil.example",
        "https://app.example.com.evil.example", "http://app.example.com", "chrome-extension://x", "http://[",
    ],
)  # fmt: skip
async def test_page_of_another_site_does_not_call_in_demo_mode(demo: Service, origin: str) -> None:
    assert [await read(demo, path, Origin=origin) for path in READS] == [403] * len(READS)
    assert await publish(demo, Origin=origin) == 403
    call = b'{"method": "redirectClient", "params": {"input": {"clientId": "a", "url": "https://x.example"}}}'
    assert (await demo.put("/functions", data=call, headers={**JSON, "Origin": origin})).status == 403


@pytest.mark.parametrize(
    "origin",
    [
        "own", "https://app.example.com", "http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:80",
        "https://demo.example.com",
    ],
)  # fmt: skip
async def test_page_of_its_own_or_this_machine_or_a_listed_site_calls_in_demo_mode(
    demo: Service, origin: str
) -> None:
    own = f"http://{demo.client.host}:{demo.client.port}"
    headers = {"Origin": own if origin == "own" else origin}

    assert await read(demo, "/sse/connect?clientId=a", **headers) == 200
    assert await publish(demo, **headers) == 200


@pytest.mark.parametrize("mode", ["no-cors", "navigate", "cors", ""])
async def test_script_or_frame_of_another_site_opens_no_stream_in_demo_mode(demo: Service, mode: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}

    assert await read(demo, "/sse/connect?clientId=a", **headers) == 403


@pytest.mark.parametrize(
    ("path", "site", "mode"),
    [
        ("/", "cross-site", "navigate"),
        ("/docs", "cross-site", "navigate"),
        ("/sse/connect?clientId=a", "same-origin", "cors"),
        ("/sse/connect?clientId=a", "same-site", "cors"),
        ("/sse/status", "none", "navigate"),
    ],
)
async def test_link_leads_to_the_pages_and_own_pages_go_on_in_demo_mode(
    demo: Service, path: str, site: str, mode: str
) -> None:
    assert await read(demo, path, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}) == 200


async def test_other_modes_are_called_by_any_name_and_page(start: Start) -> None:
    service = await start()
    token = mint("1", "service")

    for headers in ({"Host": "push.internal"}, {"Origin": "https://evil.example"}):
        async with service.client.get(f"/v1/app/sse?token={token}", headers=headers) as response:
            assert response.status == 200
        assert await publish(service, token, **headers) == 200


@pytest.mark.parametrize("host", ["https://x", "x:80", "*.example.com", "x/y", "a b", "*"])
def test_host_that_is_none_is_refused(settings_for: Any, host: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        settings_for(demo_hosts=host)


# -- what it says that it sends ---------------------------------------------------------------------

COMMANDS = [
    "/v1/events",
    "/v1/app/push",
    "/notifications/send",
    "/chat/send",
    "/api/users",
    "/api/auth/login/json",
]
UNASKED = [
    "text/plain",
    "TEXT/PLAIN; charset=utf-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
]


@pytest.mark.parametrize("content_type", [*UNASKED, "text/plain; application/json"])
@pytest.mark.parametrize("path", COMMANDS)
async def test_command_that_any_page_could_post_is_415_in_demo_mode(
    demo: Service, path: str, content_type: str
) -> None:
    answer = await demo.post(f"{path}?token={DEMO}", data=EVENT, headers={"Content-Type": content_type})

    assert answer.status == 415
    assert "application/json" in answer.json["detail"]


@pytest.mark.parametrize(
    "content_type", [*UNASKED, "", "application/octet-stream", "application/json, text/plain"]
)
async def test_page_has_to_say_that_it_sends_json(start: Start, content_type: str) -> None:
    service = await start()
    headers = {"Content-Type": content_type, "Origin": "https://app.example.com"}

    answer = await service.post(f"/v1/events?token={mint('1', 'service')}", data=EVENT, headers=headers)

    assert answer.status == 415
    assert (await service.post("/api/auth/login/json", data=EVENT, headers=headers)).status == 415


@pytest.mark.parametrize("content_type", UNASKED)
async def test_cookie_does_not_command_by_what_any_page_could_post(start: Start, content_type: str) -> None:
    service = await start()
    headers = {"Content-Type": content_type, "Cookie": f"access_token={mint('1', 'service')}"}

    assert (await service.post("/v1/events", data=EVENT, headers=headers)).status == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/JSON; charset=utf-8", "application/cloudevents+json"]
)
@pytest.mark.parametrize("mode", ["jwt", "demo"])
async def test_json_is_json_by_any_of_its_names(start: Start, content_type: str, mode: str) -> None:
    service = await start(auth_mode=mode, cors_origins="https://app.example.com")
    token = DEMO if mode == "demo" else mint("1", "service")
    headers = {"Content-Type": content_type, "Origin": "https://app.example.com"}

    assert (await service.post("/v1/events", token=token, data=EVENT, headers=headers)).status == 200


@pytest.mark.parametrize("mode", ["jwt", "demo"])
@pytest.mark.parametrize("content_type", [*UNASKED, "application/octet-stream", ""])
async def test_service_may_say_anything_or_nothing_of_its_json(
    start: Start, content_type: str, mode: str
) -> None:
    """`curl -d` says that it sends a form; nobody's page can send the header with the token unasked."""
    service = await start(auth_mode=mode)
    token = DEMO if mode == "demo" else mint("1", "service")

    answer = await service.post("/v1/events", token=token, data=EVENT, headers={"Content-Type": content_type})

    assert answer.status == 200


@pytest.mark.parametrize("content_type", ["application/octet-stream", ""])
async def test_service_may_say_nothing_of_its_json_in_demo_mode(demo: Service, content_type: str) -> None:
    headers = {"Content-Type": content_type}

    assert (await demo.post(f"/v1/events?token={DEMO}", data=EVENT, headers=headers)).status == 200


@pytest.mark.parametrize("content_type", UNASKED)
async def test_token_in_the_query_goes_with_any_type_outside_demo_mode(
    start: Start, content_type: str
) -> None:
    service = await start()
    headers = {"Content-Type": content_type}

    answer = await service.post(f"/v1/events?token={mint('1', 'service')}", data=EVENT, headers=headers)

    assert answer.status == 200
