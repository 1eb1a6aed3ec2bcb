"""A presence harness that retries at once."""

from collections.abc import AsyncIterator

import pytest

from sse_push.service.presence import worker
from tests.service.presence.harness import PresenceHarness


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PresenceHarness]:
    monkeypatch.setattr(worker, "RETRY_S", 0.01)
    harness = PresenceHarness()
    yield harness
    await harness.close()
