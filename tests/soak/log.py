"""The log of one life of a node: a pipe that is read, or not, or closed while the node goes on writing."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

READ_BYTES = 65_536


class LogPipe:
    """A pipe to give to a process as its standard output.

    Args:
        on_record: Called with each line of JSON.

    Attributes:
        write_end: For the process; to be closed here once it has it.
    """

    def __init__(self, on_record: Callable[[dict[str, Any]], None]) -> None:
        self._on_record = on_record
        self._read_end, self.write_end = os.pipe()
        self._open = True
        self._rest = b""
        os.set_blocking(self._read_end, False)
        self.read()

    def read(self) -> None:
        """Read, from now on."""
        if self._open:
            asyncio.get_running_loop().add_reader(self._read_end, self._readable)

    def stop_reading(self) -> None:
        """Leave what comes in the pipe."""
        if self._open:
            asyncio.get_running_loop().remove_reader(self._read_end)

    def close(self) -> None:
        if self._open:
            self.stop_reading()
            self._open = False
            os.close(self._read_end)

    def _readable(self) -> None:
        try:
            data = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return None
        if not data:
            return self.close()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                self._on_record(json.loads(line))
        return None
