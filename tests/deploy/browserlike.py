"""What stands before nginx in the tests: a client that speaks TLS and HTTP/1.1 or HTTP/2, and reads streams.

Knows nothing of nginx's insides.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import httpx

from tests.conftest import DEADLINE_S, Frame, Frames
from tests.deploy.nginx import Nginx
from tests.e2e.client import SERVICE, demo
from tests.ports import HOST

NDJSON = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {SERVICE}"}

_addresses = (f"127.0.{n // 250}.{n % 250 + 1}" for n in count(250))


class OpenStream(Frames):
    """A stream that was opened; ``address`` is where its client is."""

    def __init__(self, response: httpx.Response) -> None:
        parts = response.aiter_raw()
        super().__init__(lambda: anext(parts, b""))
        self.response = response

    async def close(self) -> None:
        await self.response.aclose()


class Client:
    """One client, from an address of its own."""

    def __init__(self, nginx: Nginx, *, http2: bool) -> None:
        self.http2 = http2
        self.address = next(_addresses)
        limits = httpx.Limits(max_connections=None)
        transport = httpx.AsyncHTTPTransport(
            verify=nginx.trust, http1=not http2, http2=http2, limits=limits, local_address=self.address
        )
        self.http = httpx.AsyncClient(base_url=nginx.url, transport=transport, timeout=DEADLINE_S)

    async def open(self, path: str, user: object = "42", **headers: str) -> OpenStream:
        """Open a stream."""
        given = {
            "Authorization": f"Bearer {demo(user)}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        request = self.http.build_request("GET", path, headers=given)
        return OpenStream(await self.http.send(request, stream=True))

    async def publish(self, **event: Any) -> str:
        answer = await self.http.post(
            "/v1/events", json=event, headers={"Authorization": f"Bearer {SERVICE}"}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def follow(self, path: str, user: object) -> AsyncIterator[Frame | None]:
        """All events of a stream, resumed by id whenever it ends or breaks; ``None`` when it has a place (again)."""
        last = ""
        while True:
            with suppress(httpx.TransportError, EOFError):
                stream = await self.open(path, user, **({"Last_Event_ID": last} if last else {}))
                while stream.response.status_code == 200:
                    frame = await stream.next()
                    last = frame.id or last
                    if frame.data is not None:
                        yield frame
                    elif frame.id is not None:
                        yield None
                await stream.close()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def client_of(nginx: Nginx, *, http2: bool = True) -> AsyncIterator[Client]:
    client = Client(nginx, http2=http2)
    async with client.http:
        yield client


class BareHttp2:
    """One connection over which streams are opened and given up as a browser's tab does: by RST_STREAM.

    (httpx forgets a stream that is closed without a word to the server.)
    """

    def __init__(self, nginx: Nginx) -> None:
        self.address = next(_addresses)
        self._nginx = nginx
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))

    async def connect(self) -> None:
        trust: ssl.SSLContext = self._nginx.trust
        trust.set_alpn_protocols(["h2"])
        self._reader, self._writer = await asyncio.open_connection(
            HOST, self._nginx.port, ssl=trust, local_addr=(self.address, 0)
        )
        self._h2.initiate_connection()
        self._flush()

    async def open(self, path: str, user: object) -> int:
        """Open a stream; its number, once it was answered 200."""
        stream = self._h2.get_next_available_stream_id()
        head = [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", HOST)]
        self._h2.send_headers(stream, [*head, ("authorization", f"Bearer {demo(user)}")], end_stream=True)
        self._flush()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event in self._h2.receive_data(await self._reader.read(65_536)):
                    if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                        assert (":status", "200") in event.headers
                        return stream
                self._flush()

    def give_up(self, stream: int) -> None:
        self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def close(self) -> None:
        self._writer.transport.abort()

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
