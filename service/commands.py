"""The commands: their request bodies, the events that they become, their answers."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sse_push.events.event import MAX_USERS, Name, PushEvent
from sse_push.events.json_text import encoded
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.streams import app, chat, notifications, realtime

MAX_TEXT = 16_384  # characters of a title or message: pages of text, well within an event


class Command(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, coerce_numbers_to_str=True)


class AppPush(app.AppMessage):
    """Push a message to one user."""

    # Goes out as sent, so it may carry more than these two.
    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    def event(self, sent: Any) -> PushEvent:
        """The event; *sent* is the body as it came."""
        return PushEvent(topic=app.TOPIC.name, user_id=self.user_id, data=sent)


class ForUsers(Command):
    """A command for the users it names, or for everyone with the topic's stream where it names none."""

    user_id: Name | None = Field(default=None, alias="userId", description="For this user.")
    user_ids: list[Name] | None = Field(
        default=None, alias="userIds", min_length=1, max_length=MAX_USERS, description="For these users."
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len(self.users) > MAX_USERS:
            raise ValueError(f"userId and userIds name more than {MAX_USERS} users")
        return self

    @property
    def users(self) -> list[str]:
        """The users it names, each once; empty means everyone."""
        one = [] if self.user_id is None else [self.user_id]
        return list(dict.fromkeys([*one, *(self.user_ids or ())]))

    def _push(self, topic: Topic, data: Any) -> PushEvent:
        users = self.users
        return PushEvent(topic=topic.name, user_ids=users or None, broadcast=not users, data=data)


class SendNotification(ForUsers):
    """Notify some users, or all where none is named."""

    title: str = Field(min_length=1, max_length=MAX_TEXT)
    message: str = Field(max_length=MAX_TEXT)
    type: notifications.NotificationType

    def event(self, now: str) -> PushEvent:
        said = notifications.Notification(title=self.title, message=self.message, type=self.type, timestamp=now)  # fmt: skip
        return self._push(notifications.TOPIC, said.model_dump())


class UpdateEntity(ForUsers):
    """Tell some users that an entity changed, or all where none is named."""

    entity_type: Name = Field(alias="entityType")
    entity_id: Name = Field(alias="entityId")
    action: realtime.Action
    data: Any

    def event(self, now: str) -> PushEvent:
        said = self.model_dump(by_alias=True, exclude={"user_id", "user_ids"})
        update = realtime.EntityUpdate.model_validate({**said, "timestamp": now})
        return self._push(realtime.TOPIC, encoded(update.model_dump(by_alias=True)))


class SayToGroup(Command):
    """Say something in a room, and have its AI members answer."""

    message: str = Field(min_length=1, max_length=MAX_TEXT)
    sender: Name = Field(description="The caller's id.", examples=["42"])
    user_name: Name = Field(
        alias="userName", description="What the frames call the sender.", examples=["ada"]
    )


class SendChat(Command):
    """Say something in a room."""

    room_id: Name = Field(alias="roomId")
    message: str = Field(min_length=1, max_length=MAX_TEXT)

    def event(self, caller: Caller, now: str) -> PushEvent:
        user_id = caller.require_user()
        message = chat.ChatMessage.model_validate(
            {
                "roomId": self.room_id,
                "message": self.message,
                "userId": user_id,
                "username": caller.name or user_id,
                "timestamp": now,
            }
        )
        return PushEvent(room=self.room_id, data=message.model_dump(by_alias=True))
