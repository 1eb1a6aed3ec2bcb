"""The rooms of group chat: reads their recent messages, and posts messages and answers.

On ``/chat/stream`` an AI member is the user ``ai:ID``. Knows the topic of rooms; does not know turns.
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
from sse_push.events.latest import latest_events
from sse_push.events.pipeline import Pipeline
from sse_push.events.router import Router
from sse_push.events.topics import filter_keys
from sse_push.service.group_chat.jobs import HistoryMessage, Job, Result
from sse_push.service.group_chat.personas import Persona
from sse_push.service.identity import AI_PREFIX
from sse_push.service.streams.chat import ChatMessage, room_topic
from sse_push.service.timestamps import timestamp

SEARCHED_MESSAGES = 1_000  # latest_events messages of a room that are searched for an answer that may be lost
MAX_HISTORY_CHARS = 8_000  # characters of earlier messages in a job: some pages, the latest_events


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """A message of a room."""

    user_id: str
    name: str
    content: str

    def seen_by(self, persona: Persona) -> HistoryMessage:
        return HistoryMessage(
            name=self.name, content=self.content, own=self.user_id == f"{AI_PREFIX}{persona.id}"
        )


class RequestKey(NamedTuple):
    """A request's idempotency key and fingerprint."""

    key: str
    asked: str


class Rooms:
    """All rooms.

    Args:
        messages: Limit of the earlier messages in a job.
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

    async def history(self, room: str) -> list[RoomMessage]:
        """Recent messages of *room*, oldest first.

        Raises:
            EngineUnavailable: It can't be read now.
        """
        if not self._messages:
            return []
        events = await latest_events(self._engine, [_key_of(room)], self._messages, self._clock)
        left = MAX_HISTORY_CHARS
        recent: list[RoomMessage] = []
        for message in filter(None, map(_message_of, reversed(events))):
            left -= len(message.content)
            if left < 0:
                break
            recent.append(message)
        return recent[::-1]

    def join(self, room: str) -> None:
        """A caller of a turn is in *room*. Other nodes see it as they see streams."""
        self._callers[room] += 1
        self._engine.subscribe([_key_of(room)])

    def leave(self, room: str) -> None:
        """The caller has left *room*."""
        self._callers[room] -= 1
        if not self._callers[room]:
            del self._callers[room]
        self._engine.unsubscribe([_key_of(room)])

    async def has_listeners(self, room: str) -> bool:
        """Whether anybody is in *room* on any node, with an open stream of it or a turn.

        Raises:
            EngineUnavailable: Nobody is on this node, and the others can't be asked now.
        """
        key = _key_of(room)
        return (
            room in self._callers or self._router.has(key) or await self._engine.has_remote_subscribers(key)
        )

    async def post_message(
        self, room: str, message: str, user_id: str, name: str, at: float, key: RequestKey | None = None
    ) -> None:
        """Post a user's message to *room*.

        Args:
            key: The idempotency key; the room gets the message once.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: It was not posted.
            OutcomeUnknown: It may have been posted.
        """
        event = _event(room, message, user_id, name, at)
        keyed = event if key is None else event.with_key(key.key, asked=key.asked)
        await self._pipeline.publish(keyed, publisher=user_id)

    async def post_answer(self, job: Job, result: Result, at: float) -> None:
        """Post the answer to the room of *job*. Idempotent on all nodes.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: It was not posted.
        """
        persona = job.persona
        event = _event(job.room_id, result.content, f"{AI_PREFIX}{persona.id}", persona.name, at)
        # If a job was done twice with different answers, the first one counts.
        key = f"group-chat/{job.id}"
        await self._pipeline.publish(event.with_key(key, asked=fingerprint_of(key)))

    async def has_answer(self, job: Job, result: Result) -> bool:
        """Whether the room's latest_events messages have the answer of *job*.

        Raises:
            EngineUnavailable: The messages can't be read now.
        """
        events = await latest_events(self._engine, [_key_of(job.room_id)], SEARCHED_MESSAGES, self._clock)
        author = f"{AI_PREFIX}{job.persona.id}"
        messages = filter(None, map(_message_of, events))
        return any(message.user_id == author and message.content == result.content for message in messages)


def _key_of(room: str) -> str:
    """The routing key of every stream of *room*."""
    return filter_keys(room_topic(room), None)[0]


def _event(room: str, message: str, user_id: str, name: str, at: float) -> PushEvent:
    said = ChatMessage.model_validate(
        {"roomId": room, "message": message, "userId": user_id, "username": name, "timestamp": timestamp(at)}
    )
    return PushEvent(room=room, data=said.model_dump(by_alias=True))


def _message_of(event: Event) -> RoomMessage | None:
    """The message in *event*; ``None`` if another service published something else to the room."""
    try:
        said = ChatMessage.model_validate_json(event.data)
    except ValidationError:
        return None
    return RoomMessage(said.user_id, said.username, said.message)
