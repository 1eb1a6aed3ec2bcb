"""The event emitter that business logic emits on: pyee, typed and made safe. The only file that imports pyee.

Seen on pyee 13.0.1: without an ``error`` listener a raising listener stops those behind it, and an
``error`` listener that raises recurses without end. So ours is installed first and never raises.
Knows names and listeners; does not know what an event is.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from pyee.asyncio import AsyncIOEventEmitter

SSE_PUSH: Final = "sse.push"  # (*PushEvent, receipt=Future | None): something happened, push it
SSE_STORED: Final = "sse.stored"  # (Sequence[Event]): these were stored (or are ephemeral) and delivered

_log = structlog.get_logger()


class Emitter:
    """``emit`` what happens, ``on`` it run a listener.

    A listener that raises is logged as ``listener.failed``; the others still run, and so does the
    one who emitted.
    """

    def __init__(self) -> None:
        self._pyee = AsyncIOEventEmitter()
        self._pyee.on("error", self._failed)

    def on(self, name: str, listener: Callable[..., Any]) -> None:
        """Call *listener* with what is emitted under *name*; it may be a coroutine function."""
        if name == "error":
            raise ValueError("the error listener is the emitter's own")
        self._pyee.on(name, listener)

    def has_listeners(self, name: str) -> bool:
        """Whether anybody listens to *name*."""
        return bool(self._pyee.listeners(name))

    def emit(self, name: str, *args: Any, **kwargs: Any) -> bool:
        """Tell everybody who listens to *name*; ``False`` when nobody does. Never raises what they raise."""
        try:
            return self._pyee.emit(name, *args, **kwargs)
        except asyncio.CancelledError as error:  # pyee passes on what is no Exception; nobody cancels an emit
            self._failed(error)
            return True

    async def close(self) -> None:
        """Drop all listeners, after the coroutines they started have ended.

        Those of ``sse.push`` stay: whoever still publishes gets an answer, and a listener that raises is still logged.
        """
        await self._pyee.wait_for_complete()
        for name in self._pyee.event_names() - {SSE_PUSH, "error"}:
            self._pyee.remove_all_listeners(name)

    @staticmethod
    def _failed(error: object) -> None:
        _log.error(
            "listener.failed",
            error=repr(error),
            exc_info=error if isinstance(error, BaseException) else None,
        )
