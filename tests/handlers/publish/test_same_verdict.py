"""One body, whichever way it comes: the same verdict, and the same data for its readers."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sse_push.events.json_text import HALF_PAIR, MAX_DEPTH, TOO_DEEP
from tests.conftest import Service, Start, mint

PUBLISHER = mint("publisher", "service")
NDJSON = {"Content-Type": "application/x-ndjson"}
DEEPEST = "[" * MAX_DEPTH + "]" * MAX_DEPTH

Way = Callable[[Service, bytes], Awaitable[tuple[bool, list[str]]]]


async def _post(service: Service, body: bytes, **headers: str) -> tuple[bool, list[str]]:
    answer = await service.post("/v1/events", token=PUBLISHER, data=body, headers=headers)
    if answer.status == 200:
        return True, []
    assert answer.status in (400, 422), answer.body
    return False, [fault["detail"] for fault in answer.json.get("errors", [])]


async def _alone(service: Service, body: bytes) -> tuple[bool, list[str]]:
    return await _post(service, body)


async def _with_a_key(service: Service, body: bytes) -> tuple[bool, list[str]]:
    return await _post(service, body, **{"Idempotency-Key": f"key-{hash(body)}"})


async def _in_a_list(service: Service, body: bytes) -> tuple[bool, list[str]]:
    return await _post(service, b"[%b]" % body)


async def _beside_what_is_read_with_care(service: Service, body: bytes) -> tuple[bool, list[str]]:
    return await _post(service, b'[%b,{"user_id":"nobody","data":0}]' % body)


async def _in_a_line(service: Service, body: bytes) -> tuple[bool, list[str]]:
    answer = await service.post("/v1/events", token=PUBLISHER, data=body, headers=NDJSON)
    [line] = map(json.loads, answer.body.splitlines())
    return "id" in line, [] if "id" in line else line["error"].split("; ")


WAYS = [_alone, _with_a_key, _in_a_list, _beside_what_is_read_with_care, _in_a_line]


@pytest.mark.parametrize(
    "data",
    ["1.10", "-0", "1e999", "9" * 5000, '{"a":1,"a":2}', '["\\u0041\\/"]', '"\\u0000"', '{"\\u0000":1}', DEEPEST, "null", '""'],
    ids=lambda data: data[:20],
)  # fmt: skip
async def test_data_is_taken_every_way_and_read_as_it_came(start: Start, data: str) -> None:
    service = await start()
    stream = await service.open("/v1/app/sse/42", token=mint("42"))
    for way in WAYS:
        assert await way(service, b'{"userId":"42","data":%b}' % data.encode()) == (True, [])

    read = [(await stream.event()).data for _ in WAYS]

    assert read == [json.loads(data) if data[0] == '"' else data] * len(WAYS)


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b'{"userId":"42","data":"\\ud83d"}', [HALF_PAIR]),
        (b'{"userId":"\\ude00","data":1}', [HALF_PAIR]),
        (b'{"userId":"42","data":1,"event":"\\ud83d"}', [HALF_PAIR]),
        (b'{"userId":"42","data":[%b]}' % DEEPEST.encode(), None),
        (b'{"userId":"42","data":%b}' % (b"[" * 987 + b"]" * 987), None),
        (b'{"userId":"42","data":%b}' % (b'{"a":' * 5000 + b"1" + b"}" * 5000), None),
        (b'{"userId":"42","data":NaN}', []),
        (b'{"userId":"42","data":-Infinity}', []),
        (b'{"userId":"42","data":"\xff"}', []),
        (b'{"userId":"42","data":"\x00"}', []),
        (b'{"userId":"42","data":1}}', []),
        (b'{"userId":"42","data":1},', []),
        (b'{"userId":"42"', []),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_body_that_is_refused_one_way_is_refused_every_way(
    start: Start, body: bytes, details: list[str] | None
) -> None:
    service = await start()
    for way in WAYS:
        taken, told = await way(service, body)
        assert not taken, way.__name__
        if details is None:
            assert all(TOO_DEEP in detail for detail in told) and told, way.__name__
        elif details:
            assert told == details, way.__name__
    assert service.node.engine.head == 0


async def test_faults_of_every_kind_are_told_at_once_each_with_its_place(start: Start) -> None:
    service = await start()
    good: dict[str, Any] = {"userId": "42", "data": 1}
    events = [
        good,
        {**good, "data": "x" * 70_000},
        {"data": 1},
        {**good, "topic": "system"},
        {**good, "key": ""},
        good,
        {**good, "topic": "nothing", "broadcast": True, "data": "x" * 70_000},
        {**good, "what": 1},
    ]
    body = json.dumps(events)[
        :-1
    ].encode() + b',{"userId":"42","data":"\\ud83d"},{"userId":"42","data":%b},1]' % (b"[" * 500 + b"]" * 500)

    answer = await service.post("/v1/events", token=PUBLISHER, data=body)

    assert answer.status == 422
    assert [fault["index"] for fault in answer.json["errors"]] == [1, 2, 3, 4, 6, 6, 6, 7, 8, 9, 10]
    assert service.node.engine.head == 0


async def test_faults_of_a_list_of_good_form_are_all_told(start: Start) -> None:
    service = await start()
    events = [
        {"userId": "42", "data": "x" * 70_000, "broadcast": True},
        {"userId": "42", "data": 1, "topic": "system"},
    ]

    answer = await service.post("/v1/events", token=PUBLISHER, json=events)

    assert [fault["index"] for fault in answer.json["errors"]] == [0, 0, 1]


async def test_no_more_than_a_hundred_faults_are_told(start: Start) -> None:
    service = await start()
    for event in ({"data": 1}, {"what": 1}):
        answer = await service.post("/v1/events", token=PUBLISHER, json=[event] * 500)

        assert (answer.status, len(answer.json["errors"])) == (422, 100)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/app/push", '{"message":"hi","userId":42,"more":%s}'),
        ("POST", "/realtime/update", '{"entityType":"t","entityId":"1","action":"created","data":%s}'),
        ("PUT", "/functions", '{"method":"redirectClient","params":{"input":{"clientId":"1","url":"https://x"}},"context":%s}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("value", "detail"),
    [('"\\ud83d"', "half of a surrogate pair"), ("[" * 100_000 + "]" * 100_000, TOO_DEEP)],
    ids=["half", "deep"],
)
async def test_command_refuses_what_no_event_may_hold(
    start: Start, method: str, path: str, body: str, value: str, detail: str
) -> None:
    service = await start(max_event_bytes=2**19)

    answer = await service.call(method, path, token=PUBLISHER, data=body % value)

    assert detail in answer.body.decode()
    assert answer.status == (200 if path == "/functions" else 422)


@pytest.mark.parametrize(
    "value", ["1.10", "1e999", "9" * 5000, '{"a":1,"a":2}'], ids=lambda value: value[:20]
)
async def test_command_passes_on_what_came(start: Start, value: str) -> None:
    service = await start()
    app = await service.open("/v1/app/sse/42", token=mint("42"))
    realtime = await service.open("/realtime/stream?entityType=t", token=mint("42"))

    pushed = '{"message":"hi","userId":42,"more":%s}' % value
    await service.post("/v1/app/push", token=PUBLISHER, data=pushed)
    updated = '{"entityType":"t","entityId":"1","action":"created","data":%s' % value
    await service.post("/realtime/update", token=PUBLISHER, data=updated + "}")

    assert (await app.event()).data == pushed
    assert (await realtime.event()).data.startswith(updated + ',"timestamp":')


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/events", b'{"userId":"42","data":1}'),
        ("/v1/events", b'[{"userId":"42","data":1}]'),
        ("/v1/app/push", b'{"message":"hi","userId":42}'),
        ("/chat/send", b'{"roomId":"general","message":"hi"}'),
    ],
)
async def test_byte_order_mark_before_a_body_is_passed_over(start: Start, path: str, body: bytes) -> None:
    service = await start()

    assert (await service.post(path, token=PUBLISHER, data=b"\xef\xbb\xbf" + body)).status == 200


async def test_byte_order_mark_before_lines_is_passed_over(start: Start) -> None:
    service = await start()
    line = b'{"userId":"42","data":1}\n'

    answer = await service.post(
        "/v1/events", token=PUBLISHER, data=b"\xef\xbb\xbf" + line * 2, headers=NDJSON
    )

    assert [*map(json.loads, answer.body.splitlines())] == [
        {"id": f"{service.node.engine.epoch}-{number}"} for number in (1, 2)
    ]
