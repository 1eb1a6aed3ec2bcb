"""Requests as bytes, whole and begun, and how the tests here see that a connection is closed."""

import asyncio

from tests.conftest import Peer, mint

LIMIT_S = 0.2  # request_timeout_s of these tests
LATE_S = 3.0  # a deadline far above it: what is not closed by then is not closed at all
SERVICE = mint("publisher", "service")
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\n".encode()


async def until_closed(peer: Peer) -> None:
    async with asyncio.timeout(LATE_S):
        await peer.rest()


async def publish(peer: Peer) -> tuple[str, bytes]:
    body = b'{"broadcast":true,"data":1}'
    await peer.send(POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return await peer.answer()
