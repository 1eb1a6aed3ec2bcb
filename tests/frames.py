"""Frames of an event stream, read strictly. Knows the wire format, not where the bytes come from."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from tests.clock import DEADLINE_S


@dataclass(frozen=True)
class Frame:
    """One frame of an event stream, read by the rules of the WHATWG standard but for what it forgives."""

    raw: bytes
    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: int | None = None
    comment: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        fields: dict[str, Any] = {}
        for line in raw.decode().removesuffix("\n").split("\n"):
            name, colon, value = line.partition(": ")
            assert colon, f"not a field with one space behind its colon: {line!r}"
            assert name in ("id", "event", "data", "retry", ""), line
            if name == "data" and "data" in fields:
                fields["data"] += "\n" + value
            else:
                assert name not in fields, f"{name} twice in {raw!r}"
                fields[name] = value
        if "retry" in fields:
            fields["retry"] = int(fields["retry"])
        if "" in fields:
            fields["comment"] = fields.pop("")
        return cls(raw, **fields)

    @property
    def json(self) -> Any:
        assert self.data is not None
        return json.loads(self.data)


class Frames:
    """Reads frames as they come, each with a deadline."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self._rest = b""

    async def next(self) -> Frame:
        """The next frame, whatever it is.

        Raises:
            EOFError: The stream ended.
        """
        async with asyncio.timeout(DEADLINE_S):
            while b"\n\n" not in self._rest:
                part = await self._read()
                if not part:
                    assert not self._rest, f"ended within a frame: {self._rest!r}"
                    raise EOFError
                self._rest += part
        raw, self._rest = self._rest.split(b"\n\n", 1)
        return Frame.parse(raw + b"\n")

    async def event(self) -> Frame:
        """The next frame with data: heartbeats and reconnection times are passed over."""
        while (frame := await self.next()).data is None:
            pass
        return frame

    async def events(self, count: int) -> list[Frame]:
        return [await self.event() for _ in range(count)]

    async def rest(self) -> list[Frame]:
        """All that comes until the stream ends."""
        frames = []
        with suppress(EOFError):
            while True:
                frames.append(await self.next())
        return frames
