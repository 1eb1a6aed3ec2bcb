"""Lua scripts that belong to a package: read from its ``scripts`` folder, and loaded into a server."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

from sse_push.events.engines.redis.connection import RedisConnection


@lru_cache
def _read(package: str, name: str) -> str:
    return (files(package) / "scripts" / f"{name}.lua").read_text()


class ScriptLoader:
    """The scripts of one package.

    Args:
        package: Whose folder ``scripts`` has them.
        scripts: By name: the files that the script begins with. Lua scripts on Redis can't import.
    """

    def __init__(self, package: str, scripts: Mapping[str, Sequence[str]]) -> None:
        self._package = package
        self._scripts = scripts
        self._shas: dict[str, str] = {}

    async def load(self, connection: RedisConnection) -> None:
        """Load all scripts into the server of *connection*; errors are those of :meth:`RedisConnection.call`."""
        for name in self._scripts:
            self._shas[name] = (await connection.call("SCRIPT", "LOAD", self.source(name))).decode()

    def sha(self, name: str) -> str:
        """The script *name* as EVALSHA knows it, once it is loaded."""
        return self._shas[name]

    def source(self, name: str) -> str:
        """The whole text of the script *name*."""
        return "".join(_read(self._package, file) for file in (*self._scripts[name], name))
