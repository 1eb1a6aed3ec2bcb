"""What a turn says to its room, and what a room remembers."""

from collections.abc import Awaitable, Callable
from typing import Any

from sse_push.service.group_chat.jobs import Result
from tests.conftest import Service, Start, mint, until
from tests.handlers.group_chat.turns import turn, whole
from tests.model_server import SILENT, ModelServer
from tests.service.group_chat.fakes import job


async def test_message_and_answers_reach_the_room_and_are_its_history(start: Start) -> None:
    service = await start()
    room = await service.open("/chat/stream?room=general", token=mint("7"))

    frames = await whole(await turn(service, token=mint("42", name="Ada Lovelace"), message="hi"))
    events = await room.events(3)

    assert events[0].json == {
        "roomId": "general", "message": "hi", "userId": "42", "username": "Ada Lovelace",
        "timestamp": frames[0]["timestamp"],
    }  # fmt: skip
    answers = {(event.json["userId"], event.json["username"], event.json["message"]) for event in events[1:]}
    assert answers == {
        (f"ai:{frame['aiId']}", frame["aiName"], frame["content"])
        for frame in frames
        if frame["type"] == "ai_response"
    }
    again = await service.open(
        "/chat/stream?room=general", token=mint("7"), headers={"Last-Event-ID": room.first.id or ""}
    )
    assert [frame.id for frame in await again.events(3)] == [event.id for event in events]


async def test_answers_reach_the_room_when_the_caller_goes_away(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model()
    room = await service.open("/chat/stream?room=general", token=mint("7"))
    model_server.answers = {"ada": SILENT, "basil": SILENT}

    stream = await turn(service)
    await stream.next()
    await until(lambda: len(model_server.asked) == 2)
    stream.close()
    await until(lambda: len(service.node.connections) == 1)
    model_server.release.set()

    assert {frame.json["userId"] for frame in await room.events(3)} == {"42", "ai:1", "ai:7"}


async def test_persona_is_told_what_was_said_before(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(ai_history_messages=3)
    model_server.answers = {"ada": "I am Ada.", "basil": "I am Basil."}
    await whole(await turn(service, message="first"))
    await whole(await turn(service, message="second"))

    about, *history, now = next(asked for asked in model_server.asked[2:] if asked["model"] == "ada")[
        "messages"
    ]

    assert about["role"] == "system" and about["content"].startswith("You are Ada.")
    assert history[0] == {"role": "user", "content": "Ada L: first"}
    assert {"role": "assistant", "content": "I am Ada."} in history
    assert {"role": "user", "content": "Basil: I am Basil."} in history
    assert len(history) == 3
    assert now == {"role": "user", "content": "Ada L: second"}


async def test_room_may_be_entered_with_its_newest_messages(start: Start) -> None:
    service = await start()
    for text in ("one", "two", "three"):
        await service.post("/chat/send", token=mint("42"), json={"roomId": "general", "message": text})
        await service.post(
            "/chat/send", token=mint("42", rooms=["other"]), json={"roomId": "other", "message": "no"}
        )

    async def first(query: str, count: int, **more: Any) -> list[str]:
        room = await service.open(f"/chat/stream?room=general{query}", token=mint("7"), **more)
        return [frame.json["message"] for frame in await room.events(count)]

    last = await service.open("/chat/stream?room=general&history=1", token=mint("7"))
    id_ = (await last.event()).id
    assert await first("&history=2", 2) == ["two", "three"]
    assert await first("&history=100", 3) == ["one", "two", "three"]
    await service.publish(room="general", data={"message": "four"})
    assert await first("&history=2", 1, headers={"Last-Event-ID": id_}) == ["four"]
    assert (await last.event()).json["message"] == "four"
    assert (await service.get("/chat/stream?room=general&history=101", token=mint("7"))).status == 400


async def test_empty_room_is_entered_with_nothing(start: Start) -> None:
    service = await start()
    room = await service.open("/chat/stream?room=general&history=5", token=mint("7"))
    await service.publish(room="general", data={"message": "first"})

    assert (await room.event()).json["message"] == "first"


async def test_room_is_known_to_have_an_answer_by_its_author_and_text(start: Start) -> None:
    service = await start()
    frames = await whole(await turn(service))
    rooms = service.node.group_chat._rooms
    answers = {frame["personaId"]: frame["content"] for frame in frames if frame["type"] == "ai_response"}
    its = [job(persona=persona, at=0.0) for persona in answers]

    has = [await rooms.has_answer(one, Result(content=answers[one.persona.id])) for one in its]
    has_not = [await rooms.has_answer(one, Result(content="something else")) for one in its]

    assert (has, has_not) == ([True, True], [False, False])
    assert not await rooms.has_answer(job(persona=99, at=0.0), Result(content=answers[1]))
