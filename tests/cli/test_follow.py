"""Following a stream: when it is opened again and from where, and when it is not. The service here is scripted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sse_push.cli.follow import MAX_BACKOFF_S, MAX_WAIT_S, RETRY_S, Backoff, Follower, Refused

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def stream(body: bytes, *, cut: bool = False) -> Answer:
    """A stream that gives *body* and ends, or is *cut* off."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(body)
        if cut:
            assert request.transport is not None
            request.transport.close()
        return response

    return answer


def refusal(status: int, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({"detail": "not you", "request_id": "r1"}, status=status, headers=named)

    return answer


class OutOfPatience(Exception):
    pass


class Scripted:
    """A service that answers request after request as it is told, and a follower of it."""

    url: str
    session: aiohttp.ClientSession

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []
        self.waits: list[float] = []
        self.reports: list[str] = []
        self.patience = 10

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answers.pop(0)(request)

    async def follow(self, number: int, last_event_id: str = "") -> list[str]:
        """The data of the next *number* events."""
        follower = Follower(
            self.session,
            self.url,
            headers=lambda: {"X-Attempt": str(len(self.requests))},
            report=self.reports.append,
            last_event_id=last_event_id,
            backoff=Backoff(lambda: 0.0),
            sleep=self.sleep,
        )
        found: list[str] = []
        async with asyncio.timeout(10), aclosing(follower.messages()) as messages:
            async for message in messages:
                found.append(message.data)
                if len(found) == number:
                    break
        return found

    async def sleep(self, seconds: float) -> None:
        """In no time. A service that is down stays so for ever: more waits than a test wants are too many."""
        self.waits.append(seconds)
        if len(self.waits) == self.patience:
            raise OutOfPatience

    @property
    def resumed_from(self) -> list[str | None]:
        return [request.headers.get("Last-Event-ID") for request in self.requests]


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    script = Scripted()
    app = web.Application()
    app.router.add_get("/stream", script.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        script.url = str(server.make_url("/stream"))
        script.session = session
        yield script


async def test_follower_goes_on_after_the_last_id(scripted: Scripted) -> None:
    scripted.answers = [
        stream(b"id: 1\ndata: a\n\n"),
        stream(b"id: 2\ndata: b\n\ndata: c\n\n"),
        stream(b"data: d\n\n"),
    ]
    assert await scripted.follow(4) == ["a", "b", "c", "d"]
    assert scripted.resumed_from == [None, "1", "2"]


async def test_follower_begins_where_it_is_told(scripted: Scripted) -> None:
    scripted.answers = [stream(b"data: a\n\n")]
    await scripted.follow(1, last_event_id="7")
    assert scripted.resumed_from == ["7"]


async def test_follower_asks_again_for_a_frame_that_was_cut_off(scripted: Scripted) -> None:
    scripted.answers = [
        stream(b"id: 1\ndata: a\n\nid: 2\ndata: b\n", cut=True),
        stream(b"id: 2\ndata: b\n\n"),
    ]
    assert await scripted.follow(2) == ["a", "b"]
    assert scripted.resumed_from == [None, "1"]


async def test_follower_keeps_the_id_of_a_frame_without_data(scripted: Scripted) -> None:
    scripted.answers = [stream(b"retry: 10\nid: 5\n\n"), stream(b"data: a\n\n")]
    await scripted.follow(1)
    assert scripted.resumed_from == [None, "5"]


async def test_follower_makes_its_headers_anew_each_time(scripted: Scripted) -> None:
    scripted.answers = [stream(b""), stream(b"data: a\n\n")]
    await scripted.follow(1)
    assert [request.headers["X-Attempt"] for request in scripted.requests] == ["0", "1"]
    assert {request.headers["Accept"] for request in scripted.requests} == {"text/event-stream"}


async def test_follower_waits_as_long_as_retry_says(scripted: Scripted) -> None:
    scripted.answers = [stream(b""), stream(b"retry: 1500\n\n"), stream(b"data: a\n\n")]
    await scripted.follow(1)
    assert scripted.waits == [RETRY_S, 1.5]


async def test_follower_waits_longer_with_each_failure_and_begins_anew_after_a_stream(
    scripted: Scripted,
) -> None:
    down = refusal(503)
    scripted.answers = [
        stream(b"retry: 1000\n\n"),
        down,
        down,
        down,
        stream(b""),
        down,
        stream(b"data: a\n\n"),
    ]
    await scripted.follow(1)
    assert scripted.waits == [1, 2, 4, 8, 1, 2]


@pytest.mark.parametrize("status", [429, 503])
async def test_follower_waits_as_long_as_retry_after_says(scripted: Scripted, status: int) -> None:
    scripted.answers = [refusal(status, Retry_After="20"), stream(b"data: a\n\n")]
    await scripted.follow(1)
    assert scripted.waits == [20]
    assert scripted.reports[0].startswith(f"{status} ")
    assert "not you" in scripted.reports[0]
    assert scripted.reports[0].endswith("trying again in 20.0 s")


async def test_follower_waits_until_the_date_that_retry_after_names(scripted: Scripted) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    scripted.answers = [refusal(503, Retry_After=date), stream(b"data: a\n\n")]
    await scripted.follow(1)
    assert scripted.waits == [pytest.approx(120, abs=15)]


@pytest.mark.parametrize("text", ["soon", "-5", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
async def test_follower_does_without_a_retry_after_that_says_nothing(scripted: Scripted, text: str) -> None:
    scripted.answers = [refusal(503, Retry_After=text), stream(b"data: a\n\n")]
    await scripted.follow(1)
    assert scripted.waits == [RETRY_S]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_follower_stops_where_another_try_would_be_told_the_same(
    scripted: Scripted, status: int
) -> None:
    scripted.answers = [refusal(status)]
    with pytest.raises(Refused, match=rf"^{status} .*: not you \(request r1\)"):
        await scripted.follow(1)
    assert scripted.waits == []


async def test_follower_stops_at_what_is_no_stream(scripted: Scripted) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<p>welcome</p>", content_type="text/html")

    scripted.answers = [page]
    with pytest.raises(Refused, match="text/html"):
        await scripted.follow(1)


async def test_follower_comes_back_to_a_service_that_is_not_there(scripted: Scripted) -> None:
    scripted.url = "http://127.0.0.1:1/stream"
    scripted.patience = 3
    with pytest.raises(OutOfPatience):
        await scripted.follow(1)
    assert scripted.waits == [3, 6, 12]
    assert scripted.reports[0] == "can't reach 127.0.0.1:1: Connection refused; trying again in 3.0 s"


def test_backoff_never_comes_back_sooner_than_asked_nor_all_at_once() -> None:
    late, early = Backoff(lambda: 1.0), Backoff(lambda: 0.0)
    assert (early.next_wait(), late.next_wait()) == (RETRY_S, RETRY_S * 1.5)
    assert (early.next_wait(30), late.next_wait(30)) == (30, 45)


def test_backoff_ends_growing() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.next_wait() for _ in range(100)][-1] == MAX_BACKOFF_S
    backoff.retry_s = 300
    assert backoff.next_wait() == 300
    assert backoff.next_wait(10**9) == MAX_WAIT_S


def test_backoff_does_not_hammer_a_service_that_asks_for_no_wait() -> None:
    backoff = Backoff(lambda: 0.0)
    backoff.retry_s = 0.0
    waits = [backoff.next_wait() for _ in range(12)]
    assert waits[0] >= 0.05
    assert waits[-1] == MAX_BACKOFF_S
