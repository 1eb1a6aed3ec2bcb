"""How many connections there may be, in all and of one address, and which makes room for which."""

import pytest

from sse_push.handlers.http import guard
from tests.conftest import Listen, Listening, Peer, until
from tests.handlers.http.guard.requests import HEALTHZ, POST

READYZ = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
STATUS = b"GET /system/status HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n"
UNFINISHED = POST + b"Content-Length: 100\r\n\r\n{"


async def _idle(server: Listening) -> Peer:
    peer = await server.connect(HEALTHZ)
    assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    return peer


async def _begun(server: Listening, count: int, request: bytes = UNFINISHED) -> None:
    """Connect until so many have begun to send a request."""
    guarded = server.site._guard.open
    for number in range(len(guarded) + 1, count + 1):
        await server.connect(request)
        await until(lambda number=number: len(guarded) == number)
    await until(lambda: sum(not one.is_evictable for one in server.site._guard.open) == count)


async def test_idlest_connection_makes_room_for_another(listen: Listen) -> None:
    server = await listen(max_sockets=3)
    idle = [await _idle(server) for _ in range(3)]
    await idle[0].send(HEALTHZ)  # the second is the idlest now
    await idle[0].answer()

    await _idle(server)

    assert await idle[1].rest() == b""
    for peer in (idle[0], idle[2]):
        await peer.send(HEALTHZ)
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")
    assert server.node.metrics.rejections == {"idle": 1}
    assert len(server.site._guard.open) == 3


async def test_connection_that_never_asked_makes_room_too(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    silent = await server.connect()
    await until(lambda: any(one.is_evictable for one in server.site._guard.open))

    await _idle(server)

    assert await silent.rest() == b""


async def test_neither_streams_nor_begun_requests_make_room(listen: Listen) -> None:
    server = await listen(max_sockets=4)
    for _ in range(2):
        await (await server.connect(STREAM)).head()
    await _begun(server, 1)
    await _begun(server, 2, b"GET /healthz HTTP/1.1\r\nHo")

    refused = await server.connect(STATUS)

    assert await refused.rest() == b""
    assert server.node.metrics.rejections["sockets"] == 1
    assert len(server.node.connections) == 2
    assert len(server.site._guard.open) == 2


async def test_socket_that_closed_makes_room(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    await _begun(server, 1)
    [handler] = server.site._guard.open
    handler.abort()
    await until(lambda: not server.site._guard.open)

    second = await server.connect(STATUS)

    assert (await second.answer())[0].startswith("HTTP/1.1 200")


async def test_connection_that_is_refused_is_forgotten(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    await _begun(server, 1)
    for _ in range(5):
        await (await server.connect(STATUS)).rest()

    assert len(server.site._guard.open) == 1
    assert not server.site._guard._reserve


# -- health checks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", [HEALTHZ, READYZ], ids=["healthz", "readyz"])
@pytest.mark.parametrize(
    "limit", [{"max_sockets": 2}, {"max_connections_per_address": 2}], ids=["node", "address"]
)
async def test_health_is_told_where_there_is_no_room(
    listen: Listen, probe: bytes, limit: dict[str, int]
) -> None:
    server = await listen(**limit)
    await _begun(server, 2)

    for _ in range(3):
        peer = await server.connect(probe)
        head, _ = await peer.answer()
        assert head.startswith("HTTP/1.1 200")
        assert "connection: close" in head.lower()
        assert await peer.rest() == b""
    assert len(server.site._guard.open) == 2


async def test_who_holds_the_reserve_makes_room_for_the_next_probe(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "RESERVED_SOCKETS", 3)
    server = await listen(max_sockets=1)
    await _begun(server, 1)
    holders = [await server.connect(b"GET /hea") for _ in range(5)]
    await until(lambda: server.node.metrics.rejections["sockets"] == 2)

    probe = await server.connect(HEALTHZ)

    assert (await probe.answer())[0].startswith("HTTP/1.1 200")
    for holder in holders[:3]:
        assert await holder.rest() == b""


async def test_publish_is_not_let_in_by_the_reserve(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    await _begun(server, 1)
    body = b'{"broadcast":true,"data":1}'
    before = server.node.engine.head

    peer = await server.connect(
        POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )

    assert await peer.rest() == b""
    assert server.node.engine.head == before


# -- of one address --------------------------------------------------------------------------------


async def test_address_takes_its_share_of_connections_and_no_more(listen: Listen) -> None:
    server = await listen(max_connections_per_address=3)
    await _begun(server, 3)

    refused = await server.connect(STATUS)

    assert await refused.rest() == b""
    assert server.node.metrics.rejections["sockets_of_address"] == 1


async def test_address_makes_room_for_itself(listen: Listen) -> None:
    server = await listen(max_connections_per_address=3)
    first, *_ = [await _idle(server) for _ in range(3)]

    await _idle(server)

    assert await first.rest() == b""
    assert len(server.site._guard.open) == 3


async def test_trusted_proxy_holds_connections_for_many(listen: Listen) -> None:
    server = await listen(max_connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    for peer in [await server.connect(HEALTHZ) for _ in range(5)]:
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")


async def test_connections_of_a_trusted_proxy_make_no_room(listen: Listen) -> None:
    """It would send its clients' requests into their end."""
    server = await listen(max_sockets=1, trusted_proxies=("127.0.0.0/8",))
    kept = await _idle(server)

    assert await (await server.connect(STATUS)).rest() == b""
    await kept.send(STATUS)
    assert (await kept.answer())[0].startswith("HTTP/1.1 200")
