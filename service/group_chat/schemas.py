"""Parameters and response models of the group-chat endpoints."""

from pydantic import BaseModel, ConfigDict, Field

from sse_push.events.event import Name
from sse_push.service.streams.base import Params


class RoomParams(Params):
    room_id: Name = Field(alias="roomId", description="The room.", examples=["general"])


class RoomMember(BaseModel):
    """An AI member of a room, with the caller's exp and level."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    ai_id: str = Field(alias="aiId", examples=["1"])
    persona_id: int = Field(alias="personaId")
    ai_name: str = Field(alias="aiName", examples=["Ada"])
    exp: int = Field(examples=[150])
    level: int = Field(examples=[2])
