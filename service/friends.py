"""Friendships: requested by one user, accepted by the other, ended by either. Knows rows; does not know who is online."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sse_push.events.errors import BadRequest, NotFound, OverLimit
from sse_push.service.database import Database
from sse_push.service.people import UNKNOWN_USER, Friend, FriendState
from sse_push.service.tables import FriendshipRow, UserRow

MAX_FRIENDS = 1000  # requests and friends of one user: the audience of one event
RETRY_AFTER_S = 60  # seconds; nothing changes until the user withdraws a request


class Friends:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, user_id: int, other_id: int) -> tuple[Friend, bool]:
        """Request the friendship of *other_id*, or accept their request.

        Returns:
            The present state, and whether the friendship began with this call.

        Raises:
            NotFound: One of them is unknown, or is not active.
            BadRequest: Both are the same user.
            OverLimit: ``friends``; *user_id* has sent too many requests.
        """
        if user_id == other_id:
            raise BadRequest("nobody is their own friend")
        low, high = sorted((user_id, other_id))
        try:
            async with self._database.write() as session:
                _, other = await _both(session, user_id, other_id)
                requests = await _pair(session, low, high)
                mine, theirs = requests if user_id == low else reversed(requests)
                if not mine:
                    await _check_limit(session, user_id)
                    column = FriendshipRow.low_asked if user_id == low else FriendshipRow.high_asked
                    pair = (FriendshipRow.low_id == low, FriendshipRow.high_id == high)
                    await session.execute(update(FriendshipRow).where(*pair).values({column: True}))
                if theirs and not mine:
                    await mark_changed(session, (user_id, other_id))
        except IntegrityError:  # one of the accounts was removed meanwhile
            raise NotFound(UNKNOWN_USER) from None
        return _friend(other_id, other.name, mine=True, theirs=theirs), theirs and not mine

    async def end(self, user_id: int, other_id: int) -> bool:
        """End the friendship, or withdraw or refuse a request; true if they were friends.

        Raises:
            NotFound: One of them is unknown, or is not active.
        """
        async with self._database.write() as session:
            await _both(session, user_id, other_id)
            were_friends = await session.scalar(
                delete(FriendshipRow)
                .where(
                    FriendshipRow.low_id == min(user_id, other_id),
                    FriendshipRow.high_id == max(user_id, other_id),
                )
                .returning(and_(FriendshipRow.low_asked, FriendshipRow.high_asked))
            )
            if were_friends:
                await mark_changed(session, (user_id, other_id))
        return bool(were_friends)

    async def list(self, user_id: int) -> Sequence[Friend]:
        """All users with a request or friendship, by their numbers.

        Raises:
            NotFound: The user is unknown.
        """
        low = FriendshipRow.low_id == user_id
        other = case((low, FriendshipRow.high_id), else_=FriendshipRow.low_id)
        mine = case((low, FriendshipRow.low_asked), else_=FriendshipRow.high_asked)
        theirs = case((low, FriendshipRow.high_asked), else_=FriendshipRow.low_asked)
        async with self._database.read() as session:
            await _user(session, user_id)
            rows = await session.execute(
                select(UserRow.id, UserRow.name, mine, theirs)
                .join(FriendshipRow, UserRow.id == other)
                .where(_of(user_id))
                .order_by(UserRow.id)
            )
            return [_friend(id_, name, mine=asked, theirs=was_asked) for id_, name, asked, was_asked in rows]


def _of(user_id: int) -> ColumnElement[bool]:
    return or_(FriendshipRow.low_id == user_id, FriendshipRow.high_id == user_id)


def _friend(user_id: int, name: str, *, mine: bool, theirs: bool) -> Friend:
    """The state of a friendship. A user who has not asked is not named: anybody may ask anybody, by user id."""
    state: FriendState = "requested" if not theirs else "accepted" if mine else "asked"
    return Friend(user_id=user_id, name=name if theirs else None, state=state)


async def _user(session: AsyncSession, user_id: int) -> UserRow:
    row = await session.get(UserRow, user_id)
    if row is None or not row.active:
        raise NotFound(UNKNOWN_USER)
    return row


async def _both(session: AsyncSession, user_id: int, other_id: int) -> tuple[UserRow, UserRow]:
    """The rows of both users, locked: concurrent requests of one user are counted one by one."""
    rows = await lock(session, (user_id, other_id))
    active = {row.id: row for row in rows if row.active}
    if len(active) < len({user_id, other_id}):
        raise NotFound(UNKNOWN_USER)
    return active[user_id], active[other_id]


async def lock(session: AsyncSession, users: Collection[int]) -> Sequence[UserRow]:
    """The rows of those of *users* who exist, locked for this session.

    Always in the same order, or two sessions could deadlock. SQLite has one writer at a time anyway.
    """
    rows = select(UserRow).where(UserRow.id.in_(users)).order_by(UserRow.id)
    return (await session.scalars(rows.with_for_update(key_share=True))).all()


async def friends_of(session: AsyncSession, user_id: int) -> Sequence[int]:
    """The friends of *user_id*, active or not."""
    other = case((FriendshipRow.low_id == user_id, FriendshipRow.high_id), else_=FriendshipRow.low_id)
    is_accepted = FriendshipRow.low_asked & FriendshipRow.high_asked
    return (await session.scalars(select(other).where(_of(user_id), is_accepted))).all()


async def mark_changed(session: AsyncSession, users: Collection[int]) -> None:
    """Raise the versions of the friend lists of *users*, whose rows are locked: nodes compare them."""
    version = UserRow.circle_version
    await session.execute(update(UserRow).where(UserRow.id.in_(users)).values({version: version + 1}))


async def _pair(session: AsyncSession, low: int, high: int) -> tuple[bool, bool]:
    """Which of both users has asked. Inserts a missing row, and locks it: concurrent requests are serialized here."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    new = dialect.insert(FriendshipRow).values(low_id=low, high_id=high, low_asked=False, high_asked=False)
    locked = new.on_conflict_do_update(
        index_elements=["low_id", "high_id"], set_={"low_asked": FriendshipRow.low_asked}
    )
    result = await session.execute(locked.returning(FriendshipRow.low_asked, FriendshipRow.high_asked))
    low_asked, high_asked = result.one()
    return low_asked, high_asked


async def _check_limit(session: AsyncSession, user_id: int) -> None:
    asked = or_(
        and_(FriendshipRow.low_id == user_id, FriendshipRow.low_asked),
        and_(FriendshipRow.high_id == user_id, FriendshipRow.high_asked),
    )
    count = select(func.count()).select_from(FriendshipRow).where(asked)
    if (await session.scalar(count) or 0) >= MAX_FRIENDS:
        raise OverLimit("friends", RETRY_AFTER_S)
