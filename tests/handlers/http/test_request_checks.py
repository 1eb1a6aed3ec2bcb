"""Requests that are refused by their head: nothing of their bodies is read, and nothing of them taken for another."""

import asyncio
import json
import zlib

import pytest

from tests.conftest import Listen, Peer, mint

SERVICE = mint("publisher", "service")
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
EVENT = b'{"broadcast":true,"data":1}'
PATHS = ["/v1/events", "/chat/send", "/nothing", "/healthz", "/api/auth/login/json"]


def post(lines: str, body: bytes = EVENT, path: str = "/v1/events", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\nContent-Type: application/json\r\n"
    if "Transfer-Encoding" in lines:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines += f"Content-Length: {len(body)}\r\n"
    return f"{head}{lines}\r\n".encode("latin-1") + body


async def refused(peer: Peer, status: int) -> str:
    head, body = await peer.answer()
    assert head.split()[:2] == ["HTTP/1.1", str(status)], head
    assert "aiohttp" not in head.lower()
    assert "connection: close" in head.lower()
    document = json.loads(body)
    assert (document["status"], document["type"]) == (status, "about:blank")
    assert f"x-request-id: {document['request_id']}\r\n" in head.lower()
    assert await peer.rest() == b""
    return head


# -- compressed bodies -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_compressed_body_is_refused_on_every_path(listen: Listen, path: str) -> None:
    server = await listen()
    bomb = zlib.compress(b"0" * 10_000_000, wbits=31)

    peer = await server.connect(post("Content-Encoding: gzip\r\n", bomb, path))

    assert "accept-encoding: identity" in (await refused(peer, 415)).lower()
    assert server.node.metrics.requests == {415: 1}


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Content-Encoding: GZip\r\n",
        "Content-Encoding: deflate\r\n",
        "Content-Encoding: br\r\n",
        "Content-Encoding: zstd\r\n",
        "Content-Encoding: x-gzip\r\n",
        "Content-Encoding: identity, gzip\r\n",
        "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
        "Content-Encoding: g\xfczip\r\n",
        "Content-Encoding: aes128gcm\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Expect: 100-continue\r\nContent-Encoding: gzip\r\n",
    ],
)
async def test_body_in_any_coding_is_refused(listen: Listen, lines: str) -> None:
    server = await listen()

    await refused(await server.connect(post(lines)), 415)


async def test_compressed_body_is_refused_before_it_has_come(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(
        post("Content-Encoding: gzip\r\n", b"", "/nothing").replace(b"Length: 0", b"Length: 9")
    )

    head, _ = await peer.answer()

    assert head.startswith("HTTP/1.1 415")


@pytest.mark.parametrize(
    "lines",
    ["Content-Encoding: identity\r\n", "Content-Encoding: Identity, identity\r\n", "Content-Encoding: \r\n"],
)
async def test_identity_is_no_coding(listen: Listen, lines: str) -> None:
    server = await listen()

    peer = await server.connect(post(lines))

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_coding_of_no_body_is_nothing(listen: Listen) -> None:
    server = await listen()

    peer = await server.connect(HEALTHZ[:-2] + b"Content-Encoding: gzip\r\n\r\n")

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_page_of_another_origin_can_read_why_it_was_refused(listen: Listen) -> None:
    server = await listen(cors_origins=("https://app.example.com",))
    peer = await server.connect(
        post("Content-Encoding: gzip\r\nOrigin: https://app.example.com\r\nX-Request-ID: mine\r\n")
    )

    head, _ = await peer.answer()

    assert "access-control-allow-origin: https://app.example.com" in head.lower()
    assert "x-request-id: mine" in head.lower()


# -- expectations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/events", "/nothing"])
@pytest.mark.parametrize(
    "expect", ["foo", "\xca", "100-continue, foo", "100-continue\r\nExpect: foo", "101-continue"]
)
async def test_expectation_that_can_not_be_met_is_refused(listen: Listen, path: str, expect: str) -> None:
    server = await listen()

    await refused(await server.connect(post(f"Expect: {expect}\r\n", path=path)), 417)


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
async def test_client_that_waits_is_told_to_go_on(listen: Listen, expect: str) -> None:
    server = await listen()
    whole = post(f"Expect: {expect}\r\n")
    peer = await server.connect(whole[: -len(EVENT)])

    assert await peer.head() == "HTTP/1.1 100 Continue\r\n\r\n"
    await peer.send(EVENT)
    assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_expectation_of_http_1_0_is_ignored(listen: Listen) -> None:
    server = await listen()

    peer = await server.connect(post("Expect: foo\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"))

    assert (await peer.answer())[0].split()[1] == "200"


# -- other protocols -------------------------------------------------------------------------------

UPGRADES = [
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0, h2c\r\n",
]


@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_connection_of_a_client_that_would_speak_another_protocol_ends_with_the_answer(
    listen: Listen, upgrade: str
) -> None:
    """The parser loses what comes behind: the rest could be taken for a request."""
    server = await listen()
    hidden = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    peer = await server.connect(HEALTHZ[:-2] + upgrade.encode() + b"\r\n" + hidden)

    head, body = await peer.answer()

    assert (head.split()[:2], json.loads(body)) == (["HTTP/1.1", "200"], {"status": "ok"})
    assert "connection: close" in head.lower()
    assert await peer.rest() == b""


@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_publish_that_asks_for_another_protocol_is_published_once(listen: Listen, upgrade: str) -> None:
    server = await listen()
    peer = await server.connect(post(""))
    await peer.answer()
    before = server.node.engine.head

    await peer.send(post(upgrade) + post(""))

    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert await peer.rest() == b""
    assert server.node.engine.head == before + 1


async def test_protocol_that_is_only_named_is_ignored(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect((HEALTHZ[:-2] + b"Upgrade: h2c\r\n\r\n") * 2)

    assert [(await peer.answer())[0][9:12] for _ in range(2)] == ["200", "200"]


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/2.0"])
async def test_other_version_is_refused_in_http_1_1(listen: Listen, version: bytes) -> None:
    server = await listen()

    await refused(await server.connect(HEALTHZ.replace(b"HTTP/1.1", version)), 400)


async def test_refusal_of_http_1_0_is_http_1_1(listen: Listen) -> None:
    server = await listen()

    await refused(
        await server.connect(post("Content-Encoding: gzip\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")), 415
    )


async def test_tunnel_is_refused(listen: Listen) -> None:
    server = await listen()
    peer = await server.connect(b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n" + HEALTHZ)

    head, _ = await peer.answer()

    assert head.split()[1] in ("404", "405")
    peer.writer.write_eof()
    async with asyncio.timeout(5):
        assert await peer.rest() == b""
