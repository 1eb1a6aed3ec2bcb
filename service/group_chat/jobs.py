"""A job: one AI member answers one message. Data and result are the JSON of docs/group-chat.md, version 1.

A job has everything that a worker needs, so it can run anywhere. Knows no queues.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sse_push.service.group_chat.personas import Persona

QUEUE = "sse-push-group-chat"
MAX_ANSWER_CHARS = 8_192  # characters of an answer; longer ones are truncated


def _truncate(text: str) -> str:
    return text.strip()[:MAX_ANSWER_CHARS]


def job_id(turn_id: str, persona_id: int) -> str:
    """The id of a turn's job for one persona."""
    return f"{turn_id}-{persona_id}"


class _WireModel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True
    )


class Member(_WireModel):
    """The persona that answers."""

    id: int
    name: str
    prompt: str
    model: str | None = None
    replies: tuple[str, ...] = ()

    @classmethod
    def of(cls, persona: Persona) -> Self:
        return cls(**persona.model_dump(exclude={"rooms"}))


class HistoryMessage(_WireModel):
    """An earlier message of the room.

    Attributes:
        own: It is by the persona that answers.
    """

    name: str
    content: str
    own: bool = False


class Job(_WireModel):
    """What a worker gets.

    Attributes:
        turn_id: The turn: one message and all answers to it.
        history: Messages before *message*, oldest first.
        asked_at: Seconds since the Unix epoch.
    """

    version: Literal[1] = 1
    turn_id: str
    room_id: str
    persona: Member
    user_id: str
    user_name: str
    message: str
    history: tuple[HistoryMessage, ...] = ()
    asked_at: float

    @property
    def id(self) -> str:
        """The job's id in the queue; also its idempotency key."""
        return job_id(self.turn_id, self.persona.id)


class Result(_WireModel):
    """What a worker returns."""

    content: Annotated[str, AfterValidator(_truncate), Field(min_length=1)]
