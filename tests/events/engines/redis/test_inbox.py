"""The inbox of other services: every good entry is published once, by whichever node; a bad one is put aside."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import hiredis
import pytest
from structlog.testing import capture_logs

from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.inbox import (
    CLAIM_S,
    GROUP,
    MAX_ENTRY_BYTES,
    MAX_EVENTS,
    MAX_REFUSED_BYTES,
    Inbox,
    read_entry,
)
from sse_push.events.errors import BadEvent, EngineUnavailable
from sse_push.events.event import PushEvent
from tests.conftest import until
from tests.redis_server import RedisServer

PROTOCOL = Path(__file__).resolve().parents[4] / "docs" / "protocol.md"


class Desk:
    """Publishes for an inbox, and does as the test says.

    Attributes:
        taken: What it was handed, in order; each key once.
        refuses: The error for all that it is handed now.
        holds: It leaves its receipts open.
    """

    def __init__(self) -> None:
        self.taken: dict[str, PushEvent] = {}
        self.refuses: Exception | None = None
        self.holds = False
        self.asked = 0

    def publish(self, events: Sequence[PushEvent]) -> "asyncio.Future[list[str]]":
        self.asked += 1
        receipt: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        if self.refuses is not None:
            receipt.set_exception(self.refuses)
        elif not self.holds:
            for event in events:
                assert event.key is not None
                self.taken.setdefault(event.key, event)
            receipt.set_result([""] * len(events))
        return receipt

    @property
    def data(self) -> list[object]:
        return [json.loads(event.data_json()) for event in self.taken.values()]


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    shared_redis.call("FLUSHALL")
    return shared_redis


Open = Callable[..., "asyncio.Task[None]"]


@pytest.fixture
async def open_inbox(server: RedisServer) -> AsyncIterator[Open]:
    tasks = []

    def open_(desk: Desk, name: str = "one", claim_s: float = CLAIM_S) -> "asyncio.Task[None]":
        inbox = Inbox(RedisAddress.parse(server.url), name, desk.publish, claim_s=claim_s)
        tasks.append(asyncio.get_running_loop().create_task(inbox.run()))
        return tasks[-1]

    yield open_
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def put(server: RedisServer, event: object, *more: str) -> str:
    body = event if isinstance(event, str) else json.dumps(event)
    return server.call("XADD", "{sse-push}:inbox", "*", "event", body, *more).decode()


def left(server: RedisServer) -> int:
    return int(server.call("XLEN", "{sse-push}:inbox"))


def pending(server: RedisServer) -> int:
    try:
        return int(server.call("XPENDING", "{sse-push}:inbox", GROUP)[0])
    except hiredis.ReplyError:  # there is no group yet
        return 0


async def test_inbox_hands_on_what_is_there_and_what_comes(server: RedisServer, open_inbox: Open) -> None:
    before = put(server, {"userId": 42, "data": 1})
    desk = Desk()
    open_inbox(desk)
    await until(lambda: desk.data == [1])
    put(server, {"topic": "notifications", "broadcast": True, "data": 2, "key": "mine"})
    both = put(server, [{"userId": "1", "data": 3}, {"room": "r", "data": 4}])
    await until(lambda: desk.data == [1, 2, 3, 4])
    assert [*desk.taken] == [f"entry {before} 0", "own mine", f"entry {both} 0", f"entry {both} 1"]
    assert desk.taken[f"entry {before} 0"].user_id == "42"
    await until(lambda: (left(server), pending(server)) == (0, 0))


async def test_inbox_puts_bad_entries_aside_and_goes_on(server: RedisServer, open_inbox: Open) -> None:
    desk = Desk()
    bad = [
        put(server, "{"),
        put(server, {"userId": "1", "data": 1, "what": 1}),
        put(server, {"userId": "1", "data": 1}, "more", "x"),
        put(server, []),
    ]
    put(server, {"userId": "1", "data": "good"})
    open_inbox(desk)
    await until(lambda: desk.data == ["good"])
    await until(lambda: (left(server), pending(server)) == (0, 0))
    entries = server.call("XRANGE", "{sse-push}:inbox:refused", "-", "+")
    refused = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]
    assert [fields[b"id"].decode() for fields in refused] == bad
    assert all(fields[b"reason"] for fields in refused)
    assert refused[0][b"event"] == b"{" and refused[2][b"more"] == b"x"


async def test_inbox_keeps_the_beginning_of_a_large_bad_entry(server: RedisServer, open_inbox: Open) -> None:
    put(server, "x" * (MAX_ENTRY_BYTES + 1), "more", "y")
    open_inbox(Desk())
    await until(lambda: server.call("XLEN", "{sse-push}:inbox:refused") == 1)
    await until(lambda: left(server) == 0)
    [[_, fields]] = server.call("XRANGE", "{sse-push}:inbox:refused", "-", "+")
    kept = dict(zip(fields[::2], fields[1::2], strict=True))
    assert set(kept) == {b"id", b"reason", b"event"}
    assert len(kept[b"event"]) == MAX_REFUSED_BYTES - len(b"event")


def test_entry_of_too_many_bytes_is_refused() -> None:
    events = json.dumps({"userId": "1", "data": 1}).encode() + b" " * MAX_ENTRY_BYTES
    with pytest.raises(BadEvent, match=str(MAX_ENTRY_BYTES)):
        read_entry("1-0", [b"event", events])


def test_entry_of_two_fields_with_one_name_is_refused() -> None:
    event = b'{"userId": "1", "data": 1}'
    with pytest.raises(BadEvent, match="one field"):
        read_entry("1-0", [b"event", event, b"event", event])


async def test_inbox_puts_aside_what_the_publisher_refuses(server: RedisServer, open_inbox: Open) -> None:
    desk = Desk()
    desk.refuses = BadEvent("unknown topic: 'x'")
    put(server, {"topic": "x", "userId": "1", "data": 1})
    open_inbox(desk)
    await until(lambda: server.call("XLEN", "{sse-push}:inbox:refused") == 1)
    await until(lambda: left(server) == 0)


async def test_inbox_keeps_what_cant_be_kept_now(
    server: RedisServer, open_inbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_push.events.engines.redis.inbox._AGAIN_S", 0.01)
    desk = Desk()
    desk.refuses = EngineUnavailable("events can't be kept now")
    put(server, {"userId": "1", "data": 1})
    open_inbox(desk)
    await until(lambda: desk.asked > 2)
    assert left(server) == 1
    desk.refuses = None
    await until(lambda: desk.data == [1])
    await until(lambda: (left(server), pending(server)) == (0, 0))


@pytest.mark.parametrize("at_once", [True, False], ids=["when handed on", "when kept"])
async def test_entry_that_makes_the_service_stumble_holds_up_no_other_and_is_not_lost(
    server: RedisServer, open_inbox: Open, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    desk = Desk()
    publish, mended = desk.publish, False

    def stumble(events: Sequence[PushEvent]) -> "asyncio.Future[list[str]]":
        if events[0].data_json() != b'"poison"' or mended:
            return publish(events)
        if at_once:
            raise ZeroDivisionError
        desk.refuses = ZeroDivisionError()
        receipt = publish(events)
        desk.refuses = None
        return receipt

    monkeypatch.setattr(desk, "publish", stumble)
    poison = put(server, {"userId": "1", "data": "poison"})
    put(server, {"userId": "1", "data": "beside it"})
    with capture_logs() as logs:
        open_inbox(desk, claim_s=0.2)
        await until(lambda: desk.data == ["beside it"])
        put(server, {"userId": "1", "data": "after it"})
        await until(lambda: desk.data == ["beside it", "after it"])
        await until(lambda: (left(server), pending(server)) == (1, 1))
        await until(lambda: sum(log["event"] == "inbox.unhandled_error" for log in logs) > 1)
    told = [log for log in logs if log["event"].startswith("inbox.")]
    assert {(log["event"], log["id"], type(log["exc_info"])) for log in told} == {
        ("inbox.unhandled_error", poison, ZeroDivisionError)
    }
    mended = True
    await until(lambda: desk.data == ["beside it", "after it", "poison"])
    await until(lambda: (left(server), pending(server)) == (0, 0))


@pytest.mark.parametrize("kind", ["a text", "a list"])
async def test_inbox_of_a_wrong_type_is_told_and_taken_when_it_is_one_again(
    server: RedisServer, open_inbox: Open, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("sse_push.events.engines.redis.inbox._AGAIN_S", 0.01)
    server.call(
        *(("SET", "{sse-push}:inbox", "x") if kind == "a text" else ("RPUSH", "{sse-push}:inbox", "x"))
    )
    desk = Desk()
    with capture_logs() as logs:
        open_inbox(desk)
        await until(lambda: sum(log["event"] == "inbox.failed" for log in logs) > 1)
    assert all("WRONGTYPE" in log["error"] for log in logs)
    server.call("DEL", "{sse-push}:inbox")
    put(server, {"userId": "1", "data": 1})
    await until(lambda: desk.data == [1])


async def test_fault_of_the_inbox_itself_is_told_and_it_goes_on(
    server: RedisServer, open_inbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_push.events.engines.redis.inbox._AGAIN_S", 0.01)
    take, faults = Inbox._take, 2

    async def stumble(inbox: Inbox) -> None:
        nonlocal faults
        if faults:
            faults -= 1
            raise ZeroDivisionError("a fault")
        await take(inbox)

    monkeypatch.setattr(Inbox, "_take", stumble)
    put(server, {"userId": "1", "data": 1})
    desk = Desk()
    with capture_logs() as logs:
        open_inbox(desk)
        await until(lambda: desk.data == [1])
    assert [(log["event"], log["error"]) for log in logs] == [("inbox.failed", "a fault")] * 2
    await until(lambda: (left(server), pending(server)) == (0, 0))


async def test_inbox_takes_what_a_dead_node_held(server: RedisServer, open_inbox: Open) -> None:
    dead, alive = Desk(), Desk()
    dead.holds = True
    ids = [put(server, {"userId": "1", "data": number}) for number in range(3)]
    died = open_inbox(dead, "dead")
    await until(lambda: pending(server) == 3)
    died.cancel()
    open_inbox(alive, "alive", claim_s=0.05)
    await until(lambda: alive.data == [0, 1, 2])
    assert [*alive.taken] == [f"entry {id_} 0" for id_ in ids]
    await until(lambda: (left(server), pending(server)) == (0, 0))


async def test_inbox_goes_on_when_its_connection_broke(
    server: RedisServer, open_inbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_push.events.engines.redis.inbox._AGAIN_S", 0.01)
    desk = Desk()
    open_inbox(desk)
    put(server, {"userId": "1", "data": 1})
    await until(lambda: desk.data == [1])
    server.call("CLIENT", "KILL", "TYPE", "normal")
    server.call("DEL", "{sse-push}:inbox")
    put(server, {"userId": "1", "data": 2})
    await until(lambda: desk.data == [1, 2])


def test_entry_of_too_many_events_is_refused() -> None:
    many = json.dumps([{"userId": "1", "data": 1}] * (MAX_EVENTS + 1)).encode()
    with pytest.raises(BadEvent, match=str(MAX_EVENTS)):
        read_entry("1-0", [b"event", many])


async def test_command_of_the_protocol_page_publishes(server: RedisServer, open_inbox: Open) -> None:
    [command] = re.findall(r"^redis-cli (.*)$", PROTOCOL.read_text(), re.MULTILINE)
    words = shlex.split(command)
    assert words[:2] == ["XADD", "{sse-push}:inbox"]
    server.call(*words)
    desk = Desk()
    open_inbox(desk)
    await until(lambda: len(desk.data) == 1)


def test_key_of_an_event_is_never_that_of_another_entry() -> None:
    [entry] = read_entry("1-0", [b"event", b'{"userId": "1", "data": 1}'])
    keyed = json.dumps({"userId": "1", "data": 1, "key": entry.key}).encode()
    [forged] = read_entry("2-0", [b"event", keyed])
    assert forged.key != entry.key
