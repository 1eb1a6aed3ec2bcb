"""The streams of docs/protocol.md, and who asks for them in the tests here."""

from sse_push.service.tables import UserRow
from tests.conftest import Service, mint

ADMIN = mint("root", "admin")
SERVICE = mint("publisher", "service")
STREAMS_FOR_USERS = [
    "/v1/app/sse",
    "/v1/app/sse/42",
    "/sse/connect?clientId=42",
    "/notifications/stream",
    "/realtime/stream",
    "/chat/stream?room=general",
    "/api/presence/stream",
    "/v1/stream?topics=app",
]
STREAMS_FOR_ANYONE = ["/system/status/stream", "/custom/stream"]
ALL = [*STREAMS_FOR_USERS, *STREAMS_FOR_ANYONE]


async def give_account(service: Service) -> None:
    """The presence stream is for those who have one."""
    async with service.node.database.write() as session:
        session.add(UserRow(id=42, email="", name="", role="user", password_hash="", created_at=0))
