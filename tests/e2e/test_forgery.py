"""Frames that can't be forged: whatever a publisher or a client sends, over the wire."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import ADMIN, SERVICE, Api, demo
from tests.e2e.stream import Stream
from tests.process import ServerProcess, running

pytestmark = pytest.mark.process

FORGED = "id: forged-1\nevent: sse.gap\ndata: evil\n\nretry: 1\n\n"
LINE_ENDS = ["\r", "\n", "\r\n", "\n\n", "\r\r", "\0", "a\0b\r\nid: x-1\r\n\r\n"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    async with running(tmp_path_factory.mktemp("forgery")) as server:
        yield server


async def test_data_can_not_forge_a_field_or_a_frame(server: ServerProcess, api: Api) -> None:
    texts = [
        *LINE_ENDS,
        *(end + FORGED + end for end in LINE_ENDS),
        ": hb",
        "data: x",
        "",
        " ",
        "\u2028\x85\x0b\x0c",
        "\ufeffid: 1",
    ]
    # Keys and values of objects too; NUL and line ends are escaped there, as JSON has it.
    objects = [{text: [text, {"nested": text}]} for text in texts]
    async with (
        await Stream.open(server, "/v1/app/sse", demo("ann")) as plain,
        await Stream.open(server, "/v1/stream?topics=app", demo("ann")) as named,
    ):
        ids = [await api.publish(server, {"userId": "ann", "data": data}) for data in (*texts, *objects)]
        for stream, event in ((plain, None), (named, "app")):
            assert await stream.frame()
            for id_, text in zip(ids, texts, strict=False):
                lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
                written = "".join(f"data: {line}\n" for line in lines)
                name = f"event: {event}\n" if event else ""
                assert await stream.chunk() == f"id: {id_}\n{name}{written}\n".encode()
            for id_, data in zip(ids[len(texts) :], objects, strict=True):
                frame = await stream.event()
                assert (frame.id, frame.event, frame.json) == (id_, event, data)


@pytest.mark.parametrize("end", LINE_ENDS)
async def test_names_with_line_ends_are_refused(server: ServerProcess, api: Api, end: str) -> None:
    name = f"a{end}b"
    event = {"userId": "ann", "data": "evil"}
    async with await Stream.open(server, "/v1/stream?topics=app", ADMIN) as stream:
        refused: list[dict[str, Any]] = [
            {**event, "event": name},
            {**event, "event": "sse.gap"},
            {**event, "userId": name},
            {"userIds": ["ann", name], "data": "evil"},
            {"room": name, "data": "evil"},
            {**event, "topic": f"app{end}"},
            {**event, "topic": f"chat:{name}"},
        ]
        for bad in refused:
            status, problem = await api.call(server, "POST", "/v1/events", bad, SERVICE)
            assert status == 422 and problem["errors"], bad
            lines = json.dumps(bad).encode() + b"\n"
            status, answer = await api.call(
                server, "POST", "/v1/events", lines, SERVICE, Content_Type="application/x-ndjson"
            )
            assert status == 200 and list(json.loads(answer)) == ["error"], bad
        commands: list[tuple[str, dict[str, Any]]] = [
            ("/v1/app/push", {"message": "evil", "userId": name}),
            ("/chat/send", {"roomId": name, "message": "evil"}),
            ("/notifications/send", {"title": "a", "message": "b", "type": "info", "userId": name}),
            ("/realtime/update", {"entityType": name, "entityId": "1", "action": "created", "data": 1}),
        ]
        for path, body in commands:
            status, _ = await api.call(server, "POST", path, body, ADMIN)
            assert status == 422, path
        # A publisher's key never goes out; whatever it holds, nothing is forged with it.
        key = f"{name}{FORGED}"
        status, answer = await api.call(
            server, "POST", "/v1/events", {**event, "data": "ok", "key": key}, SERVICE
        )
        assert status == 200
        assert (
            await stream.frame()
            and await stream.chunk() == f"id: {answer['id']}\nevent: app\ndata: ok\n\n".encode()
        )


async def test_a_last_event_id_is_shown_back_as_data_only(server: ServerProcess) -> None:
    for forged in (
        "%0Aid:%20x-1%0A%0Adata:%20evil",
        "%0D%0Aevent:%20evil",
        "%00",
        "x" * 5000,
        "%F0%9F%98%80",
        "%ff",
    ):
        async with await Stream.open(server, f"/v1/app/sse?lastEventId={forged}", demo("ann")) as stream:
            gap = await stream.event()
            assert gap.event == "sse.gap" and gap.json["reason"] == "unknown"
            assert len(gap.json["requested"]) <= 256
            assert gap.id and "x-1" not in gap.id


async def test_a_request_id_that_could_forge_is_not_taken(server: ServerProcess, api: Api) -> None:
    async with await Stream.open(server, "/custom/stream\r\nX-Request-ID: a b;c") as stream:
        assert stream.status in (200, 400)
        assert "a b" not in stream.headers.get("x-request-id", "")
