"""A stream that goes on by itself: opened again when it breaks, from the last id it has seen.

Knows HTTP and when to try again; what is done with the events, and where its tokens come from, it does not.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from sse_push.cli.answers import refusal, trouble
from sse_push.cli.event_stream import Message, Parser

RETRY_S = 3.0  # seconds before another try, until the service names its own (Firefox takes 5, Chromium 3)
MIN_RETRY_S = 0.1  # seconds: with `retry: 0` a service that is down would be asked without a pause
MAX_BACKOFF_S = 30.0  # seconds, and half of it more: a service that comes back is noticed within a minute
MAX_WAIT_S = 3600.0  # seconds: what a `retry:` or `Retry-After` can ask for at most
CONNECT_S = 10.0  # seconds for a connection to stand
SILENCE_S = 90.0  # seconds without a byte, six of the service's heartbeats: nobody is there any more
# Those that another try may change (RFC 9110 and RFC 6585); every other 4xx says the same again.
_TRY_AGAIN = frozenset({408, 425, 429})
_NEVER_ALIKE = 0.5  # a wait is drawn out by up to half of it, so that a fleet does not come back at once


class Refused(Exception):
    """The service will not give this stream; another try would be told the same."""


class Unavailable(Exception):
    """Not now.

    Args:
        retry_after: Seconds that the service asks to wait, or ``None``.
    """

    def __init__(self, why: str, retry_after: float | None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Backoff:
    """How long to wait before the next try: the service's ``retry:``, doubled with each failure in a row."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failures = 0
        self.retry_s = RETRY_S

    def succeeded(self) -> None:
        self._failures = 0

    def next_wait(self, retry_after: float | None = None) -> float:
        """Seconds to wait; never less than the service asked for."""
        base = max(self.retry_s, MIN_RETRY_S)
        wait = min(base * 2.0**self._failures, max(MAX_BACKOFF_S, base))
        self._failures = min(self._failures + 1, 16)
        wait = max(wait, retry_after or 0.0)
        return min(wait, MAX_WAIT_S) * (1 + _NEVER_ALIKE * self._chance())


class Follower:
    """Follows one stream.

    Args:
        headers: Makes the headers of each request, so that a token may be a fresh one.
        report: Is told, in a line, what becomes of the connection.
        last_event_id: Where to begin; empty for what comes from now on.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: Callable[[], dict[str, str]],
        report: Callable[[str], None],
        last_event_id: str = "",
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._url = url
        self._headers = headers
        self._report = report
        self._last_event_id = last_event_id
        self._backoff = backoff or Backoff()
        self._sleep = sleep

    async def messages(self) -> AsyncGenerator[Message]:
        """The events, without an end.

        Raises:
            Refused: The service will not give them.
        """
        while True:
            retry_after = None
            try:
                async with self._open() as response:
                    await _check(response)
                    self._backoff.succeeded()
                    self._report(f"listening to {self._url}")
                    async for message in self._read(response):
                        yield message
                why = "the stream ended"
            except Unavailable as error:
                why, retry_after = str(error), error.retry_after
            except aiohttp.InvalidURL as error:
                raise Refused(str(error)) from None
            except aiohttp.ClientConnectorCertificateError as error:
                raise Refused(trouble(error)) from None
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = trouble(error)
            wait = self._backoff.next_wait(retry_after)
            self._report(f"{why}; trying again in {wait:.1f} s")
            await self._sleep(wait)

    def _open(self) -> "aiohttp.client._RequestContextManager":
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if self._last_event_id:
            headers["Last-Event-ID"] = self._last_event_id
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        return self._session.get(self._url, headers=headers | self._headers(), timeout=timeout)

    async def _read(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Message]:
        parser = Parser(self._last_event_id)
        async for piece in response.content.iter_any():
            messages = parser.feed(piece)
            self._last_event_id = parser.last_event_id
            if parser.retry_ms is not None:
                self._backoff.retry_s = parser.retry_ms / 1000
            for message in messages:
                yield message


async def _check(response: aiohttp.ClientResponse) -> None:
    """Whether *response* is the stream that was asked for.

    Raises:
        Refused, Unavailable: It is not.
    """
    if response.status in _TRY_AGAIN or response.status >= 500:
        raise Unavailable(await refusal(response), _retry_after(response))
    if response.status != 200:
        raise Refused(await refusal(response))
    if response.content_type != "text/event-stream":
        raise Refused(f"the answer is {response.content_type}, not text/event-stream")


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """``Retry-After`` in seconds: it comes as such, or as the date to wait for (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # no date; or one without a zone, which none has that HTTP allows
        return None
