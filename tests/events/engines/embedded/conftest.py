"""Places for the embedded engine, and limits that make it do all the time what it does now and then."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from sse_push.events.engines import packs
from sse_push.events.engines.embedded import engine as embedded
from sse_push.events.engines.embedded import store
from sse_push.events.window import Window
from tests.events.engines.embedded.place import EmbeddedPlace


@pytest.fixture(autouse=True)
def _chores_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "CHORES_EVERY_S", 0.005)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is done now and then is done all the time."""
    monkeypatch.setattr(packs, "PACK_EVENTS", 4)
    monkeypatch.setattr(store, "PACK_EVENTS", 4)
    monkeypatch.setattr(store, "ROUTES_BEHIND_EVENTS", 24)
    monkeypatch.setattr(store, "_SLICE_ROWS", 8)
    monkeypatch.setattr(store, "_SWEEP_EVENTS", 8)
    monkeypatch.setattr(store, "_CHECKPOINT_BYTES", 4000)
    monkeypatch.setattr(embedded, "PAGE_EVENTS", 7)
    monkeypatch.setattr(embedded, "PRELOAD_EVENTS", 5)
    monkeypatch.setattr(embedded, "GROUP_EVENTS", 16)
    monkeypatch.setattr(embedded, "Window", partial(Window, max_bytes=6000))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[EmbeddedPlace]:
    place = EmbeddedPlace(tmp_path)
    yield place
    await place.clean()
