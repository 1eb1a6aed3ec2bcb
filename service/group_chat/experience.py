"""Experience points (exp) that users earn with AI members: a fixed number per answer, once per job, in the database."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sse_push.service.database import Database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

EXP_PER_ANSWER: Final[int] = 5
EXP_PER_LEVEL: Final[int] = 100
AWARDS_KEPT_S = 86_400.0  # seconds an award is remembered: far longer than a job may be redelivered
PRUNE_EVERY_S = 3_600.0  # seconds between removals of older awards
_ATTEMPTS = 5  # at an award that another node writes at the same moment


def level_of(exp: int) -> int:
    """The level of *exp*: 150 is level 2, 200 is level 3."""
    return exp // EXP_PER_LEVEL + 1


class Experience:
    """Exp of users with personas."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._pruned = clock()

    async def of(self, user_id: str) -> dict[int, int]:
        """The exp of *user_id* by persona id.

        Raises:
            DatabaseUnavailable: It can't be read now.
        """
        async with self._database.read() as session:
            from sqlalchemy import select

            from sse_push.service.tables import PersonaExpRow

            rows = await session.scalars(select(PersonaExpRow).where(PersonaExpRow.user_id == user_id))
            return {row.persona_id: row.exp for row in rows}

    async def award(self, job_id: str, user_id: str, persona_id: int) -> int:
        """Award one answer to *user_id*; returns the new exp with the persona. Idempotent per job.

        Raises:
            DatabaseUnavailable: Nothing was awarded.
        """
        left = _ATTEMPTS
        while True:
            try:
                async with self._database.write() as session:
                    return await self._award(session, job_id, user_id, persona_id)
            except Exception as error:
                from sqlalchemy.exc import IntegrityError

                left -= 1
                if not isinstance(error, IntegrityError) or not left:
                    raise
                # Another node has just written the same award, or this user's first one.

    async def _award(self, session: "AsyncSession", job_id: str, user_id: str, persona_id: int) -> int:
        from sqlalchemy import delete, update

        from sse_push.service.tables import ExpAwardRow, PersonaExpRow

        award = await session.get(ExpAwardRow, (job_id, persona_id))
        if award is not None:
            return award.new_exp
        row = (PersonaExpRow.user_id == user_id, PersonaExpRow.persona_id == persona_id)
        add = update(PersonaExpRow).where(*row).values(exp=PersonaExpRow.exp + EXP_PER_ANSWER)
        exp = await session.scalar(add.returning(PersonaExpRow.exp))
        if exp is None:
            exp = EXP_PER_ANSWER
            session.add(PersonaExpRow(user_id=user_id, persona_id=persona_id, exp=exp))
            await session.flush()  # exp before award, as above: the other order could deadlock
        now = self._clock()
        session.add(
            ExpAwardRow(job_id=job_id, persona_id=persona_id, user_id=user_id, new_exp=exp, awarded_at=now)
        )
        if now - self._pruned > PRUNE_EVERY_S:
            self._pruned = now
            await session.execute(delete(ExpAwardRow).where(ExpAwardRow.awarded_at < now - AWARDS_KEPT_S))
        await session.flush()
        return exp
