"""aiohttp-sse as its users write it: a queue for each stream, and a map from user to queues.

Checks no token, keeps nothing, gives no ids.
"""

import asyncio
import sys
from collections import defaultdict

import uvloop
from aiohttp import web
from aiohttp_sse import sse_response

Queues = set["asyncio.Queue[str]"]
everybody: Queues = set()
by_user: defaultdict[str, Queues] = defaultdict(set)


async def subscribe(request: web.Request) -> web.StreamResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()
    mine = by_user[request.match_info["user"]]
    everybody.add(queue)
    mine.add(queue)
    try:
        async with sse_response(request) as response:
            while response.is_connected():
                await response.send(await queue.get())
            return response
    finally:
        everybody.discard(queue)
        mine.discard(queue)


async def push_all(request: web.Request) -> web.Response:
    text = await request.text()
    for queue in everybody:
        queue.put_nowait(text)
    return web.Response(status=204)


async def push_one(request: web.Request) -> web.Response:
    text = await request.text()
    for queue in by_user[request.match_info["user"]]:
        queue.put_nowait(text)
    return web.Response(status=204)


def main(port: int) -> None:
    app = web.Application()
    app.add_routes(
        [
            web.get("/sub/{user}", subscribe),
            web.post("/push", push_all),
            web.post("/push/{user}", push_one),
        ]
    )
    uvloop.install()
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        backlog=4096,
        handler_cancellation=True,
        shutdown_timeout=1,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
