"""The turns of group chat: posts the message, queues a job per AI member, delivers answers and exp.

An answer is posted to its room once, by whichever node sees it first, also after the caller has disconnected. Knows
rooms, jobs and frames; does not know how a job finds its worker (queue.py), and no HTTP.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from sse_push.events.errors import SsePushError
from sse_push.events.event import Event
from sse_push.events.tasks import BackgroundTasks
from sse_push.service.group_chat import frames
from sse_push.service.group_chat.abandoned import AbandonedTurns
from sse_push.service.group_chat.experience import EXP_PER_ANSWER, Experience, level_of
from sse_push.service.group_chat.jobs import Job, Result, job_id
from sse_push.service.group_chat.personas import Persona, Personas
from sse_push.service.group_chat.queue import MAX_JOB_AGE_S, JobQueue, Outcome
from sse_push.service.group_chat.rooms import RequestKey, Rooms
from sse_push.service.group_chat.turn import Caller, Turn, TurnRequest
from sse_push.service.timestamps import timestamp

_log = structlog.get_logger()


class CallerSession:
    """Reports to *chat* when the caller's stream of *turn* opens and closes.

    Implements :class:`sse_push.service.connection.StreamSession`.
    """

    keys = ()  # its frames come from the turn, not from the router

    def __init__(self, chat: "GroupChat", turn: Turn) -> None:
        self._chat = chat
        self._turn = turn

    def greeting(self) -> Event:
        raise NotImplementedError  # a turn's first frame is not an event

    def opened(self, connection: Caller) -> None:
        self._chat.caller_connected(self._turn, connection)

    def closed(self) -> None:
        self._chat.caller_disconnected(self._turn)


class GroupChat:
    """The turns of this node.

    Args:
        timeout: Seconds that a caller waits for all answers.
        charge: Called with the user who asked and the size in bytes of each published answer.
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
        self._tasks = BackgroundTasks()
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Start the queue.

        Raises:
            BadSettings: A package that the model or the queue needs is not installed.
        """
        await self._queue.start(self.on_done, self._rooms.has_answer)

    async def post_message(
        self, request: TurnRequest, name_in_room: str, key: RequestKey | None = None
    ) -> Turn:
        """Post the message to the room; :meth:`ask_members` must follow.

        Args:
            name_in_room: The sender's name that the room sees.
            key: The idempotency key of the message.

        Raises:
            OverLimit: The user has too many pending answers. The message was not posted.
            BadEvent, Overloaded, EngineUnavailable: The message was not posted.
            OutcomeUnknown: The message may have been posted.
        """
        turn = Turn(request, self._clock(), self.personas.members_of(request.room))
        turn.rank = await self._queue.reserve(request.user_id, turn.job_ids)
        try:
            turn.history = await self._rooms.history(request.room)
            await self._rooms.post_message(
                request.room, request.message, request.user_id, name_in_room, turn.at, key
            )
        except BaseException:
            self._tasks.spawn(self._queue.release(request.user_id, turn.job_ids))
            raise
        self._turns[turn.id] = turn
        self._idle.clear()
        return turn

    def ask_members(self, turn: Turn) -> None:
        """Queue a job for each AI member; does not wait."""
        if not turn.pending:
            self._complete(turn)
            return
        if turn.caller is None:
            self._abandon(turn)
        else:
            turn.timer = asyncio.get_running_loop().call_later(self._timeout, self._time_out, turn)
        self._tasks.spawn(self._add(turn))

    async def _add(self, turn: Turn) -> None:
        room = turn.request.room
        try:
            if turn.caller is None and not await self._rooms.has_listeners(room):
                await self._queue.release(turn.request.user_id, turn.job_ids)
                self._withdrawn(turn, turn.job_ids)
                return
            await self._queue.add(turn.jobs(), turn.rank)
            if turn.caller is None and turn.id in self._turns:
                self._abandoned.add(turn)  # the caller left before the jobs were in the queue
        except Exception as error:  # noqa: BLE001 - the caller must get an answer after any error
            _log.error("group_chat.queue_failed", turn=turn.id, room=room, error=str(error))
            self._tasks.spawn(self._queue.release(turn.request.user_id, turn.job_ids))
            for persona in list(turn.pending.values()):
                self._failed(turn, persona)

    # -- callers -------------------------------------------------------------------------------------

    def caller_connected(self, turn: Turn, caller: Caller) -> None:
        """The stream of *turn* is open."""
        turn.caller = caller
        self._rooms.join(turn.request.room)

    def caller_disconnected(self, turn: Turn) -> None:
        """The stream of *turn* is closed. Idempotent."""
        if turn.caller is None:
            return
        turn.caller = None
        self._rooms.leave(turn.request.room)
        if turn.id in self._turns:
            self._abandon(turn)

    def _abandon(self, turn: Turn) -> None:
        """*turn* has no reader any more: its queued jobs stay only while somebody is in the room."""
        if turn.timer is not None:
            turn.timer.cancel()
        turn.timer = asyncio.get_running_loop().call_later(MAX_JOB_AGE_S, self._remove, turn)
        self._abandoned.add(turn)

    def _withdrawn(self, turn: Turn, job_ids: Iterable[str]) -> None:
        """Jobs of *turn* were withdrawn: nobody waits for them."""
        withdrawn = {*job_ids}
        persona_ids = [id_ for id_ in turn.pending if job_id(turn.id, id_) in withdrawn]
        for persona_id in persona_ids:
            del turn.pending[persona_id]
        _log.info("group_chat.jobs_withdrawn", turn=turn.id, room=turn.request.room, user=turn.request.user_id, jobs=len(persona_ids))  # fmt: skip
        if not turn.pending:
            self._remove(turn)

    # -- results -------------------------------------------------------------------------------------

    async def on_done(self, job: Job, result: Result | None) -> Outcome:
        """Handle the result of *job*. Not called twice at once for a job, but possibly again later.

        Args:
            result: ``None`` if every attempt failed.
        """
        turn = self._turns.get(job.turn_id)
        persona = turn.pending.get(job.persona.id) if turn is not None else None
        if result is None:
            _log.warning("group_chat.job_failed", job=job.id, room=job.room_id, persona=job.persona.id)
            if turn is not None and persona is not None:
                self._failed(turn, persona)
            return Outcome.COMPLETE
        at = self._clock()
        try:
            await self._rooms.post_answer(job, result, at)
        except SsePushError as error:
            if self._queue.redelivers:
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
                turn.exp_frames += _exp_frame(job, persona, exp).encode()
            self._resolve(turn, persona)
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
        self._resolve(turn, persona)

    def _resolve(self, turn: Turn, persona: Persona) -> None:
        turn.pending.pop(persona.id, None)
        if not turn.pending:
            self._complete(turn)

    def _complete(self, turn: Turn) -> None:
        if self._remove(turn):
            message = "everybody has answered" if turn.members else "nobody is here to answer"
            turn.end("complete", frames.TurnComplete(message=message, timestamp=self._now()))

    def _time_out(self, turn: Turn) -> None:
        if self._remove(turn) and turn.caller is not None:
            missing = ", ".join(persona.name for persona in turn.pending.values())
            _log.warning(
                "group_chat.timed_out", turn=turn.id, room=turn.request.room, missing=list(turn.pending)
            )
            message = f"no answer in time from {missing}; late answers reach the room"
            turn.end("timeout", frames.TurnTimedOut(message=message, timestamp=self._now()))

    def _remove(self, turn: Turn) -> bool:
        """Remove *turn*; ``False`` if it had ended before."""
        ended = self._turns.pop(turn.id, None) is not None
        self._abandoned.discard(turn)
        if turn.timer is not None:
            turn.timer.cancel()
        if not self._turns:
            self._idle.set()
        return ended

    def _now(self) -> str:
        return timestamp(self._clock())

    async def drain(self, timeout: float) -> None:
        """Wait for the turns to end; after *timeout* seconds the rest are ended as timed out."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            for turn in list(self._turns.values()):
                self._time_out(turn)

    async def close(self) -> None:
        await self._abandoned.close()
        await self._tasks.cancel()
        await self._queue.close()


def _response(persona: Persona, result: Result, at: float) -> frames.AiResponse:
    return frames.AiResponse(
        content=result.content,
        ai_name=persona.name,
        ai_id=str(persona.id),
        persona_id=persona.id,
        timestamp=timestamp(at),
    )


def _exp_frame(job: Job, persona: Persona, exp: int) -> frames.ExpUpdated:
    return frames.ExpUpdated(
        persona_id=persona.id,
        persona_name=persona.name,
        new_exp=exp,
        new_level=level_of(exp),
        exp_increase=EXP_PER_ANSWER,
        user_id=job.user_id,
    )
