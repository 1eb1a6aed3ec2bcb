"""Random requests on one connection, cut at random: the fast path and the ordinary one give the same answers."""

import random
import re
from typing import Any

import pytest

from sse_push.handlers.http.hot import HotRequests
from tests.conftest import Listen, Listening, mint
from tests.handlers.http.fast_publish.publishes import ONE, known, post

SCRIPTS = 60
MORE = [
    *[""] * 8,
    "Accept: */*\r\n",
    "X-Request-ID: mine\r\n",
    "Idempotency-Key: k\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: identity\r\n",
    "Expect: foo\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "Origin: https://app.example.com\r\n",
    "X-Long: " + "x" * 8190 + "\r\n",
    "no header\r\n",
]
BODIES = [
    *[ONE] * 4,
    b"",
    b"{",
    b"[" + ONE + b"," + ONE + b"]",
    b'{"broadcast":true,"data":"GET / HTTP/1.1\\r\\n"}',
    b" " * 3000,
]


def _request(chance: random.Random) -> bytes:
    whole = post(
        chance.choice(BODIES),
        chance.choice(MORE),
        token=chance.choice([mint("publisher", "service")] * 6 + [mint("42"), "unknown"]),
    )
    if chance.random() < 0.1:
        head, _, body = whole.partition(b"\r\n\r\n")
        head = re.sub(rb"Content-Length: [0-9]+", b"Transfer-Encoding: chunked", head)
        whole = head + b"\r\n\r\n" + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    path = chance.choice([b"/v1/events"] * 6 + [b"/healthz", b"/nothing"])
    version = chance.choice([b"HTTP/1.1"] * 20 + [b"HTTP/1.0", b"HTTP/2.0"])
    return whole.replace(b"/v1/events HTTP/1.1", b"%b %b" % (path, version), 1)


def _script(chance: random.Random) -> bytes:
    requests: list[bytes] = []
    for _ in range(chance.randrange(1, 7)):
        again = requests and chance.random() < 0.5
        requests.append(requests[-1] if again else _request(chance))
    return b"".join(requests)


def _cut(chance: random.Random, data: bytes) -> list[bytes]:
    points = sorted(chance.sample(range(1, len(data)), chance.randrange(0, 6)))
    return [data[start:end] for start, end in zip([0, *points], [*points, len(data)], strict=True)]


async def _answers(server: Listening, pieces: list[bytes]) -> tuple[list[str], int]:
    """The answers without what differs by nature, and how many events were published."""
    peer = await known(server)
    before = server.node.engine.head
    [handler] = server.site._guard.open
    for piece in pieces:
        handler.data_received(piece)
    handler.eof_received()
    told = (await peer.rest()).decode()
    told = re.sub(f"{server.node.engine.epoch}-[0-9]+|[0-9a-f]{{16}}|(Date|Content-Length): [^\r]+", "", told)
    answers = re.split("(?=HTTP/1)", told)
    return [
        "\n".join(sorted(answer.lower().split("\r\n"))) for answer in answers
    ], server.node.engine.head - before


async def test_answers_are_the_same_whichever_way_and_however_requests_are_cut(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, ordinary = await listen(max_body_bytes=2048), await listen(max_body_bytes=2048)
    find = HotRequests._publisher

    def finding(self: Any, token: str) -> Any:
        return None if self._node is ordinary.node else find(self, token)

    monkeypatch.setattr(HotRequests, "_publisher", finding)
    for seed in range(SCRIPTS):
        chance = random.Random(seed)
        script = _script(chance)
        seen = [await _answers(server, _cut(chance, script)) for server in (fast, ordinary)]
        assert seen[0] == seen[1], f"script {seed}: {script!r}"
