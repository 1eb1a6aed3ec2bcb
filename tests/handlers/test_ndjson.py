"""NDJSON both ways: answers in order as they come, errors among them, bounded lines, bounded reading ahead."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from events.engines.base import Receipt
from handlers import ndjson
from tests.conftest import DEADLINE_S, Listen, Listening, Peer, Service, Start, mint, until

SERVICE = mint("publisher", "service")
HEAD = (
    f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\n"
    "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
).encode()


def _line(data: Any = 1, **more: Any) -> bytes:
    return json.dumps({"userId": "42", "data": data, **more}).encode() + b"\n"


class Lines:
    """A request whose lines the test writes as it goes, and its answers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def _body(self) -> AsyncIterator[bytes]:
        while (part := await self._lines.get()) is not None:
            yield part

    async def open(self) -> "Lines":
        headers = {"Authorization": f"Bearer {SERVICE}", "Content-Type": "application/x-ndjson"}
        self.say(b"\n")  # aiohttp's client sends the head with the first of the body
        self.response = await asyncio.wait_for(
            self._service.client.post("/v1/events", data=self._body(), headers=headers), DEADLINE_S
        )
        return self

    def say(self, part: bytes) -> None:
        self._lines.put_nowait(part)

    def end(self) -> None:
        self._lines.put_nowait(None)

    async def answer(self) -> dict[str, str]:
        line = await asyncio.wait_for(self.response.content.readline(), DEADLINE_S)
        assert line.endswith(b"\n"), line
        answer: dict[str, str] = json.loads(line)
        assert len(answer) == 1
        return answer

    async def over(self) -> bool:
        return not await asyncio.wait_for(self.response.content.readline(), DEADLINE_S)


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


async def _answers(service: Service, body: bytes) -> list[dict[str, str]]:
    answer = await service.post(
        "/v1/events", token=SERVICE, data=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    assert answer.body == b"" or answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_each_line_is_answered_while_the_request_goes_on(service: Service) -> None:
    lines = await Lines(service).open()

    ids = []
    for number in range(3):
        lines.say(_line(number))
        ids.append((await lines.answer())["id"])
    lines.end()

    assert [int(id_.partition("-")[2]) for id_ in ids] == [1, 2, 3]
    assert await lines.over()


async def test_answers_come_in_the_order_of_the_lines(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    answers = await _answers(service, b"".join(_line(number) for number in range(500)))

    events = await stream.events(500)
    assert [answer["id"] for answer in answers] == [event.id for event in events]
    assert [event.data for event in events] == [str(number) for number in range(500)]


async def test_bad_lines_are_answered_where_they_stand(service: Service) -> None:
    bad = [
        b"{\n",
        b"hello\n",
        b"[]\n",
        b'{"data":1}\n',
        b'{"userId":"","data":1}\n',
        _line(topic="nothing"),
        b'{"topic":"presence","broadcast":true,"data":1}\n',
        _line("x" * 70_000),
        b'{"userId":"42","data":NaN}\n',
        b'{"userId":"42","data":"\xff"}\n',
        _line(event="a\nb"),
    ]

    answers = await _answers(service, b"".join(good + line for line in bad for good in [_line()]) + _line())

    assert [list(answer) for answer in answers] == [["id"], ["error"]] * len(bad) + [["id"]]
    assert all(answer["error"] for answer in answers if "error" in answer)
    assert service.node.engine.head == len(bad) + 1


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 0),
        (b"\n\n\r\n  \n", 0),
        (_line() + b"\n" + _line(), 2),
        (_line().rstrip(), 1),  # the last line may lack its end
        (_line().rstrip() + b"\r\n" + _line(), 2),
    ],
)
async def test_blank_lines_are_no_events(service: Service, body: bytes, count: int) -> None:
    assert len(await _answers(service, body)) == count


async def test_line_may_come_in_pieces(service: Service) -> None:
    lines = await Lines(service).open()
    whole = _line("in pieces") + _line("another")

    for position in range(0, len(whole), 5):
        lines.say(whole[position : position + 5])
    lines.end()

    assert "id" in await lines.answer()
    assert "id" in await lines.answer()
    assert await lines.over()


@pytest.mark.parametrize("ended", [True, False], ids=["with an end", "without an end"])
async def test_line_that_is_too_long_is_refused_and_the_next_is_not(start: Start, ended: bool) -> None:
    service = await start(max_event_bytes=1024)
    long = b"x" * 1_000_000
    body = _line() + long + (b"\n" + _line() if ended else b"")

    answers = await _answers(service, body)

    assert [list(answer) for answer in answers] == [["id"], ["error"], ["id"]][: 3 if ended else 2]


async def test_stream_of_lines_is_not_bound_by_the_limit_of_bodies(start: Start) -> None:
    service = await start(max_body_bytes=1024)

    assert len(await _answers(service, _line() * 200)) == 200


async def test_key_of_a_line_publishes_once(service: Service) -> None:
    first, second, other = await _answers(service, _line(key="k") + _line(key="k") + _line(key="other"))

    assert first == second != other


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("bad", 401), (mint("42"), 403)])
async def test_lines_are_for_services_and_admins(service: Service, token: str | None, status: int) -> None:
    answer = await service.post(
        "/v1/events", token=token, data=_line(), headers={"Content-Type": "application/x-ndjson"}
    )

    assert answer.status == status


async def test_store_that_fails_is_an_error_of_each_line(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(service.node.engine._store, "append", full)  # type: ignore[attr-defined]
        refused = await _answers(service, _line() * 3)
    kept = await _answers(service, _line())

    assert [list(answer) for answer in refused] == [["error"]] * 3
    assert "disk" not in str(refused)
    assert "id" in kept[0]


async def test_node_that_goes_away_answers_what_it_has_read(service: Service) -> None:
    lines = await Lines(service).open()
    lines.say(_line() * 3)
    first = await lines.answer()

    await service.node.drain()

    assert "id" in first
    assert "id" in await lines.answer()
    assert "id" in await lines.answer()
    assert await lines.over()
    lines.end()


@pytest.fixture
def receipts(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[Receipt]:
    """Those of the lines that are published, which the test resolves."""
    receipts: list[Receipt] = []

    def submit(*_: object, **__: object) -> Receipt:
        receipts.append(asyncio.get_running_loop().create_future())
        return receipts[-1]

    monkeypatch.setattr(service.node.publisher, "submit", submit)
    return receipts


async def test_answer_is_not_held_back_by_the_one_behind_it(
    service: Service, receipts: list[Receipt]
) -> None:
    lines = await Lines(service).open()
    lines.say(_line() * 3)
    await until(lambda: len(receipts) == 3)
    receipts[1].set_result(["second"])
    receipts[0].set_result(["first"])

    assert [await lines.answer(), await lines.answer()] == [{"id": "first"}, {"id": "second"}]
    receipts[2].set_result(["third"])
    assert await lines.answer() == {"id": "third"}
    lines.end()


# -- behind a proxy -------------------------------------------------------------------------------


def _proxied(header: bytes) -> bytes:
    return HEAD.replace(b"\r\n\r\n", b"\r\n%b\r\n\r\n" % header)


@pytest.mark.parametrize("header", [b"X-Forwarded-For: 192.0.2.7", b"Via: 1.1 proxy"])
async def test_publisher_behind_a_proxy_is_answered_when_its_request_is_through(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, header: bytes
) -> None:
    monkeypatch.setattr(ndjson, "PAUSE_S", DEADLINE_S)
    server = await listen()
    line = _line()
    peer = await server.connect(_proxied(header) + b"%x\r\n%b\r\n" % (len(line), line) * 3)
    await until(lambda: server.node.engine.head == 3)
    for _ in range(20):  # turns in which it would answer, if it did
        await asyncio.sleep(0)
    assert not peer.reader._buffer  # type: ignore[attr-defined]

    await peer.send(b"0\r\n\r\n")

    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert (await peer.chunk()).count(b'{"id"') == 3
    assert await peer.chunk() == b""


async def test_publisher_behind_a_proxy_is_answered_when_it_pauses(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "PAUSE_S", 0.01)
    server = await listen()
    line = _line()
    peer = await server.connect(_proxied(b"Via: 1.1 proxy"))
    assert (await peer.head()).startswith("HTTP/1.1 200")

    for _ in range(3):
        await peer.send(b"%x\r\n%b\r\n" % (len(line), line))
        assert (await peer.chunk()).count(b'{"id"') == 1


async def test_answers_held_behind_a_proxy_are_bounded(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "PAUSE_S", DEADLINE_S)
    monkeypatch.setattr(ndjson, "HELD_BYTES", 10)
    server = await listen()
    line = _line()

    peer = await server.connect(_proxied(b"Via: 1.1 proxy") + b"%x\r\n%b\r\n" % (len(line), line))

    assert (await peer.head()).startswith("HTTP/1.1 200")
    assert (await peer.chunk()).count(b'{"id"') == 1


# -- back pressure --------------------------------------------------------------------------------


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lines that may wait for their answers: few, so that a test can fill them."""
    monkeypatch.setattr(ndjson, "UNANSWERED_LINES", 10)
    return 10


async def test_reading_ahead_is_bounded(service: Service, receipts: list[Receipt], ahead: int) -> None:
    lines = await Lines(service).open()
    lines.say(_line() * 1000)
    await until(lambda: len(receipts) >= ahead)
    for _ in range(200):  # turns in which it would read on, if it did
        await asyncio.sleep(0)

    assert len(receipts) == ahead
    for index in range(1000):
        await until(lambda index=index: len(receipts) > index)  # type: ignore[misc]
        receipts[index].set_result([str(index)])
    lines.end()
    assert [await lines.answer() for _ in range(1000)] == [{"id": str(index)} for index in range(1000)]


class Stuck:
    """A publisher that sends 200,000 lines and reads no answer, until the service reads no more either."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered = 0
        self._failed = ndjson._failed
        monkeypatch.setattr(ndjson, "_failed", self._counting)

    def _counting(self, detail: str) -> Receipt:
        self.answered += 1
        return self._failed(detail)

    async def open(self, server: Listening) -> Peer:
        peer = await server.connect(HEAD, receive_bytes=4096)
        await peer.head()
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        [handler] = server.site._guard.open
        part = b"x\n" * 10_000
        for _ in range(20):
            peer.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        async with asyncio.timeout(DEADLINE_S):
            before = -1
            while self.answered != before or handler._drain_waiter is None:
                before = self.answered
                for _ in range(500):  # turns of the loop in which it would go on, if it could
                    await asyncio.sleep(0)
        return peer


async def test_publisher_that_does_not_read_is_not_read_either(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """What waits is what the transport takes for its answers, not what the publisher has to say."""
    server = await listen(send_buffer_bytes=65536)
    stuck = Stuck(monkeypatch)

    peer = await stuck.open(server)

    assert ahead < stuck.answered < 50_000
    peer.abort()


async def test_publisher_that_left_without_reading_leaves_nothing_behind(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    server = await listen(send_buffer_bytes=65536)
    tasks = asyncio.all_tasks()
    peer = await Stuck(monkeypatch).open(server)
    mine = asyncio.all_tasks() - tasks

    peer.abort()

    await until(lambda: all(task.done() for task in mine), 3)
    assert not server.node.reading


@pytest.mark.parametrize("sent", [b"", _line(), b'{"userId":'], ids=["nothing", "a line", "half a line"])
async def test_publisher_that_left_in_between_leaves_nothing_behind(listen: Listen, sent: bytes) -> None:
    server = await listen()
    tasks = asyncio.all_tasks()
    peer = await server.connect(HEAD + (b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b""))
    await peer.head()
    mine = asyncio.all_tasks() - tasks

    peer.abort()

    await until(lambda: all(task.done() for task in mine), 3)
    assert not server.node.reading


async def test_body_that_is_malformed_ends_it_without_a_second_answer(listen: Listen) -> None:
    server = await listen()
    line = _line()
    peer = await server.connect(HEAD + b"%x\r\n%b\r\n" % (len(line), line))
    await peer.head()
    assert b'{"id"' in await peer.chunk()

    await peer.send(b"not a size\r\n")

    told = await peer.rest()
    assert b"HTTP/1.1" not in told
    await until(lambda: not server.node.reading)


async def test_client_library_sees_the_answers(service: Service) -> None:
    """aiohttp's client reads while it sends, as a publisher in the field would."""
    lines = await Lines(service).open()
    for _ in range(50):
        lines.say(_line())
    lines.end()

    answers = [await lines.answer() for _ in range(50)]

    assert len({answer["id"] for answer in answers}) == 50
    assert isinstance(lines.response, aiohttp.ClientResponse)
