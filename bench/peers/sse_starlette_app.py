"""sse-starlette on uvicorn as its users write it: a queue for each stream, and a map from user to queues.

Checks no token, keeps nothing, gives no ids.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Queues = set["asyncio.Queue[str]"]
everybody: Queues = set()
by_user: defaultdict[str, Queues] = defaultdict(set)


async def subscribe(request: Request) -> Response:
    return EventSourceResponse(_events(request.path_params["user"]))


async def _events(user: str) -> AsyncIterator[dict[str, str]]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    everybody.add(queue)
    by_user[user].add(queue)
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        everybody.discard(queue)
        by_user[user].discard(queue)


async def push_all(request: Request) -> Response:
    text = (await request.body()).decode()
    for queue in everybody:
        queue.put_nowait(text)
    return Response(status_code=204)


async def push_one(request: Request) -> Response:
    text = (await request.body()).decode()
    for queue in by_user[request.path_params["user"]]:
        queue.put_nowait(text)
    return Response(status_code=204)


app = Starlette(
    routes=[
        Route("/sub/{user}", subscribe),
        Route("/push", push_all, methods=["POST"]),
        Route("/push/{user}", push_one, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=4096,
        timeout_graceful_shutdown=1,
    )
