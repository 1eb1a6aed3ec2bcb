"""Bodies in and out: JSON into models, models into JSON, commands counted."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from sse_push.handlers.bodies import json_response
from tests.conftest import Listen, Service, Start, mint, until

ADMIN = mint("root", "admin")
USER = mint("42")
COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/app/push", {"message": "hi", "userId": 42}),
    ("/notifications/send", {"title": "t", "message": "m", "type": "info"}),
    ("/realtime/update", {"entityType": "order", "entityId": "1", "action": "created", "data": {}}),
    ("/chat/send", {"roomId": "general", "message": "hi"}),
    ("/v1/events", {"broadcast": True, "data": 1}),
]


class Form(BaseModel):
    given: int = Field(serialization_alias="asGiven")
    absent: str | None = None


def test_answer_uses_aliases_and_leaves_out_what_is_not_there() -> None:
    response = json_response(Form(given=1), status=201)

    assert response.body == b'{"asGiven":1}'
    assert (response.status, response.content_type) == (201, "application/json")


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS])
@pytest.mark.parametrize("body", [b"", b"{", b"hello", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000])
async def test_body_that_is_no_json_is_400(start: Start, path: str, body: bytes) -> None:
    service = await start()

    answer = await service.post(path, token=ADMIN, data=body)

    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS])
@pytest.mark.parametrize("body", [b"1", b'"text"', b"null", b"{}", b"[1]"])
async def test_body_that_is_json_of_another_form_is_422(start: Start, path: str, body: bytes) -> None:
    service = await start()

    answer = await service.post(path, token=ADMIN, data=body)

    assert answer.status == 422
    assert answer.json["errors"][0]["detail"]


@pytest.mark.parametrize(("path", "body"), COMMANDS)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_body_with_what_is_no_number_in_json_is_refused(
    start: Start, path: str, body: dict[str, Any], number: str
) -> None:
    """Every field that takes any JSON, or fields that are not its own."""
    service = await start()
    given = {**body, "data": 0} if "data" in body else {**body, "more": 0}
    text = (
        json.dumps(given, separators=(",", ":"))
        .replace('"data":0', f'"data":[{number}]')
        .replace('"more":0', f'"more":{number}')
    )

    answer = await service.post(path, token=ADMIN, data=text)

    assert answer.status in (400, 422), answer.body
    assert service.node.engine.head == 0


@pytest.mark.parametrize(("path", "body"), COMMANDS)
async def test_commands_of_a_user_have_a_rate(start: Start, path: str, body: dict[str, Any]) -> None:
    """One in two seconds, with a burst of one."""
    service = await start(user_commands_per_s=0.5, service_commands_per_s=0.5)
    token = USER if path == "/chat/send" else ADMIN

    first = await service.post(path, token=token, json=body)
    second = await service.post(path, token=token, json=body)

    assert first.status == 200
    assert second.status == 429
    assert second.json["limit"] == "rate"
    assert 1 <= int(second.headers["Retry-After"]) <= 2


async def test_rate_is_each_callers_own(start: Start) -> None:
    service: Service = await start(user_commands_per_s=0.1)
    body = {"roomId": "general", "message": "hi"}

    statuses = [
        (await service.post("/chat/send", token=mint(user), json=body)).status for user in ("1", "2", "1")
    ]

    assert statuses == [200, 200, 429]


async def test_rate_of_services_is_unlimited_by_default(start: Start) -> None:
    service = await start(user_commands_per_s=0.1)

    for _ in range(5):
        await service.publish(broadcast=True, data=1)


@pytest.mark.parametrize(
    ("path", "type_"), [("/v1/app/push", "application/json"), ("/v1/events", "application/x-ndjson")]
)
async def test_connection_that_is_cut_as_more_of_a_body_comes_is_no_crash(
    listen: Listen, logged: list[dict[str, Any]], path: str, type_: str
) -> None:
    server = await listen()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: {type_}\r\n"
    peer = await server.connect(f"{head}Content-Length: 99\r\n\r\n".encode())
    await until(lambda: server.site._guard.open)
    [connection] = server.site._guard.open
    await until(
        lambda: connection._relay and getattr(connection._relay.lent._payload, "_waiter", None)
    )  # it is being read

    connection.data_received(b"a")
    connection.abort()

    await peer.rest()
    await server.close()
    assert "request.unhandled_error" not in {line["event"] for line in logged}
