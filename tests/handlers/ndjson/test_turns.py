"""Many lines in one request: others go on between them."""

import asyncio
import json

import pytest

from sse_push.handlers import ndjson
from tests.conftest import Service, Start, mint

PUBLISHER = mint("publisher", "service")
HEADERS = {"Content-Type": "application/x-ndjson"}
GOOD = b'{"userId":"42","data":1}\n'


class _Iterations:
    """Counts iterations of the loop until it is stopped."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    async def stop(self) -> int:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.count


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


@pytest.mark.parametrize("lines", [b"\n" * 1_000_000, b" \r\n" * 300_000, b"{}\n" * 3000, b"1\n" * 3000])
async def test_others_go_on_while_one_sends_lines(
    service: Service, lines: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no time at all for a turn, there is an iteration of the loop for each part that came, and each line."""
    monkeypatch.setattr(ndjson, "TURN_S", 0.0)
    paused = 0
    original = ndjson._Turn.pause_if_long

    async def pause(turn: ndjson._Turn) -> None:
        nonlocal paused
        iterations = _Iterations()
        await original(turn)
        paused += await iterations.stop() > 0

    monkeypatch.setattr(ndjson._Turn, "pause_if_long", pause)

    answer = await service.post("/v1/events", token=PUBLISHER, data=lines + GOOD, headers=HEADERS)

    answers = [*map(json.loads, answer.body.splitlines())]
    assert len(answers) == len([*filter(bytes.strip, lines.splitlines())]) + 1
    assert "id" in answers[-1]
    assert paused >= max(2, len(answers))


async def test_line_that_comes_in_pieces_is_one_line(service: Service) -> None:
    async def pieces() -> object:
        for at in range(0, len(GOOD) * 2, 5):
            yield (GOOD * 2)[at : at + 5]
            await asyncio.sleep(0)

    answer = await service.post("/v1/events", token=PUBLISHER, data=pieces(), headers=HEADERS)

    assert [*map(json.loads, answer.body.splitlines())] == [
        {"id": f"{service.node.engine.epoch}-{number}"} for number in (1, 2)
    ]


async def test_line_that_is_too_long_is_answered_once_however_it_ends(service: Service) -> None:
    async def pieces() -> object:
        for piece in (
            b"x" * 200_000,
            b"x" * 200_000,
            b"\n\n",
            GOOD,
            b"x" * 200_000,
            b"x\n \n",
            GOOD,
            b"y" * 140_000,
        ):
            yield piece
            await asyncio.sleep(0)

    answer = await service.post("/v1/events", token=PUBLISHER, data=pieces(), headers=HEADERS)

    kinds = [[*json.loads(line)] for line in answer.body.splitlines()]
    assert kinds == [["error"], ["id"], ["error"], ["id"], ["error"]]
