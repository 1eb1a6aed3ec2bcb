"""A stream on a plain socket, byte for byte, and what is published past HTTP."""

import json
from typing import Any

from sse_push.events.event import PushEvent
from tests.conftest import Peer


async def open_raw(server: Any, path: str, token: str, more: str = "") -> Peer:
    """Open a stream on a plain socket; its head and its first chunk are read."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
    peer: Peer = await server.connect(request.encode())
    assert (await peer.head()).startswith("HTTP/1.1 200 OK\r\n")
    if not more:
        assert (await peer.chunk()).startswith(b"retry: ")
    return peer


def push(**event: Any) -> PushEvent:
    return PushEvent.model_validate(json.loads(json.dumps(event)))


async def publish(node: Any, **event: Any) -> list[str]:
    ids: list[str] = await node.pipeline.publish(push(**event))
    return ids
