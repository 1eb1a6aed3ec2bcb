"""How this node is: the body of ``GET /system/status`` and of ``GET /sse/status``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from sse_push.service.streams.client import ClientStream
from sse_push.service.timestamps import timestamp

if TYPE_CHECKING:
    from sse_push.service.node import Node


class OpenConnections(BaseModel):
    total: int
    by_stream: dict[str, int] = Field(serialization_alias="byStream")


class Memory(BaseModel):
    rss_bytes: int = Field(serialization_alias="rssBytes")


class SystemStatus(BaseModel):
    status: Literal["ok", "degraded", "draining"]
    version: str
    node_id: str = Field(serialization_alias="nodeId")
    uptime: float = Field(description="Seconds since this node started.")
    connections: OpenConnections
    events_sent: int = Field(serialization_alias="eventsSent", description="Deliveries since the start.")
    memory: Memory
    timestamp: str


class ClientStatus(BaseModel):
    """Of this node's ``/sse/connect`` streams; ``clientIds`` only for an admin."""

    connected: int
    clients: int
    client_ids: list[str] | None = Field(default=None, serialization_alias="clientIds")


def system_status(node: "Node") -> SystemStatus:
    now = node.clock()
    open_ = {name: count for name, count in node.connections.open_by_kind.items() if count}
    state: Literal["ok", "degraded", "draining"] = "degraded" if node.engine.failing else "ok"
    return SystemStatus(
        status=state if node.connections.accepting else "draining",
        version=node.version,
        node_id=node.id,
        uptime=round(now - node.started, 3),
        connections=OpenConnections(total=len(node.connections), by_stream=open_),
        events_sent=node.metrics.deliveries,
        memory=Memory(rss_bytes=rss_bytes()),
        timestamp=timestamp(now),
    )


def rss_bytes() -> int:
    """Resident memory of this process in bytes; 0 if the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class ClientDirectory:
    """The clients with open ``/sse/connect`` streams on this node. Public, so it is computed once a second at most."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._second = -1
        self._status = ClientStatus(connected=0, clients=0)

    def status(self, *, with_ids: bool) -> ClientStatus:
        """The body of ``GET /sse/status``, with client ids only if *with_ids*."""
        second = int(self._node.clock())
        if self._second != second:
            self._second, self._status = second, self._compute()
        return self._status if with_ids else self._status.model_copy(update={"client_ids": None})

    def _compute(self) -> ClientStatus:
        connections = [
            connection for connection in self._node.connections if connection.kind == ClientStream.name
        ]
        ids = {connection.subject for connection in connections if connection.subject is not None}
        return ClientStatus(connected=len(connections), clients=len(ids), client_ids=sorted(ids))
