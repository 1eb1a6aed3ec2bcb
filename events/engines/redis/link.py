"""One connection to a Redis or Valkey server: commands in a pipeline, answers in their order, messages to a callback.

This is the push path: every event passes here, so it is a protocol of our own on hiredis' parser. Knows RESP2 and how
to log in; does not know what is asked or told.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from sse_push.events.errors import EngineUnavailable

CONNECT_S = 5.0  # seconds to connect and log in
_MESSAGES = frozenset([b"message", b"subscribe", b"unsubscribe"])

_pack = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)
Messages = Callable[[list[list[Any]]], object]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and how to log in: a URL of ``redis:``, ``rediss:`` (TLS) or ``unix:``."""

    host: str
    port: int
    path: str = ""
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    prefix: str = "sse-push"

    @classmethod
    def parse(cls, url: str) -> "Address":
        """The address that *url* names, ``redis://user:password@host:6379/0?prefix=sse-push`` say.

        Raises:
            ValueError: It names none.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError(f"{parts.scheme}: is no scheme of Redis")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unix = parts.scheme == "unix"
        db = query.pop("db", "0") if unix else parts.path.strip("/") or query.pop("db", "0")
        prefix = query.pop("prefix", "sse-push")
        if parts.username and not parts.password:
            raise ValueError("a Redis URL with a user has a password too")
        if query or not db.isdecimal() or not prefix or "{" in prefix or "}" in prefix:
            raise ValueError(
                "a Redis URL is redis://user:password@host:port/db?prefix=NAME, or unix:///path?db=0"
            )
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            path=unquote(parts.path) if unix else "",
            tls=parts.scheme == "rediss",
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=int(db),
            prefix=prefix,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Link(asyncio.Protocol):
    """A connection that is open, until it is lost.

    Args:
        messages: Called with all messages that came in one piece, in order.
        lost: Called once, when the connection is gone.

    Attributes:
        open: It is not lost yet.
        refusal: What the server refused of what was sent without waiting for an answer.
        id: The server's name for it; 0 before it has one.
    """

    def __init__(self, messages: Messages = list, lost: Callable[[], object] = list) -> None:
        self._messages = messages
        self._lost = lost
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self.open = False
        self.id = 0

    async def connect(self, address: Address, name: str) -> None:
        """Connect to *address* and log in as *name*.

        Raises:
            EngineUnavailable: It can't be had; the message says why, and holds no secret.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                if address.path:
                    await loop.create_unix_connection(lambda: self, address.path)
                else:
                    context = ssl.create_default_context() if address.tls else None
                    await loop.create_connection(lambda: self, address.host, address.port, ssl=context)
                if address.password:
                    await self.call("AUTH", *([address.user] if address.user else []), address.password)
                if address.db:
                    await self.call("SELECT", address.db)
                await self.call("CLIENT", "SETNAME", name)
                self.id = await self.call("CLIENT", "ID")
        except (OSError, TimeoutError, hiredis.HiredisError, EngineUnavailable) as error:
            self.abort()
            reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
            raise EngineUnavailable(f"can't use Redis at {address}: {reason}") from None

    def call(self, *command: str | bytes | int | float) -> asyncio.Future[Any]:
        """Send *command*; the future has its answer.

        Errors of the future: ``hiredis.ReplyError`` (the server's), ``EngineUnavailable`` (the connection is lost).
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None or not self.open:
            answer.set_exception(EngineUnavailable("Redis is away"))
        else:
            self._waiting.append(answer)
            self._transport.write(_pack(command))
        return answer

    def send(self, *command: str | bytes) -> None:
        """Send *command*, which is answered by messages: SUBSCRIBE, UNSUBSCRIBE."""
        if self._transport is not None and self.open:
            self._transport.write(_pack(command))

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        messages: list[list[Any]] = []
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                if (
                    isinstance(reply, list) and reply and type(reply[0]) is bytes and reply[0] in _MESSAGES
                ):  # the first of an answer may be a list
                    messages.append(reply)
                else:
                    self._answer(reply)
        except hiredis.ProtocolError:  # that is no Redis
            self.abort()
        if messages:
            self._messages(messages)

    def _answer(self, reply: Any) -> None:
        if not self._waiting:  # what was sent without waiting is refused: SUBSCRIBE by an ACL, say
            self.refusal = str(reply)
            self.abort()
            return
        answer = self._waiting.popleft()
        if answer.done():
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(EngineUnavailable("Redis is away", was_asked=True))
        self._lost()


def words_of(error: Exception) -> str:
    """What a log line says of *error*."""
    return "Redis does not answer" if isinstance(error, TimeoutError) else str(error) or repr(error)


def fault_of(error: Exception) -> Exception | None:
    """*error*, if it is a fault of ours, whose place in the code is to be logged; ``None`` if a server is away."""
    return None if isinstance(error, EngineUnavailable | hiredis.HiredisError | OSError) else error


def forget(answers: Sequence[asyncio.Future[Any]]) -> None:
    """Nobody waits for *answers*: their errors are no news."""
    for answer in answers:
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
