"""What a worker does with a job: a script, the cache, a model."""

import pytest

from sse_push.events.errors import AnswerFailed
from sse_push.service.group_chat.jobs import MAX_ANSWER_CHARS, Job
from sse_push.service.group_chat.responder import CACHED_ANSWERS, Responder
from tests.conftest import Clock
from tests.service.group_chat.fakes import job


class Echo:
    """A model that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.says: str | None = None

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def complete(self, job: Job) -> str:
        self.asked += 1
        return f"{self.asked}: {job.message}" if self.says is None else self.says


async def test_persona_without_model_says_that_it_is_scripted() -> None:
    answer = (await Responder(None, cache_s=0).answer(job("hello"))).content

    assert "scripted" in answer and "Ada" in answer and "5 characters" in answer


async def test_replies_are_said_instead_of_asking_the_model() -> None:
    model = Echo()
    answers = Responder(model, cache_s=0)

    said = {(await answers.answer(job(str(n), replies=("Ding.", "Dong.")))).content for n in range(20)}

    assert said == {"[scripted] Ding.", "[scripted] Dong."}
    assert model.asked == 0


async def test_equal_questions_are_asked_again_by_default() -> None:
    model = Echo()
    answers = Responder(model, cache_s=0)

    assert [(await answers.answer(job("hi"))).content for _ in range(2)] == ["1: hi", "2: hi"]


async def test_equal_questions_are_answered_from_the_cache_for_its_time() -> None:
    model, clock = Echo(), Clock()
    answers = Responder(model, cache_s=60, clock=clock)

    said = [(await answers.answer(job(text))).content for text in ("What is it?", " what  IS it? ")]
    clock.advance(61)
    later = (await answers.answer(job("What is it?"))).content

    assert said == ["1: What is it?"] * 2
    assert later == "2: What is it?"


@pytest.mark.parametrize("other", [{"persona": 2}, {"model": "other"}])
async def test_cache_keeps_personas_apart(other: dict[str, object]) -> None:
    model = Echo()
    answers = Responder(model, cache_s=60)

    await answers.answer(job("hi"))
    await answers.answer(job("hi", **other))  # type: ignore[arg-type]

    assert model.asked == 2


async def test_cache_keeps_rooms_apart() -> None:
    """An answer may tell of what was said in its room."""
    model = Echo()
    answers = Responder(model, cache_s=60)

    await answers.answer(job("hi"))
    await answers.answer(job("hi").model_copy(update={"room_id": "another"}))

    assert model.asked == 2


async def test_cache_forgets_the_oldest_when_it_is_full() -> None:
    model = Echo()
    answers = Responder(model, cache_s=60)
    for number in range(CACHED_ANSWERS + 1):
        await answers.answer(job(f"question {number}"))

    await answers.answer(job(f"question {CACHED_ANSWERS}"))
    assert model.asked == CACHED_ANSWERS + 1
    await answers.answer(job("question 0"))
    assert model.asked == CACHED_ANSWERS + 2


async def test_answer_is_cut_and_an_empty_one_is_none() -> None:
    model = Echo()
    answers = Responder(model, cache_s=60)
    model.says = " " + "x" * (2 * MAX_ANSWER_CHARS)

    assert (await answers.answer(job("long"))).content == "x" * MAX_ANSWER_CHARS

    model.says = " \n "
    with pytest.raises(AnswerFailed):
        await answers.answer(job("empty"))
