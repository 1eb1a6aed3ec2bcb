"""Accounts and friendships without a node, for tests: on a database of each kind."""

import time
from typing import Any

from sse_push.service.accounts import Accounts
from sse_push.service.database import Database
from sse_push.service.friends import Friends
from sse_push.service.passwords import Passwords
from sse_push.service.people import NewUser, User


class People:
    def __init__(self, url: str, clock: Any = time.time) -> None:
        self.database = Database(url, None)  # type: ignore[arg-type] # the URL says where
        self.passwords = Passwords()
        self.accounts = Accounts(self.database, self.passwords, clock)
        self.friends = Friends(self.database)

    async def add(self, name: str, **more: Any) -> User:
        given = {
            "email": f"{name}@example.com",
            "password": f"{name}'s password",
            "name": name.title(),
            **more,
        }
        return await self.accounts.add(NewUser(**given))

    async def befriend(self, one: int, other: int) -> None:
        await self.friends.ask(one, other)
        await self.friends.ask(other, one)

    async def close(self) -> None:
        await self.database.close()
        self.passwords.close()
