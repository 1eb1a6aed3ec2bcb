"""What a room is told: an answer once, whichever of several that a job may get."""

from sse_push.service.group_chat.jobs import Result
from tests.conftest import Start, mint
from tests.service.group_chat.fakes import job


async def test_answers_of_one_job_are_told_once_and_the_first_is_told(start: Start) -> None:
    service = await start()
    stream = await service.open("/chat/stream?room=general", token=mint("42"))
    rooms = service.node.group_chat._rooms
    asked = job("hello")
    for at, content in enumerate(["first", "of another worker"]):
        await rooms.post_answer(asked, Result(content=content), 1.0 + at)
    await rooms.post_message(asked.room_id, "end", "42", "ada", 9.0)

    assert [(await stream.event()).json["message"] for _ in range(2)] == ["first", "end"]
