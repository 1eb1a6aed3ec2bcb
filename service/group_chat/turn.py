"""One turn of group chat: the message, the AI members that have not answered yet, and the caller's stream.

Knows its frames and jobs; does not know where they go.
"""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sse_push.service.group_chat import frames
from sse_push.service.group_chat.jobs import Job, Member, job_id
from sse_push.service.group_chat.personas import Persona
from sse_push.service.group_chat.rooms import RoomMessage
from sse_push.service.timestamps import timestamp


class Caller(Protocol):
    """The reader of a turn: an open stream (:class:`sse_push.service.connection.Connection`)."""

    def send(self, frames: bytes) -> None: ...
    def end(self, reason: str, farewell: bytes = b"") -> None: ...


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """The message of a turn, its author and room."""

    room: str
    user_id: str
    user_name: str
    message: str


class Turn:
    """One message, and the AI members that have not answered yet.

    Attributes:
        pending: These members, by id.
        history: Earlier messages of the room.
        rank: Pending answers of the user when the turn began.
        caller: The stream that gets the frames; ``None`` if it could not be opened, or is closed.
    """

    def __init__(self, request: TurnRequest, at: float, members: Iterable[Persona]) -> None:
        self.id = secrets.token_hex(12)
        self.request = request
        self.at = at
        self.history: list[RoomMessage] = []
        self.rank = 0
        self.pending = {persona.id: persona for persona in members}
        self.members = len(self.pending)
        self.exp_frames = b""
        self.caller: Caller | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def first_frame(self) -> bytes:
        request = self.request
        return frames.UserMessage(
            content=request.message,
            sender=request.user_name,
            sender_id=request.user_id,
            timestamp=timestamp(self.at),
        ).encode()

    @property
    def job_ids(self) -> list[str]:
        """The ids of the pending members' jobs."""
        return [job_id(self.id, persona) for persona in self.pending]

    def jobs(self) -> list[Job]:
        """A job for each member."""
        request = self.request
        return [
            Job(
                turn_id=self.id,
                room_id=request.room,
                persona=Member.of(persona),
                user_id=request.user_id,
                user_name=request.user_name,
                message=request.message,
                history=tuple(line.seen_by(persona) for line in self.history),
                asked_at=self.at,
            )
            for persona in self.pending.values()
        ]

    def send(self, frame: frames.Frame) -> None:
        if self.caller is not None:
            self.caller.send(frame.encode())

    def end(self, reason: str, frame: frames.Frame) -> None:
        """Send the caller's new exp, then *frame*; the stream itself adds ``[DONE]``."""
        if self.caller is not None:
            self.caller.end(reason, self.exp_frames + frame.encode())
