"""The guard looks at its connections every few milliseconds."""

import pytest

from sse_push.handlers.http import guard


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHECK_EVERY_S", 0.02)
