"""Benches for connections, closed when the test is over."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sse_push.events.engines.embedded.engine import EmbeddedEngine
from tests.conftest import Clock
from tests.events.fakes import CallbackListener
from tests.service.connections.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    made: list[Bench] = []

    async def make(**settings: Any) -> Bench:
        clock = Clock()
        engine = EmbeddedEngine(
            tmp_path / str(len(made)),
            max_events=settings.pop("max_events", 100_000),
            max_age=3600,
            clock=clock,
        )
        one = Bench(engine, clock, **settings)
        await engine.start(CallbackListener(one.router.deliver))
        one.connections.start()
        made.append(one)
        return one

    yield make
    for one in made:
        await one.connections.close()
        await one.engine.close()
