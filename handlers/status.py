"""How the node is: ``/system/status`` and ``/sse/status``, ``/healthz``, ``/readyz`` and ``/metrics``."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from sse_push.events.errors import ShuttingDown
from sse_push.handlers.auth import caller_of
from sse_push.handlers.bodies import json_response
from sse_push.handlers.keys import NODE
from sse_push.service.metrics import exposition
from sse_push.service.status import system_status


def routes() -> list[web.RouteDef]:
    return [
        web.get("/system/status", system),
        web.get("/sse/status", clients),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


async def system(request: web.Request) -> web.Response:
    await caller_of(request)
    return json_response(system_status(request.app[NODE]))


async def clients(request: web.Request) -> web.Response:
    caller = await caller_of(request)
    return json_response(request.app[NODE].client_directory.status(with_ids=caller.is_admin))


async def healthz(request: web.Request) -> web.Response:
    """The process runs and answers."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Streams and events are welcome here: not going away, and the store can keep.

    Raises:
        ShuttingDown, EngineUnavailable: They are not.
    """
    node = request.app[NODE]
    if not node.connections.accepting:
        raise ShuttingDown("this node is going away")
    await node.engine.check()
    return json_response({"status": "ok"})


async def metrics(request: web.Request) -> web.Response:
    return web.Response(body=exposition(request.app[NODE]), headers={"Content-Type": CONTENT_TYPE_LATEST})
