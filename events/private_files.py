"""Files for their owner's eyes: what people were sent, hashes of passwords. Knows modes, not what is in the files."""

import os
from pathlib import Path
from typing import IO

import structlog

_OTHERS = 0o007
# What SQLite makes beside a database, each with its mode.
_BESIDE = ("", "-wal", "-shm", "-journal")

_log = structlog.get_logger()


def make_private(path: Path) -> None:
    """Make *path* if it is not there; take it from other users where it is, its group's rights stay.

    Raises:
        OSError: It can't be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        _tighten(path)


def make_private_database(path: Path) -> None:
    """The same for an SQLite database and the files beside it.

    Raises:
        OSError: It can't be made.
    """
    make_private(path)
    for suffix in _BESIDE:
        _tighten(path.with_name(path.name + suffix))


def open_private(path: Path) -> IO[str]:
    """Open *path*, made where it is not there, to read and add to it.

    Raises:
        OSError: It can't be opened.
    """
    make_private(path)
    return path.open("a+")


def _tighten(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(mode & 0o7777 & ~_OTHERS)
    except FileNotFoundError:
        pass
    except OSError as error:  # another user's
        _log.warning("file.exposed", path=str(path), error=str(error))
