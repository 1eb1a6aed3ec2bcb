"""A service with people in it."""

from typing import Any

import pytest

from sse_push.service.tables import FriendshipRow
from tests.conftest import Clock, Service, Start
from tests.handlers.presence.watching import NOW, People, user_row


@pytest.fixture
def people(start: Start) -> People:
    """Starts a service with so many users, of whom some pairs are friends."""

    async def make(count: int, *friends: tuple[int, int], **settings: Any) -> Service:
        service = await start(**{"presence_grace_s": 0.05, "clock": Clock(NOW), **settings})
        async with service.node.database.write() as session:
            session.add_all(user_row(number) for number in range(1, count + 1))
            await session.flush()
            session.add_all(
                FriendshipRow(low_id=min(pair), high_id=max(pair), low_asked=True, high_asked=True)
                for pair in friends
            )
        return service

    return make
