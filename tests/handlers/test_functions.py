"""``PUT /functions``: every row of the protocol's table, signatures, who may call."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from tests.conftest import Answer, Listen, Service, Start, mint, until

ADMIN = mint("root", "admin")
SERVICE = mint("publisher", "service")
KEY = "ab" * 32
URL = "https://example.com/checkout"


@pytest.fixture
async def service(start: Start) -> Service:
    return await start(redirect_origins="https://example.com", auth_mode="demo")


def _call(client_id: Any = "user-abc123", url: Any = URL) -> dict[str, Any]:
    return {
        "method": "redirectClient",
        "params": {"input": {"clientId": client_id, "url": url}},
        "context": {"channel": {"id": "channel-id"}, "caller": {"id": "1", "type": "user"}},
    }


async def _put(service: Service, body: Any, path: str = "/functions", **more: Any) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.put(path, data=data, **more)


async def test_redirect_reaches_the_client(service: Service) -> None:
    stream = await service.open("/sse/connect?clientId=user-abc123")

    answer = await _put(service, _call())

    assert answer.status == 200
    assert answer.json == {
        "result": {"type": "string", "attributes": {"message": "Redirect command sent to client user-abc123"}}
    }
    event = (await stream.event()).json
    assert event.pop("timestamp").endswith("Z")
    assert event == {"type": "redirect", "url": URL}


@pytest.mark.parametrize("path", ["/functions/v1", "/functions/2"])
async def test_versions_are_answered_alike(service: Service, path: str) -> None:
    assert (await _put(service, {"method": "nothing"}, path)).json["error"]["type"] == "METHOD_NOT_FOUND"


MISSING = "clientId and url are required"


@pytest.mark.parametrize(
    ("body", "type_", "message"),
    [
        ({"method": "nothing"}, "METHOD_NOT_FOUND", "Unknown method: nothing"),
        ({"method": "__init__"}, "METHOD_NOT_FOUND", "Unknown method: __init__"),
        ({"method": "redirectClient"}, "INVALID_PARAMS", MISSING),
        ({"method": "redirectClient", "params": {}}, "INVALID_PARAMS", MISSING),
        ({"method": "redirectClient", "params": None}, "INVALID_PARAMS", MISSING),
        ({"method": "redirectClient", "params": []}, "INVALID_PARAMS", MISSING),
        ({"method": "redirectClient", "params": {"input": None}}, "INVALID_PARAMS", MISSING),
        ({"method": "redirectClient", "params": {"input": {}}}, "INVALID_PARAMS", MISSING),
        (_call(client_id=""), "INVALID_PARAMS", MISSING),
        (_call(client_id=None), "INVALID_PARAMS", MISSING),
        (_call(client_id=["a"]), "INVALID_PARAMS", MISSING),
        (_call(url=""), "INVALID_PARAMS", MISSING),
        (_call(url=None), "INVALID_PARAMS", MISSING),
        (_call(url=1), "INVALID_PARAMS", MISSING),
        ({}, "INVALID_PARAMS", "method is required"),
        ({"method": ""}, "INVALID_PARAMS", "method is required"),
        ({"method": None}, "INVALID_PARAMS", "method is required"),
        ({"method": ["redirectClient"]}, "INVALID_PARAMS", "method is required"),
        ([], "INVALID_PARAMS", "method is required"),
        ("redirectClient", "INVALID_PARAMS", "method is required"),
        (_call(), "CLIENT_NOT_CONNECTED", "Client user-abc123 is not connected"),
        (_call(client_id=7), "CLIENT_NOT_CONNECTED", "Client 7 is not connected"),
    ],
)
async def test_error_is_that_of_the_contract(service: Service, body: Any, type_: str, message: str) -> None:
    answer = await _put(service, body)

    assert answer.status == 200
    assert answer.json == {"error": {"type": type_, "message": message}}
    assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    "url", ["https://evil.net/", "javascript:alert(1)", "//example.com", "http://example.com/"]
)
async def test_url_that_is_not_allowed_is_refused_and_says_why(service: Service, url: str) -> None:
    stream = await service.open("/sse/connect?clientId=user-abc123")

    answer = await _put(service, _call(url=url))
    await _put(service, _call())

    assert answer.status == 200
    assert answer.json["error"]["type"] == "INVALID_PARAMS"
    assert answer.json["error"]["message"].startswith("url ")
    assert (await stream.event()).json["url"] == URL


@pytest.mark.parametrize(
    "body", [b"", b"{", b"hello", b"{'method': 'x'}", b"\xff", b"[" * 100_000, b'{"method": NaN}']
)
async def test_body_that_is_no_json_is_400(service: Service, body: bytes) -> None:
    answer = await _put(service, body)

    assert answer.status == 400
    assert answer.json["error"]["type"] == "PARSE_ERROR"
    assert answer.json["error"]["message"]


async def test_crash_tells_nothing_secret(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> bool:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(service.node.clients, "send_to_client", crash)
    answer = await _put(service, _call())

    assert answer.status == 200
    assert answer.json["error"]["type"] == "INTERNAL_ERROR"
    assert b"hunter2" not in answer.body


async def test_client_whose_stream_closed_is_not_connected(service: Service) -> None:
    stream = await service.open("/sse/connect?clientId=user-abc123")
    stream.close()
    await until(lambda: len(service.node.connections) == 0)

    assert (await _put(service, _call())).json["error"]["type"] == "CLIENT_NOT_CONNECTED"


# -- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("bad", 401), (mint("42"), 403), (SERVICE, 200), (ADMIN, 200)]
)
async def test_call_without_a_key_wants_a_service_or_an_admin(
    start: Start, token: str | None, status: int
) -> None:
    assert (await _put(await start(), _call(), token=token)).status == status


def _sign(body: bytes, key: str = KEY) -> str:
    return base64.b64encode(hmac.new(bytes.fromhex(key), body, hashlib.sha256).digest()).decode()


async def test_signature_of_the_contracts_example_is_good(start: Start) -> None:
    service = await start(function_signing_key=KEY)
    body = b'{"method":"hello","params":{"name":"world"}}'
    signature = "CEqczT1GA1SQjMn+Ae9nBrxAFSexxoJvzv3XphRQntw="

    answer = await _put(service, body, headers={"X-Signature": signature})

    assert answer.status == 200
    assert answer.json == {"error": {"type": "METHOD_NOT_FOUND", "message": "Unknown method: hello"}}


BODY = json.dumps(_call()).encode()


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "nonsense",
        _sign(BODY + b" "),
        _sign(BODY, "cd" * 32),
        _sign(BODY)[:-1],
        _sign(BODY) + "=",
        _sign(BODY).lower(),
        "sha256=" + _sign(BODY),
        hmac.new(bytes.fromhex(KEY), BODY, hashlib.sha256).hexdigest(),
        _sign(BODY, KEY.encode().hex()),  # keyed with the text of the key, not with its bytes
        "é" * 44,
    ],
)
@pytest.mark.parametrize("mode", ["jwt", "demo"])
async def test_signature_that_is_wrong_is_401(start: Start, signature: str | None, mode: str) -> None:
    service = await start(function_signing_key=KEY, auth_mode=mode)
    headers = {} if signature is None else {"X-Signature": signature}

    answer = await _put(service, BODY, headers=headers)

    assert answer.status == 401
    assert answer.json == {"error": {"type": "UNAUTHORIZED", "message": "invalid signature"}}


async def test_token_does_not_stand_in_for_a_signature(start: Start) -> None:
    service = await start(function_signing_key=KEY)

    assert (await _put(service, BODY, token=ADMIN)).status == 401


@pytest.mark.parametrize("key", [KEY, KEY.upper()])
async def test_signature_that_is_good_needs_no_token(start: Start, key: str) -> None:
    service = await start(function_signing_key=key)

    assert (await _put(service, BODY, headers={"X-Signature": _sign(BODY)})).status == 200


async def test_signature_is_over_the_raw_body(start: Start) -> None:
    service = await start(function_signing_key=KEY)
    body = b'{ "method" : "hello" }\n'

    assert (await _put(service, body, headers={"X-Signature": _sign(body)})).status == 200


async def test_body_is_looked_at_only_when_its_signature_is_good(start: Start) -> None:
    service = await start(function_signing_key=KEY)

    assert (await _put(service, b"{", headers={"X-Signature": "x"})).status == 401
    assert (await _put(service, b"{", headers={"X-Signature": _sign(b"{")})).status == 400


async def test_call_that_must_be_signed_and_is_not_is_refused_unread(listen: Listen) -> None:
    """Anybody can send a body: nobody's is taken in before it is known to be wanted."""
    server = await listen(function_signing_key="ab" * 32)
    peer = await server.connect(b"PUT /functions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
    head, body = await peer.answer()
    assert head.startswith("HTTP/1.1 401")
    assert json.loads(body)["error"]["type"] == "UNAUTHORIZED"


async def test_bad_token_is_refused_in_demo_mode_too(start: Start) -> None:
    service = await start(auth_mode="demo")
    answer = await service.put("/functions", token="no token", json={"method": "x"})
    assert answer.status == 401
