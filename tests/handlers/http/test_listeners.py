"""Listening sockets: both families, several addresses, paths that a killed node has left."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from sse_push.handlers.http.listeners import listen
from sse_push.service.settings import Settings
from tests.conftest import Listen, SettingsFactory
from tests.process import ServerProcess

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEALTHZ)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_all_addresses_of_ipv6_are_those_of_ipv4_too(listen: Listen, address: str) -> None:
    server = await listen(host="::")
    assert b" 200 OK" in await _ask(*await asyncio.open_connection(address, server.port))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_both_families_may_have_a_socket_each(settings_for: SettingsFactory) -> None:
    settings = settings_for(host="0.0.0.0,::")
    with listen(settings, "0.0.0.0", 0) as first, listen(settings, "::", first.getsockname()[1]) as second:
        assert first.getsockname()[1] == second.getsockname()[1]


async def test_node_listens_on_several_addresses_and_a_path(tmp_path: Path) -> None:
    path = tmp_path / "push.sock"
    server = ServerProcess(tmp_path, host=f"127.0.0.1, [::1], unix:{path}", socket_mode="600", max_connections_per_address=5)  # fmt: skip
    await server.start()
    for address in ("127.0.0.1", "::1"):
        assert b" 200 OK" in await _ask(*await asyncio.open_connection(address, server.port))
    assert b" 200 OK" in await _ask(*await asyncio.open_unix_connection(str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await server.terminate() == 0
    assert not path.exists()


def test_path_of_a_killed_node_is_taken_over(settings_for: SettingsFactory, tmp_path: Path) -> None:
    path = tmp_path / "push.sock"
    settings = settings_for(host=f"unix:{path}")
    listen(settings, settings.host, 0).close()
    with listen(settings, settings.host, 0):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.mark.parametrize("socket_there", [True, False])
def test_path_in_use_is_refused(settings_for: SettingsFactory, tmp_path: Path, socket_there: bool) -> None:
    path = tmp_path / "push.sock"
    settings = settings_for(host=f"unix:{path}")
    first = listen(settings, settings.host, 0) if socket_there else path.open("wb")
    with first, pytest.raises(OSError, match="in use, or no socket"):
        listen(settings, settings.host, 0)
    assert path.exists()


def test_path_that_cannot_be_made_is_told(settings_for: SettingsFactory, tmp_path: Path) -> None:
    settings: Settings = settings_for(host=f"unix:{tmp_path}/none/push.sock")
    with pytest.raises(OSError, match=r"can't listen on .*No such file"):
        listen(settings, settings.host, 0)
