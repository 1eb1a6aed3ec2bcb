"""Turns when something comes between: the store is away as answers come, a caller leaves between two steps."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from sse_push.events.errors import EngineUnavailable
from sse_push.service.database import Database
from sse_push.service.group_chat import abandoned
from sse_push.service.group_chat.experience import Experience
from sse_push.service.group_chat.jobs import Job, Result
from sse_push.service.group_chat.personas import load_personas
from sse_push.service.group_chat.queue import IsPublished, JobQueue, OnDone, Outcome
from sse_push.service.group_chat.rooms import Rooms
from sse_push.service.group_chat.turn import Turn, TurnRequest
from sse_push.service.group_chat.turns import GroupChat
from tests.conftest import until
from tests.events.fakes import turns


class Pile(JobQueue):
    """Jobs that nobody does; the test says what became of them."""

    def __init__(self, *, redelivers: bool) -> None:
        self.redelivers = redelivers
        self.jobs: list[Job] = []
        self.reserved: set[str] = set()
        self.open = asyncio.Event()  # while it is not set, what is added waits
        self.open.set()

    async def start(self, on_done: OnDone, is_published: IsPublished | None = None) -> None: ...

    async def reserve(self, user_id: str, job_ids: Sequence[str]) -> int:
        self.reserved |= {*job_ids}
        return 0

    async def release(self, user_id: str, job_ids: Sequence[str]) -> None:
        self.reserved -= {*job_ids}

    async def withdraw(self, user_id: str, job_ids: Sequence[str]) -> Sequence[str]:
        withdrawn = [job.id for job in self.jobs if job.id in job_ids]
        self.jobs = [job for job in self.jobs if job.id not in withdrawn]
        await self.release(user_id, withdrawn)
        return withdrawn

    async def add(self, jobs: Sequence[Job], rank: int = 0) -> None:
        await self.open.wait()
        self.jobs += jobs

    async def close(self) -> None: ...


class Deaf:
    """Rooms that can't be told answers while :attr:`away`, and that nobody is in but callers."""

    away = True

    def __init__(self) -> None:
        self.told: list[str] = []
        self.callers = 0
        self.fault: Exception | None = None

    async def history(self, room: str) -> list[Any]:
        return []

    def join(self, room: str) -> None:
        self.callers += 1

    def leave(self, room: str) -> None:
        self.callers -= 1

    async def has_listeners(self, room: str) -> bool:
        return self.callers > 0

    async def post_message(self, *said: object) -> None:
        if self.fault is not None:
            raise self.fault

    async def post_answer(self, job: Job, result: Result, at: float) -> None:
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

    def end(self, reason: str, final_frames: bytes = b"") -> None:
        self.got += final_frames
        self.ended = reason


@pytest.mark.parametrize("redelivers", [True, False], ids=["queue that outlives us", "queue of this process"])
async def test_caller_waits_for_an_answer_that_is_told_again(
    tmp_path: Path, redelivers: bool, logged: list[dict[str, Any]]
) -> None:
    charged: list[tuple[str, int]] = []
    queue, rooms, reader = Pile(redelivers=redelivers), Deaf(), Reader()
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
    turn = await chat.post_message(TurnRequest("general", "42", "ada", "hello"), "ada")
    chat.caller_connected(turn, reader)
    chat.ask_members(turn)
    await until(lambda: len(queue.jobs) == 2)

    late = [await chat.on_done(job, Result(content="hi")) for job in queue.jobs]
    lost = [line["event"] for line in logged if line["event"].startswith("group_chat.answer_")]
    assert late == [Outcome.NOT_PUBLISHED] * 2
    assert lost == ["group_chat.answer_delayed" if redelivers else "group_chat.answer_lost"] * 2
    assert (reader.got.count(b'"error"'), reader.ended) == ((0, "") if redelivers else (2, "complete"))
    rooms.away = False
    assert [await chat.on_done(job, Result(content="hi")) for job in queue.jobs] == [Outcome.COMPLETE] * 2

    assert charged == [("42", 2)] * 2, "once for each answer, when all is seen to"
    assert (rooms.told, reader.ended) == (["hi", "hi"], "complete")
    assert reader.got.count(b'"ai_response"') == (2 if redelivers else 0)
    await chat.close()
    await database.close()


class Scene:
    """A group chat between a queue and rooms of the test's."""

    def __init__(self, folder: Path) -> None:
        self.queue, self.rooms = Pile(redelivers=True), Deaf()
        self.database = Database(f"sqlite:///{folder}/accounts.db", folder)
        self.chat = GroupChat(
            load_personas(None), self.queue, cast(Rooms, self.rooms), Experience(self.database), timeout=60,
            charge=lambda user, size: None, clock=lambda: 0.0,
        )  # fmt: skip

    async def turn(self) -> Turn:
        return await self.chat.post_message(TurnRequest("general", "42", "ada", "hello"), "ada")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    await scene.chat.close()
    await scene.database.close()


async def test_caller_who_was_never_there_has_nothing_asked(scene: Scene) -> None:
    scene.chat.ask_members(await scene.turn())
    await until(lambda: not scene.chat._turns)

    assert (scene.queue.jobs, scene.queue.reserved) == ([], set())


async def test_caller_who_leaves_as_jobs_are_added_has_them_withdrawn_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "CHECK_EVERY_S", 1000.0)
    turn = await scene.turn()
    scene.queue.open.clear()
    scene.chat.caller_connected(turn, Reader())
    scene.chat.ask_members(turn)
    await turns(3)
    scene.chat.caller_disconnected(turn)
    await turns(3)  # the first look finds nothing in the queue
    scene.queue.open.set()
    await until(lambda: not scene.chat._turns)

    assert (scene.queue.jobs, scene.queue.reserved, scene.rooms.callers) == ([], set(), 0)


async def test_caller_who_leaves_twice_leaves_once(scene: Scene) -> None:
    turn = await scene.turn()
    other = await scene.turn()
    scene.chat.caller_connected(turn, Reader())
    scene.chat.caller_connected(other, Reader())
    scene.chat.ask_members(turn)
    scene.chat.ask_members(other)
    await until(lambda: len(scene.queue.jobs) == 4)

    scene.chat.caller_disconnected(turn)
    scene.chat.caller_disconnected(turn)
    await turns(5)

    assert (scene.rooms.callers, len(scene.queue.jobs)) == (1, 4), "the other's turn is still in the room"
    scene.chat.caller_disconnected(other)
    await until(lambda: not scene.chat._turns)
    assert (scene.rooms.callers, scene.queue.jobs) == (0, [])


async def test_message_that_the_room_was_not_told_counts_for_nothing(scene: Scene) -> None:
    scene.rooms.fault = EngineUnavailable("events can't be kept now")
    with pytest.raises(EngineUnavailable):
        await scene.turn()
    await until(lambda: not scene.queue.reserved)

    assert not scene.chat._turns


async def test_caller_who_waits_to_the_end_may_leave_and_nothing_is_withdrawn(
    scene: Scene, logged: list[dict[str, Any]]
) -> None:
    turn, reader = await scene.turn(), Reader()
    scene.chat.caller_connected(turn, reader)
    scene.chat.ask_members(turn)
    await until(lambda: len(scene.queue.jobs) == 2)
    await scene.chat.drain(0)

    scene.chat.caller_disconnected(turn)
    await turns(5)

    assert reader.ended == "timeout"
    assert len(scene.queue.jobs) == 2, "what was promised to a caller who waited reaches the room later"
    assert not [line for line in logged if line["event"] == "group_chat.jobs_withdrawn"]
