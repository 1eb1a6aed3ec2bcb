"""What tells a damaged database from one that can't be used just now, and where a damaged one is put. Blocking."""

import sqlite3
from pathlib import Path

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# A schema that can't be read or lacks something, pages that make no sense, a number that is there twice.
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_NOTADB)
_PARTS = ("", "-wal", "-shm")


class OtherVersion(sqlite3.DatabaseError):
    """A database that this version can't read, and must not touch."""


def is_busy(error: object) -> bool:
    """Whether *error* says that another process holds the database locked."""
    return isinstance(error, sqlite3.OperationalError) and _code(error) in _BUSY


def is_damage(error: object) -> bool:
    """Whether *error* says that the database is damaged, so that another try can't fare better."""
    if isinstance(error, OtherVersion):
        return False
    if isinstance(error, sqlite3.DatabaseError):
        return _code(error) in (*_DAMAGE, -1)  # without a code: a text that is no UTF-8
    return isinstance(error, (ValueError, TypeError, OverflowError))


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def set_aside(path: Path) -> Path:
    """Move a damaged database out of the way; where it is now. The one that was set aside before is replaced."""
    aside = path.with_name(path.name + ".damaged")
    for part in _PARTS:
        source, target = path.with_name(path.name + part), aside.with_name(aside.name + part)
        target.unlink(missing_ok=True)
        if source.exists():
            source.rename(target)
    return aside
