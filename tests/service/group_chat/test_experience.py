"""What users earn, in each kind of database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sse_push.service.database import Database
from sse_push.service.group_chat.experience import AWARDS_KEPT_S, PRUNE_EVERY_S, Experience, level_of
from sse_push.service.tables import ExpAwardRow
from tests.conftest import Clock


@pytest.fixture
async def databases(database_url: str, tmp_path: Path) -> AsyncIterator[list[Database]]:
    """One database as two nodes see it."""
    nodes = [Database(database_url, tmp_path) for _ in range(2)]
    yield nodes
    for node in nodes:
        await node.close()


@pytest.mark.parametrize(("exp", "level"), [(0, 1), (5, 1), (99, 1), (100, 2), (150, 2), (200, 3)])
def test_level_is_what_the_contract_says(exp: int, level: int) -> None:
    assert level_of(exp) == level


async def test_exp_is_of_one_user_with_one_persona(databases: list[Database]) -> None:
    experience = Experience(databases[0])

    assert [await experience.award(f"job{n}", "42", 1) for n in range(3)] == [5, 10, 15]
    assert await experience.award("job3", "42", 2) == 5
    assert await experience.award("job4", "43", 1) == 5

    assert await experience.of("42") == {1: 15, 2: 5}
    assert await experience.of("nobody") == {}


async def test_job_that_is_done_twice_earns_once(databases: list[Database]) -> None:
    experience = Experience(databases[0])
    await experience.award("a", "42", 1)

    assert await experience.award("b", "42", 1) == 10
    assert await experience.award("a", "42", 1) == 5  # as it was then
    assert await experience.of("42") == {1: 10}


async def test_nodes_that_award_at_once_award_once_each_job(databases: list[Database]) -> None:
    nodes = [Experience(database) for database in databases]

    given = await asyncio.gather(*(node.award(f"job{n % 4}", "42", 1) for n in range(8) for node in nodes))

    assert sorted(set(given)) == [5, 10, 15, 20]
    assert await nodes[0].of("42") == {1: 20}


async def test_awards_are_forgotten_and_exp_is_not(databases: list[Database]) -> None:
    clock = Clock()
    experience = Experience(databases[0], clock)
    await experience.award("old", "42", 1)

    clock.advance(AWARDS_KEPT_S + PRUNE_EVERY_S)
    await experience.award("new", "42", 1)

    async with databases[0].read() as session:
        assert await session.scalar(select(func.count()).select_from(ExpAwardRow)) == 1
    assert await experience.of("42") == {1: 10}
