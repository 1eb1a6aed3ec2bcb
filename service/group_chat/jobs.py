"""A job: one AI member is to answer one message. Its data and result are the JSON of docs/group-chat.md, version 1.

A job holds all that a worker needs, so that it may run anywhere. Knows nothing of queues.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sse_push.service.group_chat.personas import Persona

QUEUE = "sse-push-group-chat"
MAX_ANSWER_CHARS = 8_192  # characters of an answer; what comes after them is cut off


def _cut(text: str) -> str:
    return text.strip()[:MAX_ANSWER_CHARS]


def job_id(turn_id: str, persona_id: int) -> str:
    """Of a turn's job for a persona."""
    return f"{turn_id}-{persona_id}"


class _Form(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True
    )


class Member(_Form):
    """The persona that is to answer."""

    id: int
    name: str
    prompt: str
    model: str | None = None
    replies: tuple[str, ...] = ()

    @classmethod
    def of(cls, persona: Persona) -> Self:
        return cls(**persona.model_dump(exclude={"rooms"}))


class Line(_Form):
    """Something said before in the room.

    Attributes:
        own: By the persona that is to answer.
    """

    name: str
    content: str
    own: bool = False


class Job(_Form):
    """What a worker is given.

    Attributes:
        turn_id: The turn that it belongs to: one message and all answers to it.
        history: What was said before *message*, oldest first.
        asked_at: When, in seconds since the Unix epoch.
    """

    version: Literal[1] = 1
    turn_id: str
    room_id: str
    persona: Member
    user_id: str
    user_name: str
    message: str
    history: tuple[Line, ...] = ()
    asked_at: float

    @property
    def id(self) -> str:
        """Of the job, in the queue and in all that must happen once only."""
        return job_id(self.turn_id, self.persona.id)


class Result(_Form):
    """What a worker gives back."""

    content: Annotated[str, AfterValidator(_cut), Field(min_length=1)]
