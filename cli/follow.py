"""A stream that reconnects: when it breaks, it is reopened from the last id received.

Knows HTTP and when to retry. Does not know where tokens come from or what is done with the events.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from sse_push.cli.event_stream import Message, Parser
from sse_push.cli.output import describe_error, describe_refusal

RETRY_S = 3.0  # seconds before a retry, until the service sends `retry:` (Firefox takes 5, Chromium 3)
MIN_RETRY_S = 0.1  # seconds; with `retry: 0` a service that is down would be asked without a pause
MAX_BACKOFF_S = 30.0  # seconds, plus up to half as jitter: a service that returns is noticed within a minute
MAX_WAIT_S = 3600.0  # seconds; the longest wait that `retry:` or `Retry-After` can ask for
CONNECT_S = 10.0  # seconds to connect
SILENCE_S = 90.0  # seconds without a byte; six heartbeats of the service: the peer is gone
# Statuses that a retry may change (RFC 9110, RFC 6585); any other 4xx is final.
_RETRYABLE = frozenset({408, 425, 429})
_JITTER = 0.5  # a wait is extended by up to half of it, so that a fleet does not return at once


class Refused(Exception):
    """The service refuses this stream; a retry would get the same answer."""


class Unavailable(Exception):
    """The service can't give the stream now.

    Args:
        retry_after: Seconds that the service asks to wait, or ``None``.
    """

    def __init__(self, why: str, retry_after: float | None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Backoff:
    """The wait before the next attempt: the service's ``retry:``, doubled with each failure in a row."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failures = 0
        self.retry_s = RETRY_S

    def succeeded(self) -> None:
        self._failures = 0

    def next_wait(self, retry_after: float | None = None) -> float:
        """Seconds to wait: at least *retry_after*."""
        base = max(self.retry_s, MIN_RETRY_S)
        wait = min(base * 2.0**self._failures, max(MAX_BACKOFF_S, base))
        self._failures = min(self._failures + 1, 16)
        wait = max(wait, retry_after or 0.0)
        return min(wait, MAX_WAIT_S) * (1 + _JITTER * self._chance())


class Follower:
    """Follows one stream.

    Args:
        headers: Makes the headers of each request, so that every request has a fresh token.
        report: Called with a line of text when the connection opens, fails or ends.
        last_event_id: The id to resume from; empty for live events only.
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
        """The events; never ends by itself.

        Raises:
            Refused: The service refuses the stream.
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
                raise Refused(describe_error(error)) from None
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = describe_error(error)
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
    """Check that *response* is the requested stream.

    Raises:
        Refused, Unavailable: It is not.
    """
    if response.status in _RETRYABLE or response.status >= 500:
        raise Unavailable(await describe_refusal(response), _retry_after(response))
    if response.status != 200:
        raise Refused(await describe_refusal(response))
    if response.content_type != "text/event-stream":
        raise Refused(f"the answer is {response.content_type}, not text/event-stream")


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """``Retry-After`` in seconds; it is a number or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # not an HTTP date
        return None
