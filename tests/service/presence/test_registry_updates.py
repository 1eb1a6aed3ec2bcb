"""Updates of a registry that is unavailable, or whose replies are lost."""

from typing import Any

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.presence.registry_updates import RegistryUpdates
from tests.conftest import until
from tests.events.fakes import Clock
from tests.service.presence.harness import FakeRegistry, PresenceHarness


async def test_updates_wait_for_the_registry_and_are_sent_once(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.unavailable = True
    _, connection = harness.open(2)
    await until(lambda: harness.registry.updates > 3)
    assert connection.written == []
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.announced == [(2, True, ["1"])]
    assert connection.names == ["initial"]
    assert [line["event"] for line in logged] == ["presence.failed", "presence.recovered"]


async def test_verification_waits_for_the_registry(harness: PresenceHarness, logged: list[Any]) -> None:
    harness.registry.unavailable = True
    harness.tracker.refresh()
    await until(lambda: logged)
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.registry.verifications == 1


async def test_change_is_announced_although_the_reply_of_its_update_was_lost(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    for online in (True, False):
        harness.registry.loses_replies = True
        updates = harness.registry.updates
        if online:
            session, _ = harness.open(2)
        else:
            session.closed()
        await until(lambda updates=updates: harness.registry.updates > updates + 1)
        harness.registry.loses_replies = False
        await harness.idle()
        assert harness.announced.pop() == (2, online, ["1"])
    assert harness.announced == []


async def test_acknowledgement_waits_for_the_registry_and_nothing_is_announced_again(
    harness: PresenceHarness,
) -> None:
    harness.open(1)
    await harness.idle()
    harness.emitter.on(
        "sse.push", lambda push: setattr(harness.registry, "unavailable", push.data["user_id"] == 2)
    )
    harness.registry.acked.clear()
    harness.open(2)
    await until(lambda: harness.registry.unavailable)
    assert harness.registry.acked == set()
    harness.registry.unavailable = False
    await harness.idle()
    assert harness.registry.acked == {"2"}
    assert harness.announced == [(2, True, ["1"])]


async def test_suppressed_joins_are_acknowledged(harness: PresenceHarness) -> None:
    harness.open(1)
    await harness.idle()
    harness.registry.acked.clear()
    harness.registry.lose_data(0.05)
    await harness.idle()
    assert harness.registry.acked == {"1"}


async def test_change_is_returned_after_a_failure_to_send_activity() -> None:
    registry = FakeRegistry()
    updates = RegistryUpdates(registry, lambda: None, Clock())
    updates.touch([1])
    updates.join(2)
    registry.touch_fails = True
    with pytest.raises(EngineUnavailable):
        await updates.flush()
    registry.touch_fails = False
    assert await updates.flush() == {2: None}
