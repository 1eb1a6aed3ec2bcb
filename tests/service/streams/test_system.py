"""Topic ``system``: the body of the status, sampled."""

from sse_push.service.status import SystemStatus
from sse_push.service.streams.system import SystemStream
from tests.conftest import SettingsFactory, Start


def test_interval_is_the_settings(settings_for: SettingsFactory) -> None:
    assert SystemStream().interval(settings_for(status_interval_s=2.5)) == 2.5


async def test_sample_is_the_status_of_now(start: Start) -> None:
    node = (await start()).node

    assert isinstance(SystemStream().sample(node), SystemStatus)
