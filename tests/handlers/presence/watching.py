"""People who watch the presence of their friends, and what they are told, as a client of the guides reads it."""

from collections.abc import Awaitable, Callable
from typing import Any

from sse_push.service.tables import UserRow
from tests.conftest import OpenStream, Service, mint

NOW = 1768732200.0
AT = "2026-01-18T10:30:00.000Z"
People = Callable[..., Awaitable[Service]]


def user_row(number: int) -> UserRow:
    return UserRow(
        id=number, email=str(number), name=f"User {number}", role="user", password_hash="-", created_at=0
    )


def token(user: int) -> str:
    return mint(str(user))


async def befriend(service: Service, one: int, other: int) -> None:
    for user, friend in ((one, other), (other, one)):
        assert (await service.put(f"/api/friends/{friend}", token=token(user))).status == 200


async def watch(service: Service, user: int) -> tuple[OpenStream, Any]:
    """Open a presence stream; it, and how the friends are."""
    stream = await service.open("/api/presence/stream", token=token(user))
    connected, initial = await stream.events(2)
    assert (connected.event, connected.id, connected.json["user_id"]) == ("connected", None, user)
    assert (initial.event, initial.id) == ("initial", None)
    return stream, initial.json


async def change(stream: OpenStream) -> Any:
    frame = await stream.event()
    assert (frame.event, frame.id) == ("status_change", None), frame
    return frame.json


async def all_anew(stream: OpenStream) -> Any:
    frame = await stream.event()
    while frame.event == "heartbeat":
        frame = await stream.event()
    assert frame.event == "initial"
    return frame.json


async def refreshed(service: Service, stream: OpenStream) -> Any:
    """How all friends are, told anew: shows that nothing else was told before."""
    service.node.presence.refresh()
    return await all_anew(stream)


def online(user: int, at: str = AT) -> dict[str, Any]:
    return {"user_id": user, "is_online": True, "last_activity": at}


def offline(user: int, at: str | None = AT) -> dict[str, Any]:
    return {"user_id": user, "is_online": False, **({} if at is None else {"last_seen": at})}
