"""What users earn with AI members: so much for each answer, once a job, kept in the database.

Knows the two tables of it; does not know what an answer is.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sse_push.service.database import Database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

EXP_PER_ANSWER: Final[int] = 5
EXP_PER_LEVEL: Final[int] = 100
AWARDS_KEPT_S = 86_400.0  # seconds an award is remembered: far longer than a job may come back
PRUNE_EVERY_S = 3_600.0  # seconds between two removals of older ones
_TRIES = 5  # at an award that another node gives in the same moment


def level_of(exp: int) -> int:
    """150 is level 2, 200 is level 3."""
    return exp // EXP_PER_LEVEL + 1


class Experience:
    """Exp of users with personas."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._pruned = clock()

    async def of(self, user_id: str) -> dict[int, int]:
        """What *user_id* has with each persona, by its id.

        Raises:
            DatabaseUnavailable: It can't be read now.
        """
        async with self._database.read() as session:
            from sqlalchemy import select

            from sse_push.service.tables import PersonaExpRow

            rows = await session.scalars(select(PersonaExpRow).where(PersonaExpRow.user_id == user_id))
            return {row.persona_id: row.exp for row in rows}

    async def award(self, job_id: str, user_id: str, persona_id: int) -> int:
        """Give *user_id* what one answer earns; their exp with the persona after it. Twice for one job is once.

        Raises:
            DatabaseUnavailable: Nothing was given.
        """
        left = _TRIES
        while True:
            try:
                async with self._database.write() as session:
                    return await self._award(session, job_id, user_id, persona_id)
            except Exception as error:
                from sqlalchemy.exc import IntegrityError

                left -= 1
                if not isinstance(error, IntegrityError) or not left:
                    raise
                # Another node gave the same award, or this user's first one, just now.

    async def _award(self, session: "AsyncSession", job_id: str, user_id: str, persona_id: int) -> int:
        from sqlalchemy import delete, update

        from sse_push.service.tables import ExpAwardRow, PersonaExpRow

        given = await session.get(ExpAwardRow, (job_id, persona_id))
        if given is not None:
            return given.new_exp
        its = (PersonaExpRow.user_id == user_id, PersonaExpRow.persona_id == persona_id)
        more = update(PersonaExpRow).where(*its).values(exp=PersonaExpRow.exp + EXP_PER_ANSWER)
        exp = await session.scalar(more.returning(PersonaExpRow.exp))
        if exp is None:
            exp = EXP_PER_ANSWER
            session.add(PersonaExpRow(user_id=user_id, persona_id=persona_id, exp=exp))
            await session.flush()  # the exp before the award, as above: two orders would be a deadlock
        now = self._clock()
        session.add(
            ExpAwardRow(job_id=job_id, persona_id=persona_id, user_id=user_id, new_exp=exp, awarded_at=now)
        )
        if now - self._pruned > PRUNE_EVERY_S:
            self._pruned = now
            await session.execute(delete(ExpAwardRow).where(ExpAwardRow.awarded_at < now - AWARDS_KEPT_S))
        await session.flush()
        return exp
