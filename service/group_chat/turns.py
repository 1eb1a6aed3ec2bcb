"""The turns of group chat: a message, the answers to it, what the caller earns, and where each of them goes.

An answer goes to its room whether or not the caller is still there, once, whichever node sees it first. Knows rooms,
jobs and frames; does not know how a job finds its worker (queue.py) nor what HTTP is.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog

from sse_push.events.errors import SsePushError
from sse_push.events.event import Event
from sse_push.service.group_chat import frames
from sse_push.service.group_chat.abandoned import AbandonedTurns
from sse_push.service.group_chat.experience import EXP_PER_ANSWER, Experience, level_of
from sse_push.service.group_chat.jobs import Job, Result, job_id
from sse_push.service.group_chat.personas import Persona, Personas
from sse_push.service.group_chat.queue import MAX_JOB_AGE_S, JobQueue, Outcome
from sse_push.service.group_chat.rooms import Key, Rooms
from sse_push.service.group_chat.turn import Caller, Said, Turn
from sse_push.service.timestamps import timestamp

_log = structlog.get_logger()


class CallerVisit:
    """Tells *chat* when the stream of *turn*'s caller opens and closes (:class:`sse_push.service.streams.base.Visit`)."""

    keys = ()  # what it adds comes from the turn

    def __init__(self, chat: "GroupChat", turn: Turn) -> None:
        self._chat = chat
        self._turn = turn

    def greeting(self) -> Event:
        raise NotImplementedError  # a turn begins with a frame that is no event

    def opened(self, connection: Caller) -> None:
        self._chat.caller_came(self._turn, connection)

    def closed(self) -> None:
        self._chat.caller_left(self._turn)


class GroupChat:
    """The turns of this node, and the answers that come back to it.

    Args:
        timeout: Seconds a caller waits for all answers.
        charge: Called with who asked and the bytes of each answer that reached its room.
    """

    def __init__(
        self,
        personas: Personas,
        queue: JobQueue,
        rooms: Rooms,
        experience: Experience,
        *,
        timeout: float,
        charge: Callable[[str, int], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.personas = personas
        self.experience = experience
        self._queue = queue
        self._rooms = rooms
        self._timeout = timeout
        self._charge = charge
        self._clock = clock
        self._turns: dict[str, Turn] = {}
        self._abandoned = AbandonedTurns(queue, rooms, self._withdrawn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Begin to take answers.

        Raises:
            BadSettings: What a model wants is not installed.
        """
        await self._queue.start(self.done, self._rooms.has_answer)

    async def say(self, said: Said, name_in_room: str, key: Key | None = None) -> Turn:
        """Tell the room; :meth:`ask` must follow.

        Args:
            name_in_room: What the room sees as the sender's name.
            key: By which the room is told once.

        Raises:
            OverLimit: The user waits for too many answers already. The room was not told.
            BadEvent, Overloaded, EngineUnavailable: The room was not told.
            OutcomeUnknown: The room may have been told.
        """
        turn = Turn(said, self._clock(), self.personas.members_of(said.room))
        turn.rank = await self._queue.reserve(said.user_id, turn.job_ids)
        try:
            turn.history = await self._rooms.history(said.room)
            await self._rooms.tell(said.room, said.message, said.user_id, name_in_room, turn.at, key)
        except BaseException:
            self._spawn(self._queue.release(said.user_id, turn.job_ids))
            raise
        self._turns[turn.id] = turn
        self._idle.clear()
        return turn

    def ask(self, turn: Turn) -> None:
        """Ask the AI members; returns at once."""
        if not turn.waiting:
            self._complete(turn)
            return
        if turn.caller is None:
            self._abandon(turn)
        else:
            turn.timer = asyncio.get_running_loop().call_later(self._timeout, self._time_out, turn)
        self._spawn(self._add(turn))

    async def _add(self, turn: Turn) -> None:
        room = turn.said.room
        try:
            if turn.caller is None and not await self._rooms.has_listeners(room):
                await self._queue.release(turn.said.user_id, turn.job_ids)
                self._withdrawn(turn, turn.job_ids)
                return
            await self._queue.add(turn.jobs(), turn.rank)
            if turn.caller is None and turn.id in self._turns:
                self._abandoned.add(turn)  # who left meanwhile had nothing in the queue yet
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must not wait for nothing
            _log.error("group_chat.queue_failed", turn=turn.id, room=room, error=str(error))
            self._spawn(self._queue.release(turn.said.user_id, turn.job_ids))
            for persona in list(turn.waiting.values()):
                self._failed(turn, persona)

    # -- callers who come and go -------------------------------------------------------------------

    def caller_came(self, turn: Turn, caller: Caller) -> None:
        """The stream of *turn* is open."""
        turn.caller = caller
        self._rooms.join(turn.said.room)

    def caller_left(self, turn: Turn) -> None:
        """The stream of *turn* is closed, by whomever. Again is nothing."""
        if turn.caller is None:
            return
        turn.caller = None
        self._rooms.leave(turn.said.room)
        if turn.id in self._turns:
            self._abandon(turn)

    def _abandon(self, turn: Turn) -> None:
        """Nobody reads *turn* any more: what of it has not begun waits only while somebody is in its room."""
        if turn.timer is not None:
            turn.timer.cancel()
        turn.timer = asyncio.get_running_loop().call_later(MAX_JOB_AGE_S, self._forget, turn)
        self._abandoned.add(turn)

    def _withdrawn(self, turn: Turn, job_ids: Iterable[str]) -> None:
        """Those jobs of *turn* are not done: nobody waits for them."""
        withdrawn = {*job_ids}
        gone = [id_ for id_ in turn.waiting if job_id(turn.id, id_) in withdrawn]
        for persona_id in gone:
            del turn.waiting[persona_id]
        _log.info("group_chat.jobs_withdrawn", turn=turn.id, room=turn.said.room, user=turn.said.user_id, jobs=len(gone))  # fmt: skip
        if not turn.waiting:
            self._forget(turn)

    # -- what became of jobs -----------------------------------------------------------------------

    async def done(self, job: Job, result: Result | None) -> Outcome:
        """Handle what became of *job*. For one job not twice at once, but again as often as needed.

        Args:
            result: ``None`` when nobody could do it.
        """
        turn = self._turns.get(job.turn_id)
        persona = turn.waiting.get(job.persona.id) if turn is not None else None
        if result is None:
            _log.warning("group_chat.job_failed", job=job.id, room=job.room_id, persona=job.persona.id)
            if turn is not None and persona is not None:
                self._failed(turn, persona)
            return Outcome.COMPLETE
        at = self._clock()
        try:
            await self._rooms.answer(job, result, at)
        except SsePushError as error:
            if self._queue.tells_again:
                _log.warning("group_chat.answer_delayed", job=job.id, room=job.room_id, error=str(error))
                return Outcome.NOT_PUBLISHED
            _log.error("group_chat.answer_lost", job=job.id, room=job.room_id, error=str(error))
            if turn is not None and persona is not None:
                self._failed(turn, persona)
            return Outcome.NOT_PUBLISHED
        if turn is not None and persona is not None:
            turn.send(_response(persona, result, at))
        exp = await self._award(job)
        if turn is not None and persona is not None:
            if exp is not None:
                turn.earned += _earned(job, persona, exp).encode()
            self._settle(turn, persona)
        if exp is None:
            return Outcome.NOT_AWARDED
        self._charge(job.user_id, len(result.content.encode()))
        return Outcome.COMPLETE

    async def _award(self, job: Job) -> int | None:
        try:
            return await self.experience.award(job.id, job.user_id, job.persona.id)
        except SsePushError as error:
            _log.error("group_chat.award_failed", job=job.id, user=job.user_id, error=str(error))
            return None

    def _failed(self, turn: Turn, persona: Persona) -> None:
        turn.send(frames.MemberFailed(message=f"{persona.name} can't answer now", timestamp=self._now()))
        self._settle(turn, persona)

    def _settle(self, turn: Turn, persona: Persona) -> None:
        turn.waiting.pop(persona.id, None)
        if not turn.waiting:
            self._complete(turn)

    def _complete(self, turn: Turn) -> None:
        if self._forget(turn):
            says = "everybody has answered" if turn.members else "nobody is here to answer"
            turn.end("complete", frames.TurnComplete(message=says, timestamp=self._now()))

    def _time_out(self, turn: Turn) -> None:
        if self._forget(turn) and turn.caller is not None:
            missing = ", ".join(persona.name for persona in turn.waiting.values())
            _log.warning(
                "group_chat.timed_out", turn=turn.id, room=turn.said.room, missing=list(turn.waiting)
            )
            says = f"no answer in time from {missing}; what comes later reaches the room"
            turn.end("timeout", frames.TurnTimedOut(message=says, timestamp=self._now()))

    def _forget(self, turn: Turn) -> bool:
        """Whether it had not ended yet."""
        ended = self._turns.pop(turn.id, None) is not None
        self._abandoned.discard(turn)
        if turn.timer is not None:
            turn.timer.cancel()
        if not self._turns:
            self._idle.set()
        return ended

    def _now(self) -> str:
        return timestamp(self._clock())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, timeout: float) -> None:
        """Let the turns end; those that have not after *timeout* seconds are ended as timed out."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            for turn in list(self._turns.values()):
                self._time_out(turn)

    async def close(self) -> None:
        await self._abandoned.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._queue.close()


def _response(persona: Persona, result: Result, at: float) -> frames.AiResponse:
    return frames.AiResponse(
        content=result.content,
        ai_name=persona.name,
        ai_id=str(persona.id),
        persona_id=persona.id,
        timestamp=timestamp(at),
    )


def _earned(job: Job, persona: Persona, exp: int) -> frames.ExpUpdated:
    return frames.ExpUpdated(
        persona_id=persona.id,
        persona_name=persona.name,
        new_exp=exp,
        new_level=level_of(exp),
        exp_increase=EXP_PER_ANSWER,
        user_id=job.user_id,
    )
