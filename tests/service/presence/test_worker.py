"""The background task of presence. What it retries is tested with its steps."""

from typing import Any

from tests.conftest import until
from tests.service.presence.harness import PresenceHarness


async def test_unexpected_error_is_logged_and_does_not_stop_the_worker(
    harness: PresenceHarness, logged: list[Any]
) -> None:
    harness.open(1)
    await harness.idle()
    original, harness.friend_lists.of = harness.friend_lists.of, None  # type: ignore[assignment, method-assign]
    _, connection = harness.open(2)
    await until(lambda: "presence.unhandled_error" in [line["event"] for line in logged])
    harness.friend_lists.of = original  # type: ignore[method-assign]
    await harness.idle()
    assert connection.names == ["initial"]
    harness.open(3)
    await harness.idle()
    assert (3, True, ["1", "2"]) in harness.announced
