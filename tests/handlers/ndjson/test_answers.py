"""Each line has its answer, in order, while the request goes on: an id, or an error where it stands."""

import sqlite3
from typing import Any

import aiohttp
import pytest

from sse_push.events.receipts import FutureReceipt
from tests.conftest import Service, mint, until
from tests.handlers.ndjson.publisher import Lines, answers_to, event_line


async def test_each_line_is_answered_while_the_request_goes_on(service: Service) -> None:
    lines = await Lines(service).open()

    ids = []
    for number in range(3):
        lines.say(event_line(number))
        ids.append((await lines.answer())["id"])
    lines.end()

    assert [int(id_.partition("-")[2]) for id_ in ids] == [1, 2, 3]
    assert await lines.over()


async def test_client_library_sees_the_answers(service: Service) -> None:
    """aiohttp's client reads while it sends, as a publisher in the field would."""
    lines = await Lines(service).open()
    for _ in range(50):
        lines.say(event_line())
    lines.end()

    answers = [await lines.answer() for _ in range(50)]

    assert len({answer["id"] for answer in answers}) == 50
    assert isinstance(lines.response, aiohttp.ClientResponse)


async def test_answers_come_in_the_order_of_the_lines(service: Service) -> None:
    stream = await service.open("/v1/app/sse/42", token=mint("42"))

    answers = await answers_to(service, b"".join(event_line(number) for number in range(500)))

    events = await stream.events(500)
    assert [answer["id"] for answer in answers] == [event.id for event in events]
    assert [event.data for event in events] == [str(number) for number in range(500)]


async def test_answer_is_not_held_back_by_the_one_behind_it(
    service: Service, receipts: list[FutureReceipt]
) -> None:
    lines = await Lines(service).open()
    lines.say(event_line() * 3)
    await until(lambda: len(receipts) == 3)
    receipts[1].set_result(["second"])
    receipts[0].set_result(["first"])

    assert [await lines.answer(), await lines.answer()] == [{"id": "first"}, {"id": "second"}]
    receipts[2].set_result(["third"])
    assert await lines.answer() == {"id": "third"}
    lines.end()


async def test_bad_lines_are_answered_where_they_stand(service: Service) -> None:
    bad = [
        b"{\n",
        b"hello\n",
        b"[]\n",
        b'{"data":1}\n',
        b'{"userId":"","data":1}\n',
        event_line(topic="nothing"),
        b'{"topic":"presence","broadcast":true,"data":1}\n',
        event_line("x" * 70_000),
        b'{"userId":"42","data":NaN}\n',
        b'{"userId":"42","data":"\xff"}\n',
        event_line(event="a\nb"),
    ]

    answers = await answers_to(
        service, b"".join(good + line for line in bad for good in [event_line()]) + event_line()
    )

    assert [list(answer) for answer in answers] == [["id"], ["error"]] * len(bad) + [["id"]]
    assert all(answer["error"] for answer in answers if "error" in answer)
    assert service.node.engine.head == len(bad) + 1


async def test_key_of_a_line_publishes_once(service: Service) -> None:
    first, second, other = await answers_to(
        service, event_line(key="k") + event_line(key="k") + event_line(key="other")
    )

    assert first == second != other


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("bad", 401), (mint("42"), 403)])
async def test_lines_are_for_services_and_admins(service: Service, token: str | None, status: int) -> None:
    answer = await service.post(
        "/v1/events", token=token, data=event_line(), headers={"Content-Type": "application/x-ndjson"}
    )

    assert answer.status == status


async def test_store_that_fails_is_an_error_of_each_line(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(service.node.engine._store, "append", full)  # type: ignore[attr-defined]
        refused = await answers_to(service, event_line() * 3)
    kept = await answers_to(service, event_line())

    assert [(list(answer), answer["outcome"]) for answer in refused] == [
        (["error", "outcome"], "not_published")
    ] * 3
    assert "disk" not in str(refused)
    assert "id" in kept[0]


async def test_node_that_goes_away_answers_what_it_has_read(service: Service) -> None:
    lines = await Lines(service).open()
    lines.say(event_line() * 3)
    first = await lines.answer()

    await service.node.drain()

    assert "id" in first
    assert "id" in await lines.answer()
    assert "id" in await lines.answer()
    assert await lines.over()
    lines.end()


async def test_key_used_for_something_else_is_an_error_of_its_line_only(service: Service) -> None:
    lines = [event_line(1, key="k"), event_line(2, key="k"), event_line(1, key="k"), event_line(3)]

    first, refused, again, last = await answers_to(service, b"".join(lines))

    assert "idempotency key" in refused["error"]
    assert first == again
    assert "id" in last
    assert service.node.engine.head == 2
