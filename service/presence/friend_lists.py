"""What presence reads and writes in the database, for many users at once: friends, and when users were last seen."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, select, union_all, update

from sse_push.service.database import Database
from sse_push.service.tables import FriendshipRow, UserRow

FriendList = dict[int, float | None]  # a user's friends, and when each was last seen (``None`` for never)


class FriendLists:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self, users: Collection[int]) -> dict[int, int]:
        """The version of each user's friend list, raised with each change. Users without an active account are left out."""
        query = select(UserRow.id, UserRow.circle_version).where(UserRow.id.in_(users), UserRow.active)
        async with self._database.read() as session:
            connection = await session.connection()
            return {row.id: row.circle_version for row in await connection.execute(query)}

    async def of(self, users: Collection[int]) -> dict[int, FriendList]:
        """The friend list of each of *users*. Friends without an active account are left out."""
        low, high = FriendshipRow.low_id, FriendshipRow.high_id
        is_accepted = FriendshipRow.low_asked & FriendshipRow.high_asked
        pairs = union_all(
            select(low.label("user"), high.label("friend")).where(low.in_(users), is_accepted),
            select(high.label("user"), low.label("friend")).where(high.in_(users), is_accepted),
        ).subquery()
        query = select(pairs.c.user, pairs.c.friend, UserRow.last_seen).join(
            UserRow, UserRow.id == pairs.c.friend
        )
        friend_lists: dict[int, FriendList] = {user: {} for user in users}
        async with self._database.read() as session:
            connection = await session.connection()  # plain rows: there are thousands
            rows = await connection.execute(query.where(UserRow.active))
            for user, friend, last_seen in rows.all():
                friend_lists[user][friend] = last_seen
        return friend_lists

    async def record_last_seen(self, last_seen: Mapping[int, float]) -> None:
        """Write when users were last seen."""
        rows: Sequence[dict[str, object]] = [
            {"user": user, "at": at} for user, at in sorted(last_seen.items())
        ]
        statement = update(UserRow).where(UserRow.id == bindparam("user")).values(last_seen=bindparam("at"))
        async with self._database.write() as session:
            connection = await session.connection()
            await connection.execute(statement, rows)
