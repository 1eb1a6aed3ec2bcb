"""``sse-push publish`` where the service does not say, or does not know, whether an event was published."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sse_push.cli import publish


async def published(
    answers: list[tuple[int, dict[str, Any]] | None], event: dict[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """Publish *event* to a service that gives *answers*, one after the other; the status, and what it was sent.

    Args:
        answers: Status and document of each; ``None`` closes the connection without one.
    """
    sent: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(json.loads(await request.read()))
        given = answers[len(sent) - 1]
        if given is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.json_response(given[1], status=given[0])

    app = web.Application()
    app.router.add_post("/v1/events", answer)
    async with TestServer(app) as server:
        status = await publish._publish(str(server.make_url("/v1/events")), {}, event)
    return status, sent


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "RETRY_DELAYS_S", (0, 0, 0))


NOT_PUBLISHED = (503, {"detail": "nothing was published", "outcome": "not_published"})


EVENT = {"userId": "1", "data": 1}
UNKNOWN = (503, {"detail": "not known", "outcome": "unknown"})


@pytest.mark.parametrize("first", [None, UNKNOWN, (504, {}), (500, {"outcome": "unknown"})])
async def test_event_that_may_have_been_published_is_sent_again_with_the_same_key(
    first: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, sent = await published([first, (200, {"id": "e-1"})], {**EVENT})

    assert (status, capsys.readouterr().out) == (0, "e-1\n")
    assert sent[0] == sent[1]
    assert len(sent[0]["key"]) == 36


async def test_key_that_was_given_is_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    status, sent = await published([UNKNOWN, NOT_PUBLISHED, NOT_PUBLISHED], EVENT | {"key": "mine"})

    assert (status, [event["key"] for event in sent]) == (1, ["mine"] * 3)
    assert (
        "an earlier attempt may have published it; --key mine makes a retry safe" in capsys.readouterr().err
    )


@pytest.mark.parametrize("answer", [NOT_PUBLISHED, (422, {"detail": "bad"})])
async def test_event_that_was_surely_not_published_is_not_sent_again(answer: Any) -> None:
    status, sent = await published([answer], {**EVENT})

    assert (status, len(sent)) == (1, 1)
