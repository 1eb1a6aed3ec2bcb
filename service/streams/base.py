"""What a stream is: a path, a topic, who may have it and what they may see of it.

A new stream is a module beside this one with a subclass, and one line in the registry
(docs/adding-a-stream.md). Knows callers and filters; knows nothing of HTTP but its path.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from sse_push.events.event import Event
from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.identity import Caller
from sse_push.service.settings import Settings

if TYPE_CHECKING:
    from sse_push.service.connection import Connection
    from sse_push.service.node import Node


class Params(BaseModel):
    """Parameters of a stream's path and query. Others are ignored: ``token`` and caches' busters come too."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, coerce_numbers_to_str=True)


BaseParams = Params  # a stream has a class attribute of that name, which hides it


class Stream(ABC):
    """One kind of stream.

    Attributes:
        name: In logs, figures and status.
        path: Its path, with ``{name}`` for parameters.
        topic: The topic it gives.
        summary: A line for the API description.
        anyone: It is served without a token too (a bad one is still refused).
        Params: What its path and query may say.
        payloads: The models of its data, for the API description. One that goes out under an ``event:`` has it as
            ``event_name``.
        invalid_token: What a caller with a bad token is told, where it is not the usual.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    topic: ClassVar[Topic]
    summary: ClassVar[str]
    anyone: ClassVar[bool] = False
    Params: ClassVar[type[Params]] = Params
    payloads: ClassVar[tuple[type[BaseModel], ...]] = ()
    invalid_token: ClassVar[str | None] = None

    def filter(self, caller: Caller, params: Any, settings: Settings) -> Filter:
        """What *caller* gets.

        Raises:
            Unauthenticated: A token is needed and there is none.
            Forbidden: *caller* may not have this stream.
        """
        user = caller.user_id if self.anyone else caller.require_user()
        return Filter.of(self.topic.name, user=user)

    def recalls(self, params: Any) -> int:
        """How many of its newest events it begins with, for a client that names no id."""
        return 0

    def params_for(self, caller: Caller, room: str | None) -> BaseParams:
        """The parameters with which ``/v1/stream`` opens it for *caller*."""
        return self.Params()


class SampledStream(Stream):
    """A stream of what is so now, sampled at an interval, once for all who watch; nothing is kept."""

    @abstractmethod
    def interval(self, settings: Settings) -> float:
        """Seconds between two samples."""

    @abstractmethod
    def sample(self, node: "Node") -> BaseModel:
        """What is so now."""


class Visit(Protocol):
    """What a node knows of one stream of an :class:`AttendedStream`."""

    @property
    def keys(self) -> Sequence[str]:
        """The routing keys of what it adds to the stream: they are heard for as long as that is open."""

    def greeting(self) -> Event:
        """The event it begins with."""

    def opened(self, connection: "Connection") -> None:
        """It is live."""

    def closed(self) -> None:
        """It is closed, or was never opened. May be called more than once."""


class AttendedStream(Stream):
    """A stream that the node attends to one by one: asked before it opens, told when it opens and closes.

    Its topic is not kept. What :meth:`filter` gives it comes to it as to every stream; the visit may add to that.
    """

    @abstractmethod
    async def attend(self, caller: Caller, node: "Node") -> Visit:
        """A visit for *caller*. Nothing may be held for it yet: the stream may never open.

        Raises:
            Unauthenticated, Forbidden, NotFound: *caller* may not have this stream.
        """
