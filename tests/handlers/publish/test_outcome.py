"""A publish that could not be acknowledged: the answer says whether it may have been kept, and a retry with its key is safe."""

import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import Listen, Listening, Service, Start, mint, until
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy

SERVICE = mint("publisher", "service")
EVENT = {"userId": "1", "data": "once"}
CALLS: dict[str, tuple[str, Any]] = {
    "one": ("/v1/events", EVENT),
    "keyed": ("/v1/events", {**EVENT, "key": "k"}),
    "list": ("/v1/events", [EVENT, {"userId": "2", "data": 1, "ttl": 9}]),
    "app": ("/v1/app/push", {"message": "hi", "userId": "1"}),
    "notification": (
        "/notifications/send",
        {"title": "t", "message": "m", "type": "info", "userId": "1"},
    ),
    "entity": (
        "/realtime/update",
        {"entityType": "order", "entityId": "1", "action": "updated", "data": 1},
    ),
    "chat": ("/chat/send", {"roomId": "general", "message": "hi"}),
    "group": (
        "/api/chat/rooms/general/group-sse",
        {"message": "hi", "sender": "publisher", "userName": "p"},
    ),
}


def call(path: str, body: Any, *, method: str = "POST", more: str = "") -> bytes:
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\nContent-Type: {kind}\r\n"
        f"{more}Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()


class LossyProxy(TcpProxy):
    """A proxy that can lose what the server answers."""

    loses_answers = False

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.sieve = lambda: lambda data: b"" if self.loses_answers else data


def kept(server: RedisServer) -> int:
    """How many events the store has."""
    return int(server.call("XLEN", "{sse-push}:events"))


@pytest.fixture
async def proxy(shared_redis: RedisServer) -> AsyncIterator[LossyProxy]:
    shared_redis.call("FLUSHALL")
    proxy = LossyProxy(shared_redis.port)
    await proxy.start()
    yield proxy
    await proxy.refuse()


@pytest.fixture
async def node(listen: Listen, proxy: LossyProxy) -> Listening:
    return await listen(
        engine_url=f"redis://127.0.0.1:{proxy.port}/0",
        redirect_origins=("https://example.com",),
        ai_history_messages=0,
        ai_worker_concurrency=0,
    )


async def test_answer_that_was_lost_is_told_as_such_by_every_call(node: Listening, proxy: LossyProxy) -> None:
    client = await node.connect(
        f"GET /sse/connect?clientId=publisher HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE}\r\n\r\n".encode()
    )
    await client.head()
    proxy.stall()
    outbox = node.node.engine._outbox  # type: ignore[attr-defined]
    peers = {name: await node.connect(call(*CALLS[name])) for name in CALLS if name != "group"}
    lines = await node.connect(call("/v1/events", f"{json.dumps(EVENT)}\nno JSON\n"))
    redirect = {"clientId": "publisher", "url": "https://example.com/"}
    function = await node.connect(
        call("/functions", {"method": "redirectClient", "params": {"input": redirect}}, method="PUT")
    )
    await until(lambda: outbox._events == len(peers) + 1 + 1 + 1)  # the list has two

    await proxy.refuse()

    for name, peer in peers.items():
        head, body = await peer.answer()
        told = json.loads(body)
        assert head.startswith("HTTP/1.1 503 "), name
        assert "\r\nRetry-After: 5\r\n" in head
        assert (told["outcome"], "not known" in told["detail"]) == ("unknown", True), name
    assert "not known" in json.loads((await function.answer())[1])["error"]["message"]
    await lines.head()
    unknown, bad = [json.loads(line) for line in (await lines.chunk() + await lines.chunk()).splitlines()]
    assert (unknown["outcome"], "not known" in unknown["error"]) == ("unknown", True)
    assert bad == {"error": "the line is not JSON"}


async def test_call_that_surely_published_nothing_says_so(node: Listening, proxy: LossyProxy) -> None:
    await proxy.refuse()
    await until(lambda: not node.node.engine.reachable)

    for name, (path, body) in CALLS.items():
        if name != "group":
            head, answer = await (await node.connect(call(path, body))).answer()
            told = json.loads(answer)
            assert head.startswith("HTTP/1.1 503 ")
            assert (told["outcome"], "nothing was published" in told["detail"]) == ("not_published", True)
    lines = await node.connect(call("/v1/events", f"{json.dumps(EVENT)}\n"))
    await lines.head()
    assert json.loads(await lines.chunk())["outcome"] == "not_published"


async def test_retry_with_the_key_of_a_publish_whose_outcome_is_unknown_publishes_once(
    node: Listening, proxy: LossyProxy, shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = node.node.engine._store  # type: ignore[attr-defined]
    publish, is_first = store.publish, True

    def publish_and_lose(*arguments: Any) -> Any:
        proxy.loses_answers = is_first
        return publish(*arguments)

    monkeypatch.setattr(store, "publish", publish_and_lose)
    for name, (path, body) in CALLS.items():
        if isinstance(body, list):
            continue
        sent = call(path, body, more=f"Idempotency-Key: once-{name}\r\n")
        before = kept(shared_redis)
        is_first = True
        peer = await node.connect(sent)
        await until(lambda before=before: kept(shared_redis) > before)
        proxy.cut()
        assert json.loads((await peer.answer())[1])["outcome"] == "unknown", name
        proxy.loses_answers = is_first = False
        await until(lambda: node.node.engine.reachable)

        again = await node.connect(sent)

        assert (await again.head()).startswith("HTTP/1.1 200 "), name
        assert kept(shared_redis) == before + 1, name
        again.abort()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("SQLITE_FULL", "not_published"), ("SQLITE_IOERR_FSYNC", "unknown")],
)
async def test_commit_that_may_be_on_the_disk_is_told_as_unknown(
    start: Start, monkeypatch: pytest.MonkeyPatch, code: str, outcome: str
) -> None:
    service: Service = await start()

    def fail(*_: Any) -> None:
        error = sqlite3.OperationalError("no")
        error.sqlite_errorname = code
        raise error

    monkeypatch.setattr(service.node.engine._store, "append", fail)  # type: ignore[attr-defined]
    answer = await service.post("/v1/events", token=SERVICE, json=EVENT)

    assert (answer.status, answer.json["outcome"]) == (503, outcome)
