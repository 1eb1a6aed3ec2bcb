"""The database of accounts, of each kind: sessions, migrations, and what happens when it can't be had."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from sse_push.events.errors import DatabaseUnavailable
from sse_push.service.database import FILE, POOL_CONNECTIONS, Database, check_database_url
from sse_push.service.migrations import HEAD
from sse_push.service.migrations.run import config
from sse_push.service.tables import Base, FriendshipRow, UserRow
from tests.postgres import Postgres
from tests.process import ROOT

Open = Callable[..., Database]


@pytest.fixture
async def database_at(tmp_path: Path) -> AsyncIterator[Open]:
    made: list[Database] = []

    def make(url: str) -> Database:
        made.append(Database(url, tmp_path / "data"))
        return made[-1]

    yield make
    for database in made:
        await database.close()


@pytest.fixture
def database(database_at: Open, database_url: str) -> Database:
    return database_at(database_url)


def user(email: str, **more: Any) -> UserRow:
    return UserRow(
        **{"email": email, "name": "A", "role": "user", "password_hash": "-", "created_at": 1.25, **more}
    )


async def emails(database: Database) -> set[str]:
    async with database.read() as session:
        return set(await session.scalars(select(UserRow.email)))


async def test_what_is_written_is_read_after_it_was_closed(database: Database) -> None:
    async with database.write() as session:
        session.add(user("ada@example.com", created_at=1764000000.123))
    await database.close()
    async with database.read() as session:
        [row] = await session.scalars(select(UserRow))
    assert (row.email, row.created_at, row.active, row.last_seen) == (
        "ada@example.com",
        1764000000.123,
        True,
        None,
    )


async def test_block_that_raises_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as session:
            session.add(user("ada@example.com"))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await emails(database) == set()


async def test_reading_session_keeps_nothing(database: Database) -> None:
    async with database.read() as session:
        await session.execute(
            insert(UserRow).values(email="a", name="A", role="user", password_hash="-", created_at=0)
        )
    assert await emails(database) == set()


async def test_what_is_not_unique_or_refers_to_nothing_is_told_apart_from_a_failure(
    database: Database,
) -> None:
    async with database.write() as session:
        session.add(user("ada@example.com"))
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(user("ada@example.com"))
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(FriendshipRow(low_id=1, high_id=77, low_asked=True, high_asked=False))


async def test_number_of_a_user_who_is_gone_is_not_given_again(database: Database) -> None:
    for email in ("ada@example.com", "bob@example.com"):
        async with database.write() as session:
            row = user(email)
            session.add(row)
            await session.flush()
            first = row.id
            await session.delete(row)
    assert first == 2


async def test_many_writers_at_once_lose_nothing(database: Database) -> None:
    async def raise_one() -> None:
        async with database.write() as session:
            row = await session.get(UserRow, 1, with_for_update=True)
            assert row is not None
            row.created_at += 1

    async with database.write() as session:
        session.add(user("ada@example.com", created_at=0))
    await asyncio.gather(*(raise_one() for _ in range(3 * POOL_CONNECTIONS)))
    async with database.read() as session:
        assert await session.scalar(select(UserRow.created_at)) == 3 * POOL_CONNECTIONS


async def test_migrations_make_the_tables_of_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    async with database.read() as session:
        connection = await session.connection()
        assert await connection.run_sync(differences) == []


async def test_database_of_the_release_before_keeps_its_users(database: Database) -> None:
    async with database.write() as session:
        session.add(user("ada@example.com"))
        await session.flush()
        for change in (
            "DROP TABLE account_changes",
            "ALTER TABLE users DROP COLUMN token_generation",
            "ALTER TABLE users DROP COLUMN circle_version",
        ):
            await session.execute(text(change))
        await session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    await database.close()
    async with database.read() as session:
        [row] = await session.scalars(select(UserRow))
    assert (row.email, row.circle_version, row.token_generation) == ("ada@example.com", 0, 0)


def test_newest_revision_is_that_of_the_files() -> None:
    scripts = ScriptDirectory.from_config(config())
    assert scripts.get_current_head() == HEAD


_OPEN = """
import asyncio, sys
from pathlib import Path
from sse_push.service.database import Database

async def main():
    database = Database(sys.argv[1], Path("unused"))
    sys.stdin.readline()
    async with database.write():
        pass
    await database.close()

asyncio.run(main())
"""


@pytest.mark.process
def test_nodes_that_come_at_once_migrate_once(database_url: str) -> None:
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, database_url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [node.communicate("go\n", timeout=30)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0] * 2
    assert sum("database.migrated" in text for text in said) == 1
    assert all("database.opened" in text for text in said)


async def test_database_of_a_newer_release_is_refused(database: Database) -> None:
    async with database.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(DatabaseUnavailable, match="9999"):
        async with database.read():
            pass


async def test_start_without_accounts_makes_no_file(
    database_at: Open, tmp_path: Path, logged: list[Any]
) -> None:
    database = database_at("")
    await database.start()
    assert not (tmp_path / "data").exists()
    async with database.write() as session:
        session.add(user("ada@example.com"))
    await database.close()
    await database.start()
    assert [line["event"] for line in logged] == ["database.migrated", "database.opened", "database.opened"]


async def test_file_and_its_folder_are_their_owners_alone(database_at: Open, tmp_path: Path) -> None:
    database = database_at("")
    async with database.write() as session:
        session.add(user("ada@example.com"))
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        for file in (tmp_path / "data").glob(f"{FILE}*[!k]"):
            assert file.stat().st_mode & 0o077 == 0, file


async def test_file_that_cannot_be_opened_is_told_of(
    database_at: Open, tmp_path: Path, logged: list[Any]
) -> None:
    (tmp_path / "file").write_text("no folder")
    database = database_at(f"sqlite:///{tmp_path}/file/accounts.db")
    await database.start()
    assert [line["event"] for line in logged] == ["database.failed"]
    with pytest.raises(DatabaseUnavailable, match="can't be opened"):
        async with database.read():
            pass


async def test_file_that_another_process_prepares_for_too_long_is_told_of(
    database_at: Open, tmp_path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_push.service.database.WAIT_S", 0.01)
    with (tmp_path / "accounts.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await database_at(f"sqlite:///{tmp_path}/accounts.db").start()

    [told] = logged
    assert told["event"] == "database.failed"
    assert told["error"].endswith(f"another process holds {tmp_path}/accounts.db.lock")


async def test_server_that_goes_away_is_found_again(
    database_at: Open, postgres_server: Postgres, logged: list[Any]
) -> None:
    url = postgres_server.new_database()
    database = database_at(url)
    async with database.write() as session:
        session.add(user("ada@example.com"))
    postgres_server.stop()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="can't be reached now"):
            await emails(database)
    late = database_at(url)
    await late.start()
    postgres_server.start()
    assert await emails(database) == await emails(late) == {"ada@example.com"}
    assert [line["event"] for line in logged] == [
        "database.migrated", "database.opened",
        "database.failed", "database.failed",
        "database.recovered",
        "database.opened", "database.recovered",
    ]  # fmt: skip


async def test_server_that_dies_within_a_transaction_is_told_of(
    database_at: Open, postgres_server: Postgres
) -> None:
    database = database_at(postgres_server.new_database())

    async def write() -> None:
        async with database.write() as session:
            session.add(user("ada@example.com"))
            await session.flush()
            postgres_server.stop()

    with pytest.raises(DatabaseUnavailable):
        await write()
    postgres_server.start()
    assert await emails(database) == set()


async def test_url_of_libpq_with_sslmode_works(database_at: Open, postgres_server: Postgres) -> None:
    assert await emails(database_at(postgres_server.new_database() + "?sslmode=disable")) == set()


@pytest.mark.parametrize(
    "url",
    ["sqlite:///accounts.db", "sqlite:////var/lib/accounts.db", "postgresql://a:b@host/name", "postgres://host/name",
     "postgresql+asyncpg://host/name", "sqlite+aiosqlite:///accounts.db"],
)  # fmt: skip
def test_url_of_a_database_is_taken(url: str) -> None:
    check_database_url(url)


@pytest.mark.parametrize(
    "url", ["mysql://root:secret@host/x", "accounts.db", "sqlite://", "sqlite:///:memory:", "sqlite:///"]
)
def test_url_of_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        check_database_url(url)
    assert "secret" not in str(caught.value)


def test_nothing_imports_sqlalchemy_before_it_is_wanted() -> None:
    code = "import sys; from sse_push.cli import listen, publish, serve, token; assert not {'sqlalchemy', 'alembic', 'argon2'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=False).returncode == 0
