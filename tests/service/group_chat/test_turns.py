"""A turn whose answers can't be told to the room when they come: the store is away just then."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from events.errors import EngineUnavailable
from service.database import Database
from service.group_chat.experience import Experience
from service.group_chat.jobs import Job, Result
from service.group_chat.personas import load_personas
from service.group_chat.queue import Done, JobQueue, Outcome
from service.group_chat.rooms import Rooms
from service.group_chat.turn import Said
from service.group_chat.turns import GroupChat
from tests.conftest import until


class Pile(JobQueue):
    """Jobs that nobody does; the test says what became of them."""

    def __init__(self, *, tells_again: bool) -> None:
        self.tells_again = tells_again
        self.jobs: list[Job] = []

    async def start(self, done: Done) -> None: ...

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        return 0

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None: ...

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        return []

    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        self.jobs += jobs

    async def close(self) -> None: ...


class Deaf:
    """Rooms that can't be told answers while :attr:`away`."""

    away = True

    def __init__(self) -> None:
        self.told: list[str] = []

    async def history(self, room: str) -> list[Any]:
        return []

    def join(self, room: str) -> None: ...

    async def tell(self, *said: object) -> None: ...

    async def answer(self, job: Job, result: Result, at: float) -> None:
        if self.away:
            raise EngineUnavailable("events can't be kept now")
        self.told.append(result.content)


class Reader:
    """A caller; what it got, until the turn's end."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = ""

    def send(self, frames: bytes) -> None:
        self.got += frames

    def end(self, reason: str, farewell: bytes = b"") -> None:
        self.got += farewell
        self.ended = reason


@pytest.mark.parametrize(
    "tells_again", [True, False], ids=["queue that outlives us", "queue of this process"]
)
async def test_caller_waits_for_an_answer_that_is_told_again(
    tmp_path: Path, tells_again: bool, logged: list[dict[str, Any]]
) -> None:
    charged: list[tuple[str, int]] = []
    queue, rooms, reader = Pile(tells_again=tells_again), Deaf(), Reader()
    database = Database(f"sqlite:///{tmp_path}/accounts.db", tmp_path)
    chat = GroupChat(
        load_personas(None),
        queue,
        cast(Rooms, rooms),
        Experience(database),
        timeout=60,
        charge=lambda user, size: charged.append((user, size)),
        clock=lambda: 0.0,
    )
    turn = await chat.say(Said("general", "42", "ada", "hello"), "ada")
    chat.caller_came(turn, reader)
    chat.ask(turn)
    await until(lambda: len(queue.jobs) == 2)

    late = [await chat.done(job, Result(content="hi")) for job in queue.jobs]
    lost = [line["event"] for line in logged if line["event"].startswith("group_chat.answer_")]
    assert late == [Outcome.NOT_PUBLISHED] * 2
    assert lost == ["group_chat.answer_delayed" if tells_again else "group_chat.answer_lost"] * 2
    assert (reader.got.count(b'"error"'), reader.ended) == ((0, "") if tells_again else (2, "complete"))
    rooms.away = False
    assert [await chat.done(job, Result(content="hi")) for job in queue.jobs] == [Outcome.COMPLETE] * 2

    assert charged == [("42", 2)] * 2, "once for each answer, when all is seen to"
    assert (rooms.told, reader.ended) == (["hi", "hi"], "complete")
    assert reader.got.count(b'"ai_response"') == (2 if tells_again else 0)
    await chat.close()
    await database.close()
