"""A real PostgreSQL for tests, on a free port with its files in a folder of its own. Knows its programs, nothing of tables.

It refuses to run as root: it is run as ``postgres`` or ``nobody`` then.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.ports import reserve

STARTS_WITHIN_S = 30.0
_READY = "database system is ready to accept connections"


def is_here() -> bool:
    return all(shutil.which(program) for program in ("postgres", "initdb", "psql"))


class Postgres:
    """A server of its own, without fsync: what dies here need not come back."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sse-push-pg-"))
        self._owner = _owner()
        if self._owner:
            shutil.chown(self._folder, self._owner)
        self.port = reserve()
        self._data = self._folder / "data"
        self._server: subprocess.Popen[bytes] | None = None
        self._databases = 0
        options = ("--no-sync", "--username=tests", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self._run("initdb", "-D", self._data, *options)

    def start(self) -> None:
        before = self.log.count(_READY)
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    str(shutil.which("postgres")), "-D", self._data, "-p", str(self.port), "-k", self._folder,
                    "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB",
                ],
                stdout=log, stderr=log, user=self._owner, cwd=self._folder,
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN_S
        while self.log.count(_READY) == before:
            assert self._server.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def stop(self) -> None:
        """Cut every connection and end it; :meth:`start` brings it back with what it held."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # "fast shutdown"
            self._server.wait()
            self._server = None

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"tests{self._databases}"
        psql = ("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "tests", "-d", "postgres", "-qc")
        self._run(*psql, f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql://tests:a-password@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def log(self) -> str:
        log = self._folder / "log"
        return log.read_text() if log.exists() else ""

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [str(shutil.which(program)), *map(str, arguments)],
            capture_output=True, text=True, user=self._owner, cwd=self._folder, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def _owner() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
