"""A turn of group chat as a client takes it over HTTP."""

import asyncio
import json
from typing import Any

from tests.conftest import DEADLINE_S, OpenStream, Service, mint

ROOM = "/api/chat/rooms/general"


def said(message: str = "hello", sender: Any = "42", **more: Any) -> dict[str, Any]:
    return {"message": message, "sender": sender, "userName": "Ada L", **more}


async def turn(
    service: Service, path: str = f"{ROOM}/group-sse", token: str | None = None, **more: Any
) -> OpenStream:
    """Begin a turn; its first frame is not read yet."""
    async with asyncio.timeout(DEADLINE_S):
        response = await service.client.post(
            path, json=said(**more), headers={"Authorization": f"Bearer {token or mint('42')}"}
        )
    assert response.status == 200, await response.read()
    return OpenStream(response)


async def whole(stream: OpenStream) -> list[Any]:
    """The data of all frames of a turn; the last is not JSON."""
    frames = [frame.data for frame in await stream.rest() if frame.comment is None]
    assert frames[-1] == "[DONE]"
    return [json.loads(data) for data in frames[:-1] if data is not None]
