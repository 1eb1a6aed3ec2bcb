"""A channel app's clients: send to one, broadcast, ask whether one is connected.

The interface for business logic in this process; "connected" means to any node.
"""

from pydantic import BaseModel

from sse_push.events.engines.base import Engine
from sse_push.events.event import PushEvent
from sse_push.events.pipeline import Pipeline
from sse_push.events.router import Router
from sse_push.events.topics import filter_keys
from sse_push.service.streams.client import TOPIC


class Clients:
    """The clients of all nodes."""

    def __init__(self, pipeline: Pipeline, router: Router, engine: Engine) -> None:
        self._pipeline = pipeline
        self._router = router
        self._engine = engine

    async def send_to_client(self, client_id: str, event: BaseModel) -> bool:
        """Push *event* (docs/protocol.md) to a client; ``False`` if it is not connected.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: It was not published.
        """
        if not await self.is_client_connected(client_id):
            return False
        data = event.model_dump(by_alias=True)
        await self._pipeline.publish(PushEvent(topic=TOPIC.name, user_id=client_id, data=data))
        return True

    async def broadcast(self, event: BaseModel) -> str:
        """Push *event* to all clients; its id.

        Raises:
            BadEvent, Overloaded, EngineUnavailable: It was not published.
        """
        data = event.model_dump(by_alias=True)
        [id_] = await self._pipeline.publish(PushEvent(topic=TOPIC.name, broadcast=True, data=data))
        return id_

    async def is_client_connected(self, client_id: str) -> bool:
        """Whether the client holds a stream on any node.

        Raises:
            EngineUnavailable: It holds none here, and other nodes can't be asked now.
        """
        _, its_own = filter_keys(TOPIC.name, client_id)
        return self._router.has(its_own) or await self._engine.has_remote_subscribers(its_own)
