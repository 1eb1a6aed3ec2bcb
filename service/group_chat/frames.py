"""The frames of a turn's stream: one ``data:`` line of JSON each, then ``[DONE]`` (docs/protocol.md)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import to_json

from sse_push.events import wire

DONE = wire.frame(wire.data_lines("[DONE]"))


class Frame(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)

    def encode(self) -> bytes:
        """The frame: compact JSON in one ``data:`` line."""
        return wire.frame(b"data: %b\n" % to_json(self.model_dump(by_alias=True)))


class UserMessage(Frame):
    """The user's message; the first frame.

    Attributes:
        sender: The name that the caller gave; ``sender_id`` is their user id.
    """

    type: Literal["user_message"] = "user_message"
    content: str
    sender: str = Field(examples=["ada"])
    sender_id: str = Field(examples=["42"])
    timestamp: str


class AiResponse(Frame):
    """The answer of one AI member, sent when it arrives."""

    type: Literal["ai_response"] = "ai_response"
    content: str
    ai_name: str = Field(examples=["Ada"])
    ai_id: str = Field(examples=["1"])
    persona_id: int
    timestamp: str


class ExpUpdated(Frame):
    """The caller's new exp with an AI member; sent after all answers."""

    type: Literal["exp_updated"] = "exp_updated"
    persona_id: int
    persona_name: str = Field(examples=["Ada"])
    new_exp: int = Field(examples=[150])
    new_level: int = Field(examples=[2])
    exp_increase: int = Field(examples=[5])
    user_id: str


class TurnComplete(Frame):
    """Every AI member has answered or failed."""

    type: Literal["complete"] = "complete"
    message: str
    timestamp: str


class TurnTimedOut(Frame):
    """Sent instead of ``complete`` if answers are missing. Late answers still reach the room."""

    type: Literal["timeout"] = "timeout"
    message: str
    timestamp: str


class MemberFailed(Frame):
    """One AI member can't answer; the others still can."""

    type: Literal["error"] = "error"
    message: str
    timestamp: str


AnyFrame = UserMessage | AiResponse | ExpUpdated | TurnComplete | TurnTimedOut | MemberFailed
