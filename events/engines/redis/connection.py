"""One connection to a Redis or Valkey server: pipelined commands, and Pub/Sub messages for a callback.

Every event passes here, so this is a protocol of our own on hiredis' parser. It knows RESP2 and how to log in; it
does not know what the commands and messages mean.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis

from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.errors import EngineUnavailable

CONNECT_S = 5.0  # seconds to connect and log in
_MESSAGE_KINDS = frozenset([b"message", b"subscribe", b"unsubscribe"])

_pack_command = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)
Message = list[Any]  # kind, channel, payload


def _ignore_messages(messages: list[Message]) -> None:
    """The connection has no subscriptions."""


def _ignore_loss() -> None:
    """Nobody needs to know."""


class RedisConnection(asyncio.Protocol):
    """A connection, used once: when it is lost, make another.

    Args:
        on_messages: Called with all messages of one read, in order.
        on_lost: Called once, when the connection is lost or closed.

    Attributes:
        open: It is connected.
        rejection: The error for a command of :meth:`send`, if the server rejected one.
        id: The server's id of this connection; 0 before login.
    """

    def __init__(
        self,
        on_messages: Callable[[list[Message]], object] = _ignore_messages,
        on_lost: Callable[[], object] = _ignore_loss,
    ) -> None:
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._pending: deque[asyncio.Future[Any]] = deque()  # replies to come, in order
        self._transport: asyncio.Transport | None = None
        self.open = False
        self.rejection = ""
        self.id = 0

    async def connect(self, address: RedisAddress, name: str) -> None:
        """Connect to *address* and log in; the server lists the connection as *name*.

        Raises:
            EngineUnavailable: That failed. The message says why, without secrets.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._open_transport(address)
                await self._log_in(address, name)
        except (OSError, TimeoutError, hiredis.HiredisError, EngineUnavailable) as error:
            self.abort()
            reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
            raise EngineUnavailable(f"can't use Redis at {address}: {reason}") from None

    async def _open_transport(self, address: RedisAddress) -> None:
        loop = asyncio.get_running_loop()
        if address.path:
            await loop.create_unix_connection(lambda: self, address.path)
        else:
            context = ssl.create_default_context() if address.tls else None
            await loop.create_connection(lambda: self, address.host, address.port, ssl=context)

    async def _log_in(self, address: RedisAddress, name: str) -> None:
        if address.password:
            await self.call("AUTH", *([address.user] if address.user else []), address.password)
        if address.db:
            await self.call("SELECT", address.db)
        await self.call("CLIENT", "SETNAME", name)
        self.id = await self.call("CLIENT", "ID")

    def call(self, *command: str | bytes | int | float) -> asyncio.Future[Any]:
        """Send *command*; the future gets its reply.

        Errors of the future: ``hiredis.ReplyError`` (from the server), ``EngineUnavailable`` (the connection is lost).
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None or not self.open:
            reply.set_exception(EngineUnavailable("Redis is away"))
        else:
            self._pending.append(reply)
            self._transport.write(_pack_command(command))
        return reply

    def send(self, *command: str | bytes) -> None:
        """Send SUBSCRIBE or UNSUBSCRIBE: the server confirms these by messages."""
        if self._transport is not None and self.open:
            self._transport.write(_pack_command(command))

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        messages: list[Message] = []
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                # A reply may be a list too, whose first item may be a list (not hashable).
                if (
                    isinstance(reply, list)
                    and reply
                    and type(reply[0]) is bytes
                    and reply[0] in _MESSAGE_KINDS
                ):
                    messages.append(reply)
                else:
                    self._reply_received(reply)
        except hiredis.ProtocolError:  # the peer is not Redis
            self.abort()
        if messages:
            self._on_messages(messages)

    def _reply_received(self, reply: Any) -> None:
        if not self._pending:  # the reply to send(): an ACL forbids SUBSCRIBE, say
            self.rejection = str(reply)
            self.abort()
            return
        pending = self._pending.popleft()
        if pending.done():
            return
        if isinstance(reply, Exception):
            pending.set_exception(reply)
        else:
            pending.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        while self._pending:
            pending = self._pending.popleft()
            if not pending.done():
                pending.set_exception(EngineUnavailable("Redis is away", was_asked=True))
        self._on_lost()


def describe(error: Exception) -> str:
    """*error* as a log line shows it."""
    return "Redis does not answer" if isinstance(error, TimeoutError) else str(error) or repr(error)


def unexpected_error(error: Exception) -> Exception | None:
    """*error* if it is a bug, to be logged with its traceback; ``None`` if the server or network failed."""
    return None if isinstance(error, EngineUnavailable | hiredis.HiredisError | OSError) else error


def ignore_result(replies: Iterable[asyncio.Future[Any]]) -> None:
    """Let *replies* fail unseen: nobody awaits them."""
    for reply in replies:
        reply.add_done_callback(lambda done: done.cancelled() or done.exception())
