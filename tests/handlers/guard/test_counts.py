"""How many connections there may be: in all, and of one address."""

from tests.conftest import Listen, until
from tests.handlers.guard.requests import HEALTHZ


async def test_sockets_are_bounded(listen: Listen) -> None:
    server = await listen(max_sockets=3)
    kept = [await server.connect(HEALTHZ) for _ in range(3)]
    for peer in kept:
        await peer.answer()

    refused = await server.connect()

    assert await refused.rest() == b""
    assert server.node.figures.refusals["sockets"] == 1
    await kept[0].send(HEALTHZ)
    assert (await kept[0].answer())[0].startswith("HTTP/1.1 200")


async def test_socket_that_closed_makes_room(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    first = await server.connect(HEALTHZ)
    await first.answer()
    first.abort()
    await until(lambda: not server.site._guard.open)

    second = await server.connect(HEALTHZ)

    assert (await second.answer())[0].startswith("HTTP/1.1 200")


async def test_streams_count_among_the_sockets(listen: Listen) -> None:
    server = await listen(max_sockets=2)
    for _ in range(2):
        peer = await server.connect(b"GET /custom/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await peer.head()

    refused = await server.connect()

    assert await refused.rest() == b""


async def test_connection_that_is_refused_is_forgotten(listen: Listen) -> None:
    server = await listen(max_sockets=1)
    first = await server.connect(HEALTHZ)
    await first.answer()
    for _ in range(5):
        await (await server.connect()).rest()

    assert len(server.site._guard.open) == 1
    assert len(server.runner.server.connections) == 1  # type: ignore[union-attr]


# -- of one address --------------------------------------------------------------------------------


async def test_address_takes_its_share_of_connections_and_no_more(listen: Listen) -> None:
    server = await listen(max_connections_per_address=3)
    held = [await server.connect(HEALTHZ) for _ in range(3)]
    for peer in held:
        await peer.answer()

    refused = await server.connect()
    assert await refused.rest() == b""
    assert server.node.figures.refusals["sockets_of_address"] == 1

    held[0].abort()
    await until(lambda: len(server.site._guard.open) == 2)
    fresh = await server.connect(HEALTHZ)
    assert (await fresh.answer())[0].startswith("HTTP/1.1 200")


async def test_trusted_proxy_holds_connections_for_many(listen: Listen) -> None:
    server = await listen(max_connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    for peer in [await server.connect(HEALTHZ) for _ in range(5)]:
        assert (await peer.answer())[0].startswith("HTTP/1.1 200")
