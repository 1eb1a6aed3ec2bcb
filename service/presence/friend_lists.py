"""Friend lists from the database, for many users at once, and when each friend was last seen."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, select, union_all, update

from sse_push.service.database import Database
from sse_push.service.tables import FriendshipRow, UserRow

FriendList = dict[int, float | None]  # a user's friends, and when each was last seen (``None`` for never)


class FriendLists:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self, users: Collection[int]) -> dict[int, int]:
        """The version of the friend list of each of *users* with an active account; it rises when the list changes."""
        asked = select(UserRow.id, UserRow.circle_version).where(UserRow.id.in_(users), UserRow.active)
        async with self._database.read() as session:
            connection = await session.connection()
            return {row.id: row.circle_version for row in await connection.execute(asked)}

    async def of(self, users: Collection[int]) -> dict[int, FriendList]:
        """The friends of each of *users*, without disabled accounts."""
        low, high = FriendshipRow.low_id, FriendshipRow.high_id
        stands = FriendshipRow.low_asked & FriendshipRow.high_asked
        pairs = union_all(
            select(low.label("mine"), high.label("other")).where(low.in_(users), stands),
            select(high.label("mine"), low.label("other")).where(high.in_(users), stands),
        ).subquery()
        asked = select(pairs.c.mine, pairs.c.other, UserRow.last_seen).join(
            UserRow, UserRow.id == pairs.c.other
        )
        found: dict[int, FriendList] = {user: {} for user in users}
        async with self._database.read() as session:
            connection = await session.connection()  # plain rows: there are thousands
            rows = await connection.execute(asked.where(UserRow.active))
            for mine, other, seen in rows.all():
                found[mine][other] = seen
        return found

    async def record_last_seen(self, seen: Mapping[int, float]) -> None:
        """Store when users were last seen."""
        rows: Sequence[dict[str, object]] = [{"user": user, "seen": at} for user, at in sorted(seen.items())]
        keep = update(UserRow).where(UserRow.id == bindparam("user")).values(last_seen=bindparam("seen"))
        async with self._database.write() as session:
            connection = await session.connection()
            await connection.execute(keep, rows)
