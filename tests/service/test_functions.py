"""Channel functions without HTTP: what they answer, and signatures."""

from typing import Any

import pytest

from sse_push.events.errors import FunctionFailed
from sse_push.service.functions import Functions, is_signed
from sse_push.service.streams.client import RedirectEvent
from tests.conftest import Clock, SettingsFactory

KEY = "ab" * 32
BODY = b'{"method":"hello","params":{"name":"world"}}'
SIGNATURE = "CEqczT1GA1SQjMn+Ae9nBrxAFSexxoJvzv3XphRQntw="


class FakeClients:
    """Clients of whom some are connected."""

    def __init__(self, *connected: str) -> None:
        self.connected = connected
        self.sent: list[tuple[str, RedirectEvent]] = []

    async def send_to_client(self, client_id: str, event: RedirectEvent) -> bool:
        if client_id not in self.connected:
            return False
        self.sent.append((client_id, event))
        return True


@pytest.fixture
def clients() -> FakeClients:
    return FakeClients("a", "7")


@pytest.fixture
def functions(clients: FakeClients, settings_for: SettingsFactory) -> Functions:
    settings = settings_for(redirect_origins="https://example.com")
    return Functions(clients, settings, Clock(1_768_732_200.0))  # type: ignore[arg-type]


def _call(client_id: Any, url: Any) -> dict[str, Any]:
    return {"method": "redirectClient", "params": {"input": {"clientId": client_id, "url": url}}}


async def test_redirect_is_sent_with_its_time(functions: Functions, clients: FakeClients) -> None:
    result = await functions.call(_call("a", "https://example.com/x"))

    assert result == {"type": "string", "attributes": {"message": "Redirect command sent to client a"}}
    [(client_id, event)] = clients.sent
    assert client_id == "a"
    assert event.model_dump() == {
        "type": "redirect",
        "url": "https://example.com/x",
        "timestamp": "2026-01-18T10:30:00.000Z",
    }


async def test_number_means_its_text(functions: Functions, clients: FakeClients) -> None:
    await functions.call(_call(7, "https://example.com"))

    assert clients.sent[0][0] == "7"


@pytest.mark.parametrize(
    ("request_", "type_"),
    [
        (None, "INVALID_PARAMS"),
        (1, "INVALID_PARAMS"),
        ({}, "INVALID_PARAMS"),
        ({"method": "x"}, "METHOD_NOT_FOUND"),
        (_call("", "https://example.com"), "INVALID_PARAMS"),
        (_call("x" * 129, "https://example.com"), "INVALID_PARAMS"),
        (_call("a\n", "https://example.com"), "INVALID_PARAMS"),
        (_call(True, "https://example.com"), "INVALID_PARAMS"),
        (_call("a", "https://evil.net"), "INVALID_PARAMS"),
        (_call("b", "https://example.com"), "CLIENT_NOT_CONNECTED"),
    ],
)
async def test_call_that_fails_says_how_and_sends_nothing(
    functions: Functions, clients: FakeClients, request_: Any, type_: str
) -> None:
    with pytest.raises(FunctionFailed) as caught:
        await functions.call(request_)

    assert caught.value.type == type_
    assert not clients.sent


async def test_url_is_looked_at_before_the_client(functions: Functions) -> None:
    """Whether a client is connected is not told to one who may not redirect there."""
    with pytest.raises(FunctionFailed) as caught:
        await functions.call(_call("b", "https://evil.net"))

    assert caught.value.type == "INVALID_PARAMS"


def test_signature_of_the_contract() -> None:
    assert is_signed(BODY, SIGNATURE, KEY)


@pytest.mark.parametrize(
    ("body", "signature", "key"),
    [
        (BODY + b"\n", SIGNATURE, KEY),
        (BODY, SIGNATURE[:-1], KEY),
        (BODY, SIGNATURE + "\n", KEY),
        (BODY, "", KEY),
        (BODY, "é", KEY),
        (BODY, "\udcff", KEY),
        (BODY, SIGNATURE.replace("+", "-"), KEY),  # the URL-safe alphabet is another
        (BODY, SIGNATURE, "cd" * 32),
        (BODY, SIGNATURE, ""),
    ],
)
def test_signature_that_is_another_is_not_good(body: bytes, signature: str, key: str) -> None:
    assert not is_signed(body, signature, key)
