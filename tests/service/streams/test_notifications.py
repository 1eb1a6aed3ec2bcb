"""Topic ``notifications``: one's own and those for all."""

from sse_push.events.event import PushEvent
from sse_push.service.identity import Caller
from sse_push.service.streams.base import Params
from sse_push.service.streams.notifications import TOPIC, NotificationStream
from tests.conftest import SettingsFactory, Start, mint


def test_stream_is_its_users(settings_for: SettingsFactory) -> None:
    where = NotificationStream().filter(Caller("42"), Params(), settings_for())

    assert set(where.keys) == {"notifications\x1f*", "notifications\x1f@42"}


async def test_notification_may_be_emitted_in_process(start: Start) -> None:
    service = await start()
    stream = await service.open("/notifications/stream", token=mint("42"))

    await service.node.pipeline.publish(PushEvent(topic=TOPIC.name, user_id="42", data={"title": "t"}))

    assert (await stream.event()).json == {"title": "t"}
