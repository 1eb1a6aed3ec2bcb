"""The application put together: settings, engine and clock go in; nothing happens before it starts."""

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from sse_push.events.engines.embedded.engine import EmbeddedEngine
from sse_push.events.errors import StoreInUse
from sse_push.handlers.app import build_app
from sse_push.handlers.keys import NODE
from sse_push.service.streams import STREAMS
from tests.conftest import Clock, SettingsFactory, Start, mint


def test_building_touches_no_disk(settings_for: SettingsFactory) -> None:
    settings = settings_for()

    build_app(settings)

    assert not Path(settings.data_dir).exists()


def test_every_stream_of_the_registry_has_a_route(settings_for: SettingsFactory) -> None:
    app = build_app(settings_for())
    paths = {resource.canonical for resource in app.router.resources()}

    assert {stream.path for stream in STREAMS} <= paths


async def test_engine_that_is_given_is_used(start: Start, tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path / "mine", max_events=10, max_age=60)

    service = await start(engine=engine)
    await service.publish(userId="42", data=1)

    assert service.node.engine is engine
    assert engine.head == 1


async def test_clock_that_is_given_is_used(start: Start) -> None:
    service = await start(clock=Clock(1_768_732_200.0))

    assert (await service.get("/system/status")).json["timestamp"] == "2026-01-18T10:30:00.000Z"


async def test_two_applications_share_nothing(start: Start) -> None:
    one, other = await start(), await start()

    await one.publish(userId="42", data=1)

    assert (one.node.engine.head, other.node.engine.head) == (1, 0)


async def test_what_was_accepted_is_there_after_a_restart(settings_for: SettingsFactory) -> None:
    settings = settings_for()
    async with TestClient(TestServer(build_app(settings))) as client:
        answer = await client.post(
            "/v1/events", json={"userId": "42", "data": "kept"}, headers={"Authorization": f"Bearer {mint('p', 'service')}"}
        )  # fmt: skip
        id_ = (await answer.json())["id"]

    app = build_app(settings)
    async with TestClient(TestServer(app)):
        assert app[NODE].engine.head == 1
        assert id_ == f"{app[NODE].engine.epoch}-1"


async def test_store_that_is_in_use_stops_the_start(settings_for: SettingsFactory) -> None:
    settings = settings_for()
    async with TestClient(TestServer(build_app(settings))):
        with pytest.raises(StoreInUse):
            await build_app(settings)[NODE].start()
