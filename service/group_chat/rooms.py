"""A room as group chat sees it: what was said in it lately, and saying something there.

On ``/chat/stream`` an AI member is the user ``ai:ID``. Knows the topic of rooms; does not know who is asked.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from sse_push.events.engines.base import Engine
from sse_push.events.event import Event, PushEvent
from sse_push.events.fingerprint import fingerprint_of
from sse_push.events.newest import newest
from sse_push.events.pipeline import Pipeline
from sse_push.events.router import Router
from sse_push.events.topics import filter_keys
from sse_push.service.group_chat.jobs import Job, Line, Result
from sse_push.service.group_chat.personas import Persona
from sse_push.service.identity import AI_PREFIX
from sse_push.service.streams.chat import ChatMessage, room_topic
from sse_push.service.timestamps import timestamp

LOOKED_THROUGH = 1_000  # newest messages of a room among which an answer is looked for that may be lost
MAX_HISTORY_CHARS = 8_000  # characters of earlier messages that a job carries: some pages, the newest


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something said in a room."""

    user_id: str
    name: str
    content: str

    def seen_by(self, persona: Persona) -> Line:
        return Line(name=self.name, content=self.content, own=self.user_id == f"{AI_PREFIX}{persona.id}")


class Key(NamedTuple):
    """An idempotency key, and the fingerprint of the request that it came with."""

    key: str
    asked: str


class Rooms:
    """All rooms.

    Args:
        messages: How many earlier ones a job carries at the most.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        engine: Engine,
        router: Router,
        *,
        messages: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pipeline = pipeline
        self._engine = engine
        self._router = router
        self._callers: Counter[str] = Counter()  # of open turns, by room
        self._messages = messages
        self._clock = clock

    async def history(self, room: str) -> list[Spoken]:
        """What was said in *room* lately, oldest first.

        Raises:
            EngineUnavailable: It can't be read now.
        """
        if not self._messages:
            return []
        events = await newest(self._engine, [_key_of(room)], self._messages, self._clock)
        left = MAX_HISTORY_CHARS
        lately: list[Spoken] = []
        for spoken in filter(None, map(_spoken, reversed(events))):
            left -= len(spoken.content)
            if left < 0:
                break
            lately.append(spoken)
        return lately[::-1]

    def join(self, room: str) -> None:
        """A caller of a turn is in *room*; the engine shows it to other nodes as it shows streams."""
        self._callers[room] += 1
        self._engine.listen([_key_of(room)])

    def leave(self, room: str) -> None:
        """They are not any more."""
        self._callers[room] -= 1
        if not self._callers[room]:
            del self._callers[room]
        self._engine.unlisten([_key_of(room)])

    async def has_listeners(self, room: str) -> bool:
        """Whether anybody is in *room*, on any node: with a stream of it open, or a turn.

        Raises:
            EngineUnavailable: Nobody is here, and other nodes can't be asked now.
        """
        key = _key_of(room)
        return room in self._callers or self._router.has(key) or await self._engine.heard_elsewhere(key)

    async def tell(
        self, room: str, message: str, user_id: str, name: str, at: float, key: Key | None = None
    ) -> None:
        """Tell *room* what a user says.

        Args:
            key: Of the user's; the room is told once, however often they say this with it.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: It was not told.
            OutcomeUnknown: It may have been told.
        """
        event = _event(room, message, user_id, name, at)
        keyed = event if key is None else event.with_key(key.key, asked=key.asked)
        await self._pipeline.publish(keyed, publisher=user_id)

    async def answer(self, job: Job, result: Result, at: float) -> None:
        """Tell the room of *job* its answer. However often and on whichever node, the room gets it once.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: It was not told.
        """
        persona = job.persona
        event = _event(job.room_id, result.content, f"{AI_PREFIX}{persona.id}", persona.name, at)
        # Of answers that differ, from a job done twice or at another time, the first is the job's.
        key = f"group-chat/{job.id}"
        await self._pipeline.publish(event.with_key(key, asked=fingerprint_of(key)))

    async def has_answer(self, job: Job, result: Result) -> bool:
        """Whether the room of *job* has its answer, as far as its newest messages tell.

        Raises:
            EngineUnavailable: They can't be read now.
        """
        events = await newest(self._engine, [_key_of(job.room_id)], LOOKED_THROUGH, self._clock)
        author = f"{AI_PREFIX}{job.persona.id}"
        spoken = filter(None, map(_spoken, events))
        return any(said.user_id == author and said.content == result.content for said in spoken)


def _key_of(room: str) -> str:
    """The routing key that every stream of *room* takes."""
    return filter_keys(room_topic(room), None)[0]


def _event(room: str, message: str, user_id: str, name: str, at: float) -> PushEvent:
    said = ChatMessage.model_validate(
        {"roomId": room, "message": message, "userId": user_id, "username": name, "timestamp": timestamp(at)}
    )
    return PushEvent(room=room, data=said.model_dump(by_alias=True))


def _spoken(event: Event) -> Spoken | None:
    """What *event* says; ``None`` when another service published something else to the room."""
    try:
        said = ChatMessage.model_validate_json(event.data)
    except ValidationError:
        return None
    return Spoken(said.user_id, said.username, said.message)
