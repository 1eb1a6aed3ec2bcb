"""A service that reads lines, and the receipts of what is published to it."""

import asyncio

import pytest

from sse_push.events.receipts import FutureReceipt
from tests.conftest import Service, Start


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


@pytest.fixture
def receipts(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[FutureReceipt]:
    """Those of the lines that are published, which the test resolves."""
    receipts: list[FutureReceipt] = []

    def submit(*_: object, **__: object) -> FutureReceipt:
        receipts.append(asyncio.get_running_loop().create_future())
        return receipts[-1]

    monkeypatch.setattr(service.node.pipeline, "submit", submit)
    return receipts
