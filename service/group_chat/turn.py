"""One turn of group chat: what was said, the AI members that are yet to answer it, and the stream that reads it.

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
from sse_push.service.group_chat.rooms import Spoken
from sse_push.service.timestamps import timestamp


class Caller(Protocol):
    """Who reads the turn: an open stream (:class:`sse_push.service.connection.Connection`)."""

    def send(self, frames: bytes) -> None: ...
    def end(self, reason: str, farewell: bytes = b"") -> None: ...


@dataclass(frozen=True, slots=True)
class Said:
    """What was said, who said it, and where."""

    room: str
    user_id: str
    user_name: str
    message: str


class Turn:
    """One message, and the AI members that are yet to answer it.

    Attributes:
        waiting: Those members, by id.
        history: What was said in the room before.
        rank: How many answers its user was waiting for when it began.
        caller: The stream that the turn's frames go to; ``None`` when it could not be opened, or is closed.
    """

    def __init__(self, said: Said, at: float, members: Iterable[Persona]) -> None:
        self.id = secrets.token_hex(12)
        self.said = said
        self.at = at
        self.history: list[Spoken] = []
        self.rank = 0
        self.waiting = {persona.id: persona for persona in members}
        self.members = len(self.waiting)
        self.earned = b""
        self.caller: Caller | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def first_frame(self) -> bytes:
        said = self.said
        return frames.UserMessage(
            content=said.message, sender=said.user_name, sender_id=said.user_id, timestamp=timestamp(self.at)
        ).encode()

    @property
    def job_ids(self) -> list[str]:
        """Of the members that are yet to answer."""
        return [job_id(self.id, persona) for persona in self.waiting]

    def jobs(self) -> list[Job]:
        """A job for each member."""
        said = self.said
        return [
            Job(
                turn_id=self.id,
                room_id=said.room,
                persona=Member.of(persona),
                user_id=said.user_id,
                user_name=said.user_name,
                message=said.message,
                history=tuple(line.seen_by(persona) for line in self.history),
                asked_at=self.at,
            )
            for persona in self.waiting.values()
        ]

    def send(self, frame: frames.Frame) -> None:
        if self.caller is not None:
            self.caller.send(frame.encode())

    def end(self, reason: str, frame: frames.Frame) -> None:
        """What the caller has earned, then *frame*; the stream ends itself by ``[DONE]``."""
        if self.caller is not None:
            self.caller.end(reason, self.earned + frame.encode())
