"""A request that goes on and on, whose publisher may no more."""

import asyncio
import json
from typing import Any

import pytest

from sse_push.events.errors import DatabaseUnavailable
from sse_push.handlers import ndjson as module
from sse_push.service.identity import Caller
from tests.conftest import DEADLINE_S, Clock, Start, mint
from tests.handlers.ndjson.publisher import Lines, event_line


async def _ends_by(lines: Lines, detail: str) -> bool:
    lines.say(event_line())
    return detail in (await lines.answer())["error"] and await lines.over()


async def test_lines_end_with_the_token(start: Start) -> None:
    clock = Clock()
    service = await start(clock=clock)
    lines = await Lines(service, token=mint("p", "service", lifetime=60)).open()
    lines.say(event_line())
    assert "id" in await lines.answer()

    clock.advance(61)

    assert await _ends_by(lines, "expired")


@pytest.mark.parametrize("change", [{"active": False}, {"role": "user"}, {"password": "another one"}, None])
async def test_lines_end_when_their_publishers_account_changes(
    start: Start, change: dict[str, Any] | None
) -> None:
    clock = Clock()
    service = await start(clock=clock)
    admin = mint("root", "admin")
    new = {"email": "bot@example.com", "password": "a password", "name": "Bot", "role": "service"}
    assert (await service.post("/api/users", token=admin, json=new)).status == 201
    login = {"email": "bot@example.com", "password": "a password"}
    token = (await service.post("/api/auth/login/json", json=login)).json["access_token"]
    lines = await Lines(service, token=token).open()
    lines.say(event_line())
    assert "id" in await lines.answer()

    await service.call("PATCH" if change else "DELETE", "/api/users/1", token=admin, json=change)
    clock.advance(module.CHECK_S)

    assert await _ends_by(lines, "log in again")


async def test_lines_end_where_an_account_cannot_be_checked_and_say_that_nothing_was_published(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start(clock=(clock := Clock()))
    lines = await Lines(service).open()

    async def away(caller: Caller) -> None:
        raise DatabaseUnavailable("the database can't be reached now")

    monkeypatch.setattr(service.node.tokens, "check_again", away)
    clock.advance(module.CHECK_S)
    lines.say(event_line())

    answer = json.loads(await asyncio.wait_for(lines.response.content.readline(), DEADLINE_S))
    assert answer == {
        "error": "the database can't be reached now",
        "outcome": "not_published",
    }
    assert await lines.over()
