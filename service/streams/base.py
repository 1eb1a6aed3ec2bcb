"""What a stream is: a path, a topic, who may have it and what they may see of it.

A new stream is a module beside this one with a subclass, and one line in the registry
(docs/adding-a-stream.md). Knows callers and filters; knows nothing of HTTP but its path.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from sse_push.events.router import Filter
from sse_push.events.topics import Topic
from sse_push.service.connection import StreamSession
from sse_push.service.identity import Caller
from sse_push.service.settings import Settings

if TYPE_CHECKING:
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


class SessionStream(Stream):
    """A stream with a session: the node is asked before it opens, and notified when it opens and closes.

    Its topic is not stored. It gets the events of :meth:`filter` as every stream does; the session may add others.
    """

    @abstractmethod
    async def open_session(self, caller: Caller, node: "Node") -> StreamSession:
        """A session for *caller*. It must not hold resources yet: the stream may never open.

        Raises:
            Unauthenticated, Forbidden, NotFound: *caller* may not have this stream.
        """
