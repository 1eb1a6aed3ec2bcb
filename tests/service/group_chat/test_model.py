"""A language model behind a real HTTP server: what it is sent, and everything that can go wrong with it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.jobs import MAX_ANSWER_CHARS, HistoryMessage
from sse_push.service.group_chat.model import ChatModel, prompt
from tests.model_server import BREAK, ENDLESS, SECRET, SILENT, ModelServer
from tests.service.group_chat.fakes import job

Open = Callable[..., Awaitable[ChatModel]]


@pytest.fixture
async def open_model(model_server: ModelServer) -> AsyncIterator[Open]:
    opened: list[ChatModel] = []

    async def opening(url: str | None = None, timeout: float = 5.0) -> ChatModel:
        model = ChatModel(base_url=url or model_server.url, key=SECRET, model="default", timeout=timeout)
        opened.append(model)
        await model.start()
        return model

    yield opening
    for model in opened:
        await model.close()


async def test_answer_is_put_together_from_its_stream(open_model: Open, model_server: ModelServer) -> None:
    model = await open_model()
    model_server.answers = {"default": "zwölf Boxkämpfer jagen"}

    assert (await model.complete(job("hello"))).strip() == "zwölf Boxkämpfer jagen"
    [asked] = model_server.asked
    assert (asked["model"], asked["stream"]) == ("default", True)
    assert model_server.keys == [f"Bearer {SECRET}"]


async def test_persona_may_name_its_own_model(open_model: Open, model_server: ModelServer) -> None:
    model = await open_model()

    assert (await model.complete(job("hello", model="its own"))).startswith("its own heard: ada: hello")


def test_prompt_tells_who_it_is_and_what_was_said() -> None:
    history = (
        HistoryMessage(name="ben", content="hi"),
        HistoryMessage(name="Ada", content="hello, ben", own=True),
    )

    about, *said = prompt(job("and I?").model_copy(update={"history": history}))

    assert about["role"] == "system"
    assert about["content"].startswith("You are Ada.") and "'general'" in about["content"]
    assert said == [
        {"role": "user", "content": "ben: hi"},
        {"role": "assistant", "content": "hello, ben"},
        {"role": "user", "content": "ada: and I?"},
    ]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
async def test_refusal_fails_and_its_text_goes_nowhere(
    open_model: Open, model_server: ModelServer, logged: list[dict[str, Any]], status: int
) -> None:
    model = await open_model()
    model_server.answers = {"default": status}

    with pytest.raises(AnswerFailed) as raised:
        await model.complete(job())

    assert len(model_server.asked) == (2 if status in (429, 500) else 1)
    [line] = logged
    assert (line["event"], line["status"]) == ("model.failed", status)
    assert SECRET not in repr(logged) + repr(raised.value) + repr(raised.value.__context__)


async def test_answer_that_breaks_off_fails(open_model: Open, model_server: ModelServer) -> None:
    model = await open_model()
    model_server.answers = {"default": BREAK}

    with pytest.raises(AnswerFailed):
        await model.complete(job())


async def test_answer_without_an_end_is_cut(open_model: Open, model_server: ModelServer) -> None:
    model = await open_model()
    model_server.answers = {"default": ENDLESS}

    assert MAX_ANSWER_CHARS <= len(await model.complete(job())) < 2 * MAX_ANSWER_CHARS


async def test_silent_model_is_given_up(
    open_model: Open, model_server: ModelServer, logged: list[dict[str, Any]]
) -> None:
    model = await open_model(timeout=0.2)
    model_server.answers = {"default": SILENT}

    with pytest.raises(AnswerFailed):
        await model.complete(job())

    assert logged[0]["error"] in ("timeout", "APITimeoutError")


async def test_model_that_is_away_fails(open_model: Open, logged: list[dict[str, Any]]) -> None:
    model = await open_model("http://127.0.0.1:1/v1")

    with pytest.raises(AnswerFailed):
        await model.complete(job())

    assert logged[0]["error"] == "APIConnectionError"


async def test_cancelled_answer_is_cancelled(open_model: Open, model_server: ModelServer) -> None:
    model = await open_model()
    model_server.answers = {"default": SILENT}
    task = asyncio.create_task(model.complete(job()))
    while not model_server.asked:
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_client_libraries_are_not_imported_before_they_are_wanted() -> None:
    code = "import sys, handlers.app, cli.worker; print({'openai', 'bullmq', 'redis', 'sqlalchemy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
