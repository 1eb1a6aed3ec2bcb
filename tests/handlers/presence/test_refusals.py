"""Who gets no presence stream, and that nobody publishes to one."""

import pytest

from tests.conftest import Start, mint
from tests.handlers.presence.watching import People, offline, refreshed, token, watch


@pytest.mark.parametrize("path", ["/api/presence/stream", "/v1/stream?topics=app,presence"])
@pytest.mark.parametrize("user", ["77", "ada", "0", "99999999999"])
async def test_user_of_a_valid_token_who_is_unknown_is_not_found(start: Start, path: str, user: str) -> None:
    service = await start()
    answer = await service.get(path, token=mint(user))
    assert (answer.status, answer.json["detail"]) == (404, "User not found")
    assert len(service.node.connections) == 0


@pytest.mark.parametrize("bad", [None, "bad", mint("1", lifetime=-5), mint("1", secret="x" * 32)])
async def test_token_that_is_missing_or_bad_is_invalid(start: Start, bad: str | None) -> None:
    service = await start()
    answer = await service.get("/api/presence/stream", token=bad)
    assert (answer.status, answer.json["detail"]) == (401, "Invalid token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    query = await service.get(f"/api/presence/stream?token={bad or ''}")
    assert query.json["detail"] == "Invalid token"


async def test_stream_over_a_limit_leaves_nobody_online(people: People) -> None:
    service = await people(2, (1, 2), max_connections=1)
    mine, _ = await watch(service, 1)
    refused = await service.get("/api/presence/stream", token=token(2))
    assert refused.status == 429
    assert len(service.node.presence) == 1
    assert await refreshed(service, mine) == {"2": offline(2, None)}


async def test_presence_cannot_be_published_to(start: Start) -> None:
    service = await start()
    event = {"topic": "presence", "userId": "1", "data": 1}
    assert (await service.post("/v1/events", token=mint("p", "service"), json=event)).status == 422
