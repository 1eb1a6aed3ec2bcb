"""The aiohttp application, put together. Nothing happens at import."""

import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from sse_push.events.engines.base import Engine
from sse_push.handlers import (
    accounts,
    commands,
    console,
    docs_page,
    friends,
    functions,
    group_chat,
    openapi,
    publish,
    status,
    streams,
)
from sse_push.handlers.keys import NODE
from sse_push.handlers.middleware import middleware
from sse_push.service.node import Node
from sse_push.service.settings import Settings


def build_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    clock: Callable[[], float] = time.time,
) -> web.Application:
    """The application.

    Args:
        engine: Where events are kept; by default the one that the settings name.
        clock: Seconds since the Unix epoch.
    """
    app = web.Application(middlewares=[middleware], client_max_size=settings.max_body_bytes)
    app[NODE] = Node(settings, engine=engine, clock=clock)
    groups = (
        streams,
        publish,
        commands,
        group_chat,
        functions,
        accounts,
        friends,
        status,
        openapi,
        docs_page,
        console,
    )
    for group in groups:
        app.add_routes(group.routes())
    app.cleanup_ctx.append(console.read_build)
    app.cleanup_ctx.append(_run_node)
    app.on_shutdown.append(_drain)
    return app


async def _run_node(app: web.Application) -> AsyncIterator[None]:
    await app[NODE].start()
    yield
    await app[NODE].close()


async def _drain(app: web.Application) -> None:
    await app[NODE].drain()
