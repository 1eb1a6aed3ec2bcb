"""What the caller of a turn gets, frame by frame."""

import json
import time
from collections.abc import Awaitable, Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from sse_push.service.group_chat.frames import DONE
from tests.conftest import Listen, Service, Start, mint, until
from tests.handlers.group_chat.turns import ROOM, said, turn, whole
from tests.model_server import SECRET, SILENT, ModelServer


async def test_turn_has_its_frames_in_order(start: Start) -> None:
    service = await start()
    before = time.time()

    stream = await turn(service, message="How are you?")
    assert stream.headers["Content-Type"] == "text/event-stream"
    frames = await whole(stream)

    assert [frame["type"] for frame in frames] == [
        "user_message", "ai_response", "ai_response", "exp_updated", "exp_updated", "complete",
    ]  # fmt: skip
    first, one, two, *earned, complete = frames
    assert list(first) == ["type", "content", "sender", "senderId", "timestamp"]
    assert (first["content"], first["sender"], first["senderId"]) == ("How are you?", "Ada L", "42")
    assert list(one) == ["type", "content", "aiName", "aiId", "personaId", "timestamp"]
    assert {(frame["aiName"], frame["aiId"], frame["personaId"]) for frame in (one, two)} == {
        ("Ada", "1", 1), ("Basil", "2", 2),
    }  # fmt: skip
    assert "scripted" in one["content"] and "scripted" in two["content"]
    assert sorted(earned, key=itemgetter("personaId")) == [
        {
            "type": "exp_updated", "personaId": number, "personaName": name, "newExp": 5, "newLevel": 1,
            "expIncrease": 5, "userId": "42",
        }
        for number, name in ((1, "Ada"), (2, "Basil"))
    ]  # fmt: skip
    assert list(complete) == ["type", "message", "timestamp"]
    assert first["timestamp"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))


async def test_each_write_of_a_turn_is_whole_frames_of_one_data_line(listen: Listen) -> None:
    service = await listen()
    body = json.dumps(said("two\nlines")).encode()
    peer = await service.connect(
        b"POST /api/chat/rooms/general/group-sse HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (mint("42").encode(), len(body), body)
    )
    head = await peer.head()
    assert "Transfer-Encoding: chunked" in head and "retry" not in head

    chunks = []
    while chunk := await peer.chunk():
        chunks.append(chunk)

    assert chunks[-1].endswith(DONE)
    for chunk in chunks:
        assert chunk.endswith(b"\n\n")
        for frame in chunk.removesuffix(b"\n\n").split(b"\n\n"):
            assert frame.startswith(b"data: ") and b"\n" not in frame


async def test_answers_come_as_each_is_ready(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model()
    model_server.answers = {"ada": SILENT}

    stream = await turn(service)
    await stream.next()
    first = (await stream.next()).json
    model_server.release.set()
    rest = await whole(stream)

    assert (first["type"], first["aiName"]) == ("ai_response", "Basil")
    assert [frame.get("aiName") for frame in rest if frame["type"] == "ai_response"] == ["Ada"]


async def test_member_that_fails_is_told_and_the_others_answer(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer, logged: list[dict[str, Any]]
) -> None:
    service = await with_model()
    model_server.answers = {"ada": 401}

    frames = await whole(await turn(service))

    kinds = [frame["type"] for frame in frames]
    assert sorted(kinds[1:3]) == ["ai_response", "error"] and kinds[3:] == ["exp_updated", "complete"]
    [error] = [frame for frame in frames if frame["type"] == "error"]
    assert "Ada" in error["message"]
    assert SECRET not in repr(frames) + repr(logged)
    assert {line["status"] for line in logged if line["event"] == "model.failed"} == {401}


async def test_turn_times_out_and_the_late_answer_reaches_the_room(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model()
    room = await service.open("/chat/stream?room=general", token=mint("7"))
    model_server.answers = {"ada": SILENT}
    stream = await turn(service)
    [begun] = service.node.group_chat._turns.values()
    await until(lambda: begun.exp_frames)

    service.node.group_chat._time_out(begun)  # as the timer would: the test needs no second
    frames = await whole(stream)
    told = [(await room.event()).json["userId"] for _ in range(2)]
    model_server.release.set()
    late = (await room.event()).json

    assert [frame["type"] for frame in frames] == ["user_message", "ai_response", "exp_updated", "timeout"]
    assert "Ada" in frames[-1]["message"]
    assert told == ["42", "ai:7"]
    assert (late["userId"], late["username"]) == ("ai:1", "Ada")


async def test_room_without_members_completes_at_once(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "personas.toml"
    path.write_text('[[persona]]\nid = 1\nname = "Ada"\nprompt = "p"\nrooms = ["elsewhere"]\n')
    service = await start(personas_file=path)

    frames = await whole(await turn(service))

    assert [frame["type"] for frame in frames] == ["user_message", "complete"]


async def test_exp_adds_up_and_levels_rise(start: Start) -> None:
    service = await start()
    for _ in range(19):
        await service.node.group_chat.experience.award(f"job{_}", "42", 1)

    earned = [frame for frame in await whole(await turn(service)) if frame["type"] == "exp_updated"]

    assert sorted((exp["personaId"], exp["newExp"], exp["newLevel"]) for exp in earned) == [
        (1, 100, 2),
        (2, 5, 1),
    ], "they answer in any order"
    members = await service.get(f"{ROOM}/members", token=mint("42"))
    assert members.json == [
        {"aiId": "1", "personaId": 1, "aiName": "Ada", "exp": 100, "level": 2},
        {"aiId": "2", "personaId": 2, "aiName": "Basil", "exp": 5, "level": 1},
    ]
    assert (await service.get(f"{ROOM}/members", token=mint("43"))).json[0]["exp"] == 0
