"""What a line is: blank ones, pieces, one without an end, one that is too long."""

import pytest

from tests.conftest import Service, Start
from tests.handlers.ndjson.publisher import Lines, answers_to, event_line


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 0),
        (b"\n\n\r\n  \n", 0),
        (event_line() + b"\n" + event_line(), 2),
        (event_line().rstrip(), 1),  # the last line may lack its end
        (event_line().rstrip() + b"\r\n" + event_line(), 2),
    ],
)
async def test_blank_lines_are_no_events(service: Service, body: bytes, count: int) -> None:
    assert len(await answers_to(service, body)) == count


async def test_line_may_come_in_pieces(service: Service) -> None:
    lines = await Lines(service).open()
    whole = event_line("in pieces") + event_line("another")

    for position in range(0, len(whole), 5):
        lines.say(whole[position : position + 5])
    lines.end()

    assert "id" in await lines.answer()
    assert "id" in await lines.answer()
    assert await lines.over()


@pytest.mark.parametrize("ended", [True, False], ids=["with an end", "without an end"])
async def test_line_that_is_too_long_is_refused_and_the_next_is_not(start: Start, ended: bool) -> None:
    service = await start(max_event_bytes=1024)
    long = b"x" * 1_000_000
    body = event_line() + long + (b"\n" + event_line() if ended else b"")

    answers = await answers_to(service, body)

    assert [list(answer) for answer in answers] == [["id"], ["error"], ["id"]][: 3 if ended else 2]


async def test_stream_of_lines_is_not_bound_by_the_limit_of_bodies(start: Start) -> None:
    service = await start(max_body_bytes=1024)

    assert len(await answers_to(service, event_line() * 200)) == 200
