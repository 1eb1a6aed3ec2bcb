"""The database of accounts: opened at its first use, migrated by whichever node comes first, one session at a time.

Knows SQLAlchemy, SQLite and PostgreSQL; does not know what stands in the tables (service/tables.py). SQLAlchemy
takes 0.2 s and 15 MB to import, so nothing here does so before the database is wanted.
"""

import asyncio
import fcntl
import importlib
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import structlog

from sse_push.events.errors import DatabaseUnavailable
from sse_push.events.private_files import make_private_database, open_private
from sse_push.service.migrations import HEAD

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

FILE = "accounts.db"  # in DATA_DIR, where no URL is given
POOL_CONNECTIONS = 10  # of one node: more would wait for the same disk, and a PostgreSQL has 100 for all
WAIT_S = 5.0  # seconds for a connection, or for another's transaction to end
_LOOK_AGAIN_S = 0.02  # seconds between looks whether a file's lock is free
STATEMENT_S = 10.0  # seconds for one statement
_LOCK_KEY = 0x7373_6570  # of the advisory lock that migrations hold; any number that others don't use
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_FORMS = "sqlite:///path or postgresql://user:password@host/name"

_log = structlog.get_logger()


def check_database_url(url: str) -> None:
    """See whether *url* names a database that can be used; its text is not repeated, for it may hold a password.

    Raises:
        ValueError: It does not.
    """
    scheme, _, rest = url.partition("://")
    driver = _DRIVERS.get(scheme)
    if driver is None and scheme not in _DRIVERS.values():
        raise ValueError(f"must be {_FORMS}")
    if scheme.startswith("postgres") and find_spec("asyncpg") is None:
        raise ValueError("PostgreSQL is an extra: pip install 'sse-push[postgres]'")
    if scheme.startswith("sqlite") and not re.fullmatch(r"/[^:?].*", rest):
        raise ValueError("must name a file, sqlite:///path: each connection to :memory: would have its own")


class Database:
    """Sessions on the database that *url* names; by default on a file in *data_dir*."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self._given = bool(url)
        self._url = url or f"sqlite:///{data_dir / FILE}"
        self._file = (
            Path(self._url.partition(":///")[2].partition("?")[0]) if "sqlite" in self._url[:6] else None
        )
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._failing = False

    @property
    def is_wanted(self) -> bool:
        """Somebody has set it up: it was named, or used before."""
        return self._given or (self._file is not None and self._file.exists())

    async def start(self) -> None:
        """Open and migrate a database that is wanted. One that is away is tried again at each use."""
        if self.is_wanted:
            try:
                await self._open()
            except DatabaseUnavailable as error:
                self._failed(error)

    async def close(self) -> None:
        """Close all connections. It may be used again, and opens again then."""
        async with self._opening:
            engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator["AsyncSession"]:
        """A session that only reads, on one state of the database.

        Raises:
            DatabaseUnavailable: It can't be read now.
        """
        async with self._session("BEGIN") as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator["AsyncSession"]:
        """A session that is committed at the end of the block, and rolled back if that raises.

        Raises:
            DatabaseUnavailable: Nothing can be written now; nothing was.
            sqlalchemy.exc.IntegrityError: What was written is not unique, or refers to nothing.
        """
        # SQLite refuses to make a writer of a reader that others overtook: who will write says so first.
        async with self._session("BEGIN IMMEDIATE") as session:
            yield session
            await session.commit()

    @asynccontextmanager
    async def _session(self, begin: str) -> AsyncIterator["AsyncSession"]:
        engine = self._engine or await self._opened()
        from sqlalchemy.exc import DBAPIError, IntegrityError
        from sqlalchemy.exc import TimeoutError as PoolTimeout
        from sqlalchemy.ext.asyncio import AsyncSession

        async with AsyncSession(engine.execution_options(begin=begin), expire_on_commit=False) as session:
            try:
                await _connect(session)
                yield session
            except IntegrityError:
                raise
            except (DBAPIError, PoolTimeout, OSError) as error:
                unavailable = DatabaseUnavailable("the database can't be reached now")
                self._failed(unavailable, error)
                raise unavailable from error
        self._recovered()

    async def _opened(self) -> "AsyncEngine":
        try:
            return await self._open()
        except DatabaseUnavailable as error:
            self._failed(error)
            raise

    async def _open(self) -> "AsyncEngine":
        async with self._opening:
            if self._engine is None:
                await asyncio.to_thread(importlib.import_module, "sse_push.service.tables")
                self._engine = await self._connected()
            return self._engine

    async def _connected(self) -> "AsyncEngine":
        try:
            if self._file is not None:
                await asyncio.to_thread(_prepare_file, self._file)
            engine = _new_engine(self._url)
        except (OSError, sqlite3.Error, ImportError) as error:
            raise DatabaseUnavailable(f"the database can't be opened: {error}") from error
        try:
            await _migrate(engine)
        except Exception as error:
            await engine.dispose()
            raise DatabaseUnavailable(f"the database can't be opened: {_reason(error)}") from error
        _log.info("database.opened", dialect=engine.dialect.name, revision=HEAD)
        return engine

    def _failed(self, error: DatabaseUnavailable, cause: Exception | None = None) -> None:
        """Once for each time it goes away, not for each request that finds it so."""
        if not self._failing:
            self._failing = True
            _log.error("database.failed", error=_reason(cause or error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("database.recovered")


async def _connect(session: "AsyncSession") -> None:
    """Begin: whatever a driver raises while it connects means that the database is away.

    Raises:
        OSError: It is.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        _ = await session.connection()
    except (OSError, SQLAlchemyError):
        raise
    except Exception as error:
        raise OSError(str(error)) from error


def _prepare_file(path: Path) -> None:
    """Make the file, for this user's eyes only: it holds hashes of passwords.

    To change to a write-ahead log wants the file alone and does not wait for it; hence the lock.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_private(path.with_name(path.name + ".lock")) as lock:
        _hold(lock)
        make_private_database(path)
        connection = sqlite3.connect(path, timeout=WAIT_S)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()


def _hold(lock: IO[str]) -> None:
    """Hold *lock* for this process alone.

    Raises:
        OSError: Another holds it for too long.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(f"another process holds {lock.name}") from None
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _new_engine(url: str) -> "AsyncEngine":
    from sqlalchemy import event, make_url
    from sqlalchemy.ext.asyncio import create_async_engine

    where = make_url(url)
    where = where.set(drivername=_DRIVERS.get(where.drivername, where.drivername))
    lite = where.get_backend_name() == "sqlite"
    if (
        not lite and "sslmode" in where.query
    ):  # libpq's name, which every PostgreSQL's URL has; asyncpg's is ssl
        where = where.difference_update_query(["sslmode"]).update_query_dict({"ssl": where.query["sslmode"]})
    connect: dict[str, Any] = {"timeout": WAIT_S}
    if not lite:
        connect |= {"command_timeout": STATEMENT_S, "server_settings": {"application_name": "sse-push"}}
    engine = create_async_engine(
        where,
        pool_size=POOL_CONNECTIONS,
        max_overflow=0,
        pool_timeout=WAIT_S,
        pool_pre_ping=not lite,  # a server that was restarted has closed what the pool holds
        connect_args=connect,
        hide_parameters=True,  # hashes and addresses don't belong into logs
    )
    if lite:
        event.listen(engine.sync_engine, "connect", _tune)
        event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _tune(connection: Any, record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions when it likes; _begin does
    cursor = connection.cursor()
    for pragma in ("foreign_keys = ON", "synchronous = NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: "Connection") -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


async def _migrate(engine: "AsyncEngine") -> None:
    """Bring the tables up to date; of many nodes that come at once one does it, the others wait for that."""
    from sqlalchemy import text

    async with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = await connection.run_sync(_revision)
        if found == HEAD:
            return
        alembic = await asyncio.to_thread(importlib.import_module, "sse_push.service.migrations.run")
        await connection.run_sync(alembic.upgrade)
    _log.info("database.migrated", revision=HEAD, before=found)


def _revision(connection: "Connection") -> str | None:
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _reason(error: Exception) -> str:
    """What *error* says, without the SQL that SQLAlchemy puts behind it."""
    return str(getattr(error, "orig", None) or error) or type(error).__name__
