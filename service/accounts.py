"""Accounts: users in the database, and their logins. Knows passwords' hashes and rows; knows no token and no HTTP."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import ColumnElement, case, delete, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sse_push.events.errors import Conflict, NotFound, Unauthenticated
from sse_push.service.database import Database
from sse_push.service.friends import friends_of, lock, mark_changed
from sse_push.service.passwords import Passwords
from sse_push.service.people import MAX_LISTED_USERS, UNKNOWN_USER, NewUser, User, UserChange, email_or_none
from sse_push.service.tables import AccountChangeRow, UserRow
from sse_push.service.timestamps import timestamp

CHANGES_KEPT_S = 604_800  # seconds for which it is kept that tokens were made void: nodes look every few
WRONG = "Incorrect email or password"  # and no hint which

_log = structlog.get_logger()


class Accounts:
    """The users of the database.

    Args:
        clock: Seconds since the Unix epoch.
    """

    def __init__(self, database: Database, passwords: Passwords, clock: Callable[[], float]) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def add(self, new: NewUser) -> User:
        """Make a user.

        Raises:
            Conflict: Another has this address.
        """
        hashed = await self._passwords.hash(new.password.get_secret_value())
        row = UserRow(
            email=new.email, name=new.name, role=new.role, password_hash=hashed, created_at=self._clock()
        )
        try:
            async with self._database.write() as session:
                session.add(row)
                await session.flush()
        except IntegrityError:
            raise Conflict("another user has this e-mail address") from None
        _log.info("user.added", user=str(row.id), role=row.role)
        return _shown(row)

    async def log_in(self, email: str, password: str) -> tuple[User, int]:
        """The user whose address and password these are, and the generation of their tokens.

        Raises:
            Unauthenticated: They are nobody's; which is wrong can't be told, not by the time it takes either.
            OverLimit: ``logins``; too many wait to be verified.
        """
        row = None
        if (address := email_or_none(email)) is not None:
            async with self._database.read() as session:
                row = await session.scalar(select(UserRow).where(UserRow.email == address, UserRow.active))
        hashed = None if row is None else row.password_hash
        if not await self._passwords.verify(password, hashed) or row is None:
            raise Unauthenticated(WRONG)
        return _shown(row), row.token_generation

    async def generations(self, users: Collection[int]) -> Mapping[int, int]:
        """The generation of the tokens of each of *users* who has an account that is active."""
        asked = select(UserRow.id, UserRow.token_generation).where(UserRow.id.in_(users), UserRow.active)
        async with self._database.read() as session:
            connection = await session.connection()
            return {row.id: row.token_generation for row in await connection.execute(asked)}

    async def changed_since(self, at: float) -> Sequence[int]:
        """The users whose tokens were made void since *at*."""
        asked = select(AccountChangeRow.user_id).where(AccountChangeRow.changed_at >= at)
        async with self._database.read() as session:
            return (await session.scalars(asked)).all()

    async def get(self, user_id: int) -> User:
        """One user.

        Raises:
            NotFound: There is none.
        """
        async with self._database.read() as session:
            row = await session.get(UserRow, user_id)
        if row is None:
            raise NotFound(UNKNOWN_USER)
        return _shown(row)

    async def list(self, after: int = 0, limit: int = MAX_LISTED_USERS) -> Sequence[User]:
        """Users by their numbers, from the one behind *after* on."""
        async with self._database.read() as session:
            rows = await session.scalars(
                select(UserRow).where(UserRow.id > after).order_by(UserRow.id).limit(limit)
            )
            return [_shown(row) for row in rows]

    async def change(self, user_id: int, change: UserChange) -> User:
        """Change what *change* says.

        Raises:
            NotFound: There is no such user.
        """
        values: dict[str, Any] = change.model_dump(exclude_none=True, exclude={"password"})
        if change.password is not None:
            values["password_hash"] = await self._passwords.hash(change.password.get_secret_value())
        async with self._database.write() as session:
            if "active" in values:
                await _show_friends(session, user_id)
            if voids := _voids_tokens(values):
                generation = UserRow.token_generation
                values["token_generation"] = case((or_(*voids), generation + 1), else_=generation)
                await self._mark_changed(session, user_id)
            if values:
                await session.execute(update(UserRow).where(UserRow.id == user_id).values(values))
            row = await session.get(UserRow, user_id, populate_existing=True)
        if row is None:
            raise NotFound(UNKNOWN_USER)
        _log.info("user.changed", user=str(user_id), fields=sorted(change.model_fields_set))
        return _shown(row)

    async def remove(self, user_id: int) -> None:
        """Remove a user and their friendships.

        Raises:
            NotFound: There is no such user.
        """
        async with self._database.write() as session:
            await _show_friends(session, user_id)
            await self._mark_changed(session, user_id)
            removed = await session.scalar(delete(UserRow).where(UserRow.id == user_id).returning(UserRow.id))
        if removed is None:
            raise NotFound(UNKNOWN_USER)
        _log.info("user.removed", user=str(user_id))

    async def _mark_changed(self, session: AsyncSession, user_id: int) -> None:
        """Nodes that look see that tokens of *user_id* may be void, if *session* is committed."""
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        now = self._clock()
        new = dialect.insert(AccountChangeRow).values(user_id=user_id, changed_at=now)
        await session.execute(new.on_conflict_do_update(index_elements=["user_id"], set_={"changed_at": now}))
        await session.execute(
            delete(AccountChangeRow).where(AccountChangeRow.changed_at < now - CHANGES_KEPT_S)
        )


def _voids_tokens(values: Mapping[str, Any]) -> Sequence[ColumnElement[bool]]:
    """When what changes makes a user's tokens void: another password or role, and no longer being active."""
    voids: list[ColumnElement[bool]] = []
    if "password_hash" in values:
        voids.append(true())
    if "role" in values:
        voids.append(UserRow.role != values["role"])
    if values.get("active") is False:
        voids.append(UserRow.active.is_(True))
    return voids


async def _show_friends(session: AsyncSession, user_id: int) -> None:
    """*user_id* comes into the circles of their friends, or goes out of them."""
    await lock(session, {user_id, *await friends_of(session, user_id)})
    await mark_changed(session, await friends_of(session, user_id))  # from here on no friendship can begin


def _shown(row: UserRow) -> User:
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,
        active=row.active,
        created_at=timestamp(row.created_at),
        last_seen=None if row.last_seen is None else timestamp(row.last_seen),
    )
