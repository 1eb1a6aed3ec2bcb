"""Topic ``custom``: the worked example."""

from sse_push.service.streams.custom import CustomStream
from tests.conftest import Clock, SettingsFactory, Start


def test_interval_is_the_settings(settings_for: SettingsFactory) -> None:
    assert CustomStream().interval(settings_for(custom_interval_s=0.5)) == 0.5


async def test_sample_is_what_the_guide_shows(start: Start) -> None:
    node = (await start(clock=Clock(1_768_732_200.0))).node

    sample = CustomStream().sample(node).model_dump(by_alias=True)

    assert sample["hello"] == "world"
    assert isinstance(sample["customData"], str)
    assert sample["timestamp"] == "2026-01-18T10:30:00.000Z"
