"""A turn of group chat over HTTP: what the caller gets, what the room gets, what is refused."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.group_chat.frames import DONE
from tests.conftest import DEADLINE_S, Listen, OpenStream, Service, Start, mint, until
from tests.model_server import SECRET, SILENT, ModelServer

ROOM = "/api/chat/rooms/general"
PERSONAS = """
[[persona]]
id = 1
name = "Ada"
prompt = "You are Ada."
model = "ada"

[[persona]]
id = 7
name = "Basil"
prompt = "You are Basil."
model = "basil"
"""


def said(message: str = "hello", sender: Any = "42", **more: Any) -> dict[str, Any]:
    return {"message": message, "sender": sender, "userName": "Ada L", **more}


async def turn(
    service: Service, path: str = f"{ROOM}/group-sse", token: str | None = None, **more: Any
) -> OpenStream:
    """Begin a turn; its first frame is not read yet."""
    async with asyncio.timeout(DEADLINE_S):
        response = await service.client.post(
            path, json=said(**more), headers={"Authorization": f"Bearer {token or mint('42')}"}
        )
    assert response.status == 200, await response.read()
    return OpenStream(response)


async def whole(stream: OpenStream) -> list[Any]:
    """The data of all frames of a turn; the last is not JSON."""
    frames = [frame.data for frame in await stream.rest() if frame.comment is None]
    assert frames[-1] == "[DONE]"
    return [json.loads(data) for data in frames[:-1] if data is not None]


@pytest.fixture
def with_model(start: Start, model_server: ModelServer, tmp_path: Path) -> Callable[..., Awaitable[Service]]:
    """Starts a service whose two personas speak by *model_server*."""
    path = tmp_path / "personas.toml"
    path.write_text(PERSONAS)

    async def starting(**settings: Any) -> Service:
        return await start(ai_base_url=model_server.url, ai_api_key=SECRET, personas_file=path, **settings)

    return starting


# -- the frames ----------------------------------------------------------------------------------------


async def test_turn_has_its_frames_in_order(start: Start) -> None:
    service = await start()
    before = time.time()

    stream = await turn(service, message="How are you?")
    assert stream.headers["Content-Type"] == "text/event-stream"
    frames = await whole(stream)

    assert [frame["type"] for frame in frames] == [
        "user_message", "ai_response", "ai_response", "exp_updated", "exp_updated", "complete",
    ]  # fmt: skip
    first, one, two, exp, _, complete = frames
    assert list(first) == ["type", "content", "sender", "senderId", "timestamp"]
    assert (first["content"], first["sender"], first["senderId"]) == ("How are you?", "Ada L", "42")
    assert list(one) == ["type", "content", "aiName", "aiId", "personaId", "timestamp"]
    assert {(frame["aiName"], frame["aiId"], frame["personaId"]) for frame in (one, two)} == {
        ("Ada", "1", 1), ("Basil", "2", 2),
    }  # fmt: skip
    assert "scripted" in one["content"] and "scripted" in two["content"]
    assert exp == {
        "type": "exp_updated", "personaId": 1, "personaName": "Ada", "newExp": 5, "newLevel": 1,
        "expIncrease": 5, "userId": "42",
    }  # fmt: skip
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
    await until(lambda: begun.earned)

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

    [exp, _] = [frame for frame in await whole(await turn(service)) if frame["type"] == "exp_updated"]

    assert (exp["newExp"], exp["newLevel"]) == (100, 2)
    members = await service.get(f"{ROOM}/members", token=mint("42"))
    assert members.json == [
        {"aiId": "1", "personaId": 1, "aiName": "Ada", "exp": 100, "level": 2},
        {"aiId": "2", "personaId": 2, "aiName": "Basil", "exp": 5, "level": 1},
    ]
    assert (await service.get(f"{ROOM}/members", token=mint("43"))).json[0]["exp"] == 0


# -- the room ------------------------------------------------------------------------------------------


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


# -- who may, and how many -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "token", "body", "status"),
    [
        (ROOM, None, said(), 401),
        (ROOM, "bad", said(), 401),
        (ROOM, mint("43"), said(), 403),
        ("/api/chat/rooms/closed", mint("42"), said(), 403),
        ("/api/chat/rooms/" + "r" * 129, mint("42"), said(), 400),
        (ROOM, mint("42"), said(""), 422),
        (ROOM, mint("42"), {"message": "m", "sender": "42"}, 422),
        (ROOM, mint("42"), said(role="admin"), 422),
        (ROOM, mint("42"), said("m" * 16_385), 422),
    ],
)
async def test_bad_turn_is_a_problem_document_and_tells_nobody(
    start: Start, path: str, token: str | None, body: dict[str, Any], status: int
) -> None:
    service = await start()
    head = service.node.engine.head

    answer = await service.post(f"{path}/group-sse", token=token, json=body)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert service.node.engine.head == head
    assert len(service.node.connections) == 0


async def test_sender_may_be_a_number(start: Start) -> None:
    frames = await whole(await turn(await start(), sender=42))

    assert frames[0]["senderId"] == "42"


async def test_members_are_for_those_allowed_in_the_room(start: Start) -> None:
    service = await start()

    assert (await service.get(f"{ROOM}/members")).status == 401
    assert (await service.get("/api/chat/rooms/closed/members", token=mint("42"))).status == 403


async def test_turns_count_in_the_connection_limits(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(max_connections_per_user=1)
    model_server.answers = {"ada": SILENT}
    stream = await turn(service)
    head = service.node.engine.head

    refused = await service.post(f"{ROOM}/group-sse", token=mint("42"), json=said())
    open_now = (await service.get("/system/status")).json["connections"]
    model_server.release.set()
    await stream.rest()

    assert (refused.status, refused.json["limit"]) == (429, "user")
    assert open_now["byStream"]["group"] == 1
    assert service.node.engine.head == head + 2  # the two answers: nothing of the refused
    await until(lambda: len(service.node.connections) == 0)


# -- how a turn ends -----------------------------------------------------------------------------------


async def test_heartbeats_go_on_beneath(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(heartbeat_s=0.1)
    model_server.answers = {"ada": SILENT}

    stream = await turn(service)
    while (await stream.next()).comment != "hb":
        pass
    model_server.release.set()

    assert (await whole(stream))[-1]["type"] == "complete"


async def test_turn_ends_with_its_token(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    now = time.time()
    service = await with_model(clock=lambda: now, heartbeat_s=0.5)
    model_server.answers = {"ada": SILENT, "basil": SILENT}

    stream = await turn(service, token=mint("42", lifetime=30))
    await stream.next()
    now += 31
    expired, done = [frame for frame in await stream.rest() if frame.comment is None]

    assert expired.event == "sse.expired"
    assert done.data == "[DONE]"


async def test_drain_lets_a_turn_end(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(shutdown_s=10)
    model_server.answers = {"ada": SILENT}
    stream = await turn(service)
    await stream.next()

    draining = asyncio.create_task(service.node.drain())
    await until(lambda: not service.node.connections.accepting)
    refused = await service.post(f"{ROOM}/group-sse", token=mint("42"), json=said())
    model_server.release.set()

    assert refused.status == 503
    assert (await whole(stream))[-1]["type"] == "complete"
    await draining


async def test_drain_ends_a_turn_that_takes_too_long(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(shutdown_s=1)
    model_server.answers = {"ada": SILENT, "basil": SILENT}
    stream = await turn(service)

    _, frames = await asyncio.gather(service.node.drain(), whole(stream))

    assert [frame["type"] for frame in frames] == ["user_message", "timeout"]


async def test_full_queue_is_told_in_the_turn(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    service = await with_model(max_waiting_jobs=2, ai_worker_concurrency=0, shutdown_s=1)

    waiting = await turn(service)
    frames = await whole(await turn(service))
    waiting.close()

    assert [frame["type"] for frame in frames] == ["user_message", "error", "error", "complete"]


async def test_client_that_left_before_its_stream_began_still_asks(listen: Listen) -> None:
    service = await listen()
    body = json.dumps(said()).encode()
    peer = await service.connect()
    await peer.send(
        b"POST /api/chat/rooms/general/group-sse HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (mint("42").encode(), len(body), body)
    )
    peer.abort()

    await until(lambda: service.node.engine.head in (0, 3) and len(service.node.connections) == 0)


async def test_database_away_costs_the_exp_and_nothing_else(
    start: Start, logged: list[dict[str, Any]]
) -> None:
    service = await start(database_url="postgresql://nobody@127.0.0.1:1/nothing")

    frames = await whole(await turn(service))

    assert [frame["type"] for frame in frames] == ["user_message", "ai_response", "ai_response", "complete"]
    assert [line for line in logged if line["event"] == "group_chat.award_failed"]
    assert (await service.get(f"{ROOM}/members", token=mint("42"))).status == 503


async def test_worst_of_readers_is_cut(
    with_model: Callable[..., Awaitable[Service]], model_server: ModelServer
) -> None:
    """What waits for a turn's reader is bounded as for any stream."""
    service = await with_model(slow_reader_bytes=16 * 1024, max_event_bytes=8 * 1024)
    model_server.answers = {"ada": SILENT, "basil": SILENT}
    stream = await turn(service)
    [connection] = list(service.node.connections)

    connection.transport.pause_reading()
    connection.send(b"data: " + b"x" * 2**24 + b"\n\n")

    with pytest.raises(aiohttp.ClientPayloadError):
        await stream.rest()
    assert service.node.connections.closed_by_reason["slow_reader"] == 1
