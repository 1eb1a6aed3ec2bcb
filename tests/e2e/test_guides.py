"""The calls of the guides as docs/protocol.md writes them: commands by curl, streams by three clients that are not ours."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import ADMIN, SERVICE, demo
from tests.e2e.conftest import Serve
from tests.e2e.listeners import LISTENERS, Listener
from tests.e2e.stream import READ_WITHIN_S
from tests.process import ServerProcess, eventually, running

pytestmark = pytest.mark.process

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
GUIDE_TOKEN = "dGVzdDEyMzp0ZXN0dXNlcjp0ZXN0QGV4YW1wbGUuY29tOnVzZXIsYWRtaW4="  # test123, user and admin
Listen = Callable[..., AbstractAsyncContextManager[Listener]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    settings: dict[str, object] = {
        "redirect_origins": "https://example.com",
        "custom_interval_s": 0.1,
        "status_interval_s": 0.1,
    }
    async with running(tmp_path_factory.mktemp("guides"), **settings) as server:
        yield server


@pytest.fixture(params=LISTENERS)
def listen(request: pytest.FixtureRequest, server: ServerProcess) -> Listen:
    """Opens a stream of the server by one of the clients."""

    def open_(target: str, token: str | None = None, **headers: str) -> AbstractAsyncContextManager[Listener]:
        given = {"Authorization": f"Bearer {token}"} if token else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return LISTENERS[request.param](server.url + target, given)

    return open_


async def curl(
    server: ServerProcess, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, Any]:
    """One call by curl: the status, and the body's JSON. *body* is JSON, or text as it is."""
    command = ["curl", "-s", "-m", str(READ_WITHIN_S), "-X", method, "-w", "\n%{http_code}"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    if body is not None:
        command += [
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            body if isinstance(body, str) else json.dumps(body),
        ]
    for name, value in headers.items():
        command += ["-H", f"{name.replace('_', '-')}: {value}"]
    process = await asyncio.create_subprocess_exec(
        *command, server.url + path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    text, _, status = output.decode().rpartition("\n")
    return int(status), json.loads(text)


def timed(said: dict[str, Any]) -> dict[str, Any]:
    """*said* without its timestamp, which is in the protocol's form."""
    assert TIMESTAMP.fullmatch(said["timestamp"])
    return {name: value for name, value in said.items() if name != "timestamp"}


def redirect(client_id: Any, url: Any, method: str = "redirectClient") -> dict[str, Any]:
    caller: dict[str, Any] = {"channel": {"id": "channel-id"}, "caller": {"id": "1", "type": "user"}}
    return {"method": method, "params": {"input": {"clientId": client_id, "url": url}}, "context": caller}


# -- channel apps --------------------------------------------------------------------------------------------


async def test_g0_a_client_is_redirected_and_told(server: ServerProcess, listen: Listen) -> None:
    url = "https://example.com/checkout"
    async with listen("/sse/connect?clientId=user-abc123") as listener:
        answer = await curl(server, "PUT", "/functions", redirect("user-abc123", url))
        message = "Redirect command sent to client user-abc123"
        assert answer == (200, {"result": {"type": "string", "attributes": {"message": message}}})
        got = await listener.next()
        assert (got.event, timed(got.json)) == ("message", {"type": "redirect", "url": url})
        answer = await curl(server, "PUT", "/functions/v1", redirect("user-abc123", url + "?again"))
        assert answer[0] == 200 and "result" in answer[1]
        assert (await listener.next()).json["url"] == url + "?again"

        said = {"type": "notification", "message": "hello", "timestamp": "2026-01-18T10:30:00.000Z"}
        status, kept = await curl(
            server, "POST", "/v1/events", {"topic": "client", "broadcast": True, "data": said}, SERVICE
        )
        got = await listener.next()
        assert (status, kept, got.json) == (200, {"id": got.id}, said)
        custom = {
            "type": "custom",
            "action": "open",
            "payload": {"b": 1, "a": [2]},
            "timestamp": "2026-01-18T10:30:00.000Z",
        }
        await curl(
            server,
            "POST",
            "/v1/events",
            {"topic": "client", "userId": "user-abc123", "data": custom},
            SERVICE,
        )
        assert (await listener.next()).data == json.dumps(custom, separators=(",", ":"))

        # Streams of the tests before may be found closed a moment later.
        async def counted() -> bool:
            return await curl(server, "GET", "/sse/status") == (200, {"connected": 1, "clients": 1})

        await eventually(counted, "one stream is counted")
        _, status_of_all = await curl(server, "GET", "/sse/status", token=ADMIN)
        assert status_of_all["clientIds"] == ["user-abc123"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            redirect("nobody", "https://example.com/"),
            200,
            ("CLIENT_NOT_CONNECTED", "Client nobody is not connected"),
        ),
        (
            redirect("x", "https://example.com/", "nonsense"),
            200,
            ("METHOD_NOT_FOUND", "Unknown method: nonsense"),
        ),
        (redirect("", "https://example.com/"), 200, ("INVALID_PARAMS", "clientId and url are required")),
        (redirect("x", ""), 200, ("INVALID_PARAMS", "clientId and url are required")),
        ({"method": "redirectClient"}, 200, ("INVALID_PARAMS", "clientId and url are required")),
        (
            {"method": "redirectClient", "params": {}},
            200,
            ("INVALID_PARAMS", "clientId and url are required"),
        ),
        ({"params": {}}, 200, ("INVALID_PARAMS", "method is required")),
        (redirect("x", "https://example.com.evil.net/"), 200, ("INVALID_PARAMS", None)),
        (redirect("x", "http://example.com/"), 200, ("INVALID_PARAMS", None)),
        ("{not json", 400, ("PARSE_ERROR", None)),
    ],
)
async def test_g0_what_can_not_be_done_has_its_error(
    server: ServerProcess, body: Any, status: int, error: tuple[str, str | None]
) -> None:
    answered, answer = await curl(server, "PUT", "/functions", body)
    assert answered == status
    assert list(answer) == ["error"] and answer["error"]["type"] == error[0]
    assert answer["error"]["message"] == error[1] or (error[1] is None and answer["error"]["message"])


async def test_g0_a_signed_function_is_called_only_with_its_signature(serve: Serve) -> None:
    key = "ab" * 32
    server = await serve(function_signing_key=key)
    body = '{"method":"hello","params":{"name":"world"}}'
    signature = "CEqczT1GA1SQjMn+Ae9nBrxAFSexxoJvzv3XphRQntw="
    status, answer = await curl(server, "PUT", "/functions", body, X_Signature=signature)
    assert (status, answer["error"]["type"]) == (200, "METHOD_NOT_FOUND")
    of_other_key = base64.b64encode(hmac.new(b"other", body.encode(), hashlib.sha256).digest()).decode()
    for wrong in ("", "nonsense", signature[:-1], signature.lower(), of_other_key):
        refused = {"error": {"type": "UNAUTHORIZED", "message": "invalid signature"}}
        assert await curl(server, "PUT", "/functions", body, X_Signature=wrong) == (401, refused)
    assert (await curl(server, "PUT", "/functions", body + " ", X_Signature=signature))[0] == 401


# -- notifications, realtime, chat --------------------------------------------------------------------------------------------


async def test_g1_notifications_reach_whom_they_name(server: ServerProcess, listen: Listen) -> None:
    async with (
        listen("/notifications/stream", demo("ann")) as ann,
        listen("/notifications/stream", GUIDE_TOKEN) as guide,
    ):
        said = {"title": "Paid", "message": "Thank you", "type": "success"}
        for audience, listeners in (
            ({"userId": "ann"}, [ann]),
            ({"userIds": ["test123", "ben"]}, [guide]),
            ({}, [ann, guide]),
        ):
            status, kept = await curl(
                server, "POST", "/notifications/send", {**said, **audience}, GUIDE_TOKEN
            )
            assert status == 200
            for listener in listeners:
                got = await listener.next()
                assert (got.event, got.id, timed(got.json)) == ("message", kept["id"], said)
        status, problem = await curl(
            server, "POST", "/notifications/send", {**said, "type": "nonsense"}, GUIDE_TOKEN
        )
        assert (status, problem["status"]) == (422, 422)
        assert (await curl(server, "POST", "/notifications/send", said, demo("ann")))[0] == 403
        assert (await curl(server, "POST", "/notifications/send", said))[0] == 401


async def test_g1_realtime_updates_are_narrowed_to_an_entity(server: ServerProcess, listen: Listen) -> None:
    async with (
        listen("/realtime/stream", demo("ann")) as all_,
        listen("/realtime/stream?entityType=order", demo("ann")) as orders,
        listen("/realtime/stream?entityType=order&entityId=7", demo("ann")) as one,
    ):
        updates = [
            {"entityType": type_, "entityId": id_, "action": "updated", "data": {"n": id_}}
            for type_, id_ in (("user", "7"), ("order", "8"), ("order", "7"))
        ]
        for update in updates:
            assert (await curl(server, "POST", "/realtime/update", update, ADMIN))[0] == 200
        for listener, expected in ((all_, updates), (orders, updates[1:]), (one, updates[2:])):
            assert [timed((await listener.next()).json) for _ in expected] == expected


async def test_g1_a_chat_message_reaches_its_room(server: ServerProcess, listen: Listen) -> None:
    async with (
        listen("/chat/stream?room=tea", demo("ann")) as tea,
        listen("/chat/stream?room=coffee", demo("ann")) as coffee,
    ):
        for room in ("tea", "coffee"):
            assert (
                await curl(
                    server, "POST", "/chat/send", {"roomId": room, "message": f"hot {room}"}, demo("ben")
                )
            )[0] == 200
        for listener, room in ((tea, "tea"), (coffee, "coffee")):
            said = {"roomId": room, "message": f"hot {room}", "userId": "ben", "username": "name of ben"}
            assert timed((await listener.next()).json) == said


async def test_g1_streams_for_anyone_tick(server: ServerProcess, listen: Listen) -> None:
    async with listen("/custom/stream") as custom, listen("/system/status/stream") as system:
        for _ in range(2):
            tick = (await custom.next()).json
            assert list(tick) == ["hello", "customData", "timestamp"] and timed(tick)["hello"] == "world"
            seen = await system.next()
            _, asked = await curl(server, "GET", "/system/status")
            assert list(seen.json) == list(asked)
            assert seen.json["nodeId"] == asked["nodeId"] and seen.json["status"] == "ok"


# -- app pushes and the rest -------------------------------------------------------------------------------


async def test_g2_a_push_to_42_reaches_the_stream_of_42(server: ServerProcess, listen: Listen) -> None:
    async with listen("/v1/app/sse/42", demo(42)) as by_path, listen("/v1/app/sse", demo(42)) as own:
        said = {"message": "hello", "userId": 42}
        status, kept = await curl(server, "POST", "/v1/app/push", said, SERVICE)
        assert status == 200
        for listener in (by_path, own):
            got = await listener.next()
            assert (got.event, got.id, got.data) == ("message", kept["id"], '{"message":"hello","userId":42}')
        assert (await curl(server, "POST", "/v1/app/push", said, demo(42)))[0] == 403


async def test_many_topics_come_over_one_connection(server: ServerProcess, listen: Listen) -> None:
    async with listen("/v1/stream?topics=app,notifications,chat:tea", demo("ann")) as listener:
        for event in (
            {"userId": "ann", "data": {"n": 1}},
            {"userId": "ann", "event": "named", "data": "two\nlines"},
            {"room": "tea", "data": 3},
        ):
            assert (await curl(server, "POST", "/v1/events", event, SERVICE))[0] == 200
        got = [await listener.next() for _ in range(3)]
        assert [(frame.event, frame.data) for frame in got] == [
            ("app", '{"n":1}'),
            ("app/named", "two\nlines"),
            ("chat:tea", "3"),
        ]


async def test_a_stream_is_resumed_from_the_last_event_id(server: ServerProcess, listen: Listen) -> None:
    async with listen("/v1/app/sse", demo("ben")) as listener:
        await curl(server, "POST", "/v1/app/push", {"message": "first", "userId": "ben"}, SERVICE)
        last = await listener.next()
    for message in ("second", "third"):
        await curl(server, "POST", "/v1/app/push", {"message": message, "userId": "ben"}, SERVICE)
    assert last.id is not None
    async with listen("/v1/app/sse", demo("ben"), Last_Event_ID=last.id) as listener:
        assert [(await listener.next()).json["message"] for _ in range(2)] == ["second", "third"]


async def test_a_key_publishes_once_and_a_bad_list_not_at_all(server: ServerProcess) -> None:
    event = {"userId": "ann", "data": 1}
    first = await curl(server, "POST", "/v1/events", event, SERVICE, Idempotency_Key="order-7")
    assert first[0] == 200
    assert await curl(server, "POST", "/v1/events", event, SERVICE, Idempotency_Key="order-7") == first
    assert await curl(server, "POST", "/v1/events", {**event, "key": "order-7"}, SERVICE) == first
    status, answer = await curl(server, "POST", "/v1/events", [event, {**event, "key": "order-7"}], SERVICE)
    assert status == 200 and answer["ids"][1] == first[1]["id"] and answer["ids"][0] != first[1]["id"]
    for bad in (
        {"data": 1},
        {**event, "room": "tea"},
        {**event, "ttl": -1},
        {**event, "event": "a\nid: 1"},
        {**event, "userId": ""},
    ):
        status, problem = await curl(server, "POST", "/v1/events", [event, event, bad], SERVICE)
        assert (status, [error["index"] for error in problem["errors"]]) == (422, [2]), bad
        assert problem["errors"][0]["detail"]
    for topic in ("presence", "system", "custom", "nonsense"):
        assert (
            await curl(server, "POST", "/v1/events", {"topic": topic, "broadcast": True, "data": 1}, SERVICE)
        )[0] == 422
