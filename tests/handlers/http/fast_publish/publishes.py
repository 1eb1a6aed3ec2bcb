"""Publishes as bytes, and connections on which some were read already."""

from tests.conftest import Listening, Peer, mint

SERVICE = mint("publisher", "service")
ONE = b'{"userId":"42","data":{"a":1}}'


def post(body: bytes, more: str = "", token: str = SERVICE) -> bytes:
    type_ = "" if "Content-Type" in more else "Content-Type: application/json\r\n"
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{type_}{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def known(server: Listening) -> Peer:
    """A connection whose publisher's token is known, so that the next plain publish goes the fast path."""
    peer = await server.connect(post(ONE))
    await peer.answer()
    return peer


async def head_cached(server: Listening) -> Peer:
    """A connection on which a plain publish with the usual head was read."""
    peer = await known(server)
    await peer.send(post(ONE))
    await peer.answer()
    return peer
