"""The inbox: events that other services put straight into Redis, taken by whichever node comes first.

A stream with a consumer group: an entry is one node's until it is published, and another's if that node dies meanwhile.
Its id is its idempotency key, so it is published once. Knows streams and the form of an entry; what may be published,
and how, is the business of whoever it hands events to.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
import structlog

from sse_push.events.engines.base import Publish
from sse_push.events.engines.redis.address import RedisAddress
from sse_push.events.engines.redis.connection import RedisConnection, describe, unexpected_error
from sse_push.events.errors import BadEvent, SsePushError
from sse_push.events.event import PushEvent
from sse_push.events.faults import described
from sse_push.events.json_text import NotJson
from sse_push.events.push_body import is_list, read_models
from sse_push.events.receipts import FutureReceipt

GROUP = "nodes"
FIELD = b"event"
BATCH = 100  # entries taken at once
BLOCK_S = 5.0  # seconds that the server holds the question for new entries
CLAIM_S = 30.0  # seconds after which an entry that was taken and not published is anybody's
FORGOTTEN_S = 3600.0  # seconds after which a node that holds nothing is no longer a member
MAX_REFUSED = 1000  # entries kept to be looked at: the oldest make room
MAX_REFUSED_BYTES = 8192  # of the fields of each, the rest is cut off: 1,000 entries take 8 MB of Redis
MAX_EVENTS = 1000  # events in one entry, as in a list over HTTP
MAX_ENTRY_BYTES = (
    2 * 2**20
)  # of an entry's events, as of a list over HTTP: to read more would hold up the node
_REPLY_S = 5.0  # seconds beyond BLOCK_S without an answer: the connection is dead
_AGAIN_S = 1.0  # seconds before another try when something is away

_log = structlog.get_logger()
_Entry = tuple[bytes, list[bytes] | None]


class Inbox:
    """Takes from the stream ``inbox`` of *prefix*, as the member *name* of the group.

    Args:
        publish: What events are handed to.
        claim_s: Seconds after which a dead node's entries are taken.
    """

    def __init__(
        self, address: RedisAddress, name: str, publish: Publish, *, claim_s: float = CLAIM_S
    ) -> None:
        self._address = address
        self._name = name
        self._publish = publish
        self._claim_ms = round(claim_s * 1000)
        self._stream = f"{{{address.prefix}}}:inbox"
        self._link = RedisConnection()
        self._waits = False  # for entries: nothing is lost if it is cancelled now

    async def run(self) -> None:
        """Take entries until cancelled, through whatever becomes of the server."""
        while True:
            try:
                await self._join()
                while True:
                    await self._take()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try may fare better
                _log.warning("inbox.failed", error=describe(error), exc_info=unexpected_error(error))
            finally:
                self._link.abort()
            await asyncio.sleep(_AGAIN_S)

    async def _join(self) -> None:
        self._link = RedisConnection()
        await self._link.connect(self._address, f"sse-push-{self._name}-inbox")
        try:
            await self._link.call("XGROUP", "CREATE", self._stream, GROUP, "0", "MKSTREAM")
        except hiredis.ReplyError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        for found in await self._link.call("XINFO", "CONSUMERS", self._stream, GROUP):
            facts = dict(zip(found[::2], found[1::2], strict=True))
            if facts[b"pending"] == 0 and facts[b"idle"] > FORGOTTEN_S * 1000:
                await self._link.call("XGROUP", "DELCONSUMER", self._stream, GROUP, facts[b"name"])

    async def _take(self) -> None:
        """Take some entries and publish them: first those that a node has held for too long, its own failures too."""
        claimed = await self._ask(
            "XAUTOCLAIM", self._stream, GROUP, self._name, self._claim_ms, "0", "COUNT", BATCH
        )
        entries: list[_Entry] = claimed[1]
        if not entries:
            # No longer than until others' entries are to be looked at again.
            block = min(round(BLOCK_S * 1000), self._claim_ms)
            answer = await self._ask(
                "XREADGROUP", "GROUP", GROUP, self._name, "COUNT", BATCH, "BLOCK", block, "STREAMS", self._stream, ">"
            )  # fmt: skip
            entries = answer[0][1] if answer else []
        while entries:
            results = await asyncio.gather(*map(self._begin, entries), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            entries = [entry for entry, done in zip(entries, results, strict=True) if not done]
            if entries:  # they can't be kept now, and others could not either
                await asyncio.sleep(_AGAIN_S)

    async def _ask(self, *command: str | int) -> Any:
        async with asyncio.timeout(BLOCK_S + _REPLY_S):
            return await self._link.call(*command)

    def _begin(self, entry: _Entry | None) -> "asyncio.Task[bool]":
        """Publish an entry; entries of one batch are handed on in their order."""
        receipt: FutureReceipt | None = None
        reason = ""
        if entry is not None and entry[1] is not None:
            try:
                receipt = self._publish(read_entry(entry[0].decode(), entry[1]))
            except BadEvent as error:
                reason = str(error)
            except (ValueError, RecursionError) as error:  # whatever nobody can read
                reason = f"{type(error).__name__} while it was read"
            except Exception as error:  # noqa: BLE001 - a fault of ours is told where all others are
                receipt = asyncio.get_running_loop().create_future()
                receipt.set_exception(error)
        return asyncio.get_running_loop().create_task(self._finish(entry, receipt, reason))

    async def _finish(self, entry: _Entry | None, receipt: FutureReceipt | None, reason: str) -> bool:
        """Put an entry away once it is published, or refused; whether there is nothing more to do for now."""
        if entry is None:  # trimmed while somebody held it, as Redis 6.2 tells
            return True
        id_, fields = entry
        try:
            if receipt is not None:
                await receipt
        except BadEvent as error:
            faults = [error, *error.others]
            reason = described(faults, of_list=len(faults) > 1)
        except SsePushError:
            return False
        except Exception as error:  # noqa: BLE001 - one entry must not hold up all others, and none may be lost
            _log.error("inbox.unhandled_error", id=id_.decode(), exc_info=error)
            return True  # it stays in the group's list: after CLAIM_S it is taken again, by us or by others
        if reason and fields is not None:
            _log.warning("inbox.refused", id=id_.decode(), detail=reason)
            await self._link.call(
                "XADD", f"{self._stream}:refused", "MAXLEN", "~", MAX_REFUSED, "*",
                "id", id_, "reason", reason.encode(errors="replace"), *_beginning_of(fields),
            )  # fmt: skip
        # In this order: an entry that is acknowledged and still there would be nobody's.
        await self._link.call("XDEL", self._stream, id_)
        await self._link.call("XACK", self._stream, GROUP, id_)
        return True


def read_entry(id_: str, fields: Sequence[bytes]) -> list[PushEvent]:
    """The events of an entry, each with a key by which it is published once: its own, or the entry's.

    Raises:
        BadEvent: It holds none; the message says what is wrong.
    """
    given = dict(zip(fields[::2], fields[1::2], strict=True))
    body = given.get(FIELD)
    if body is None or len(fields) != 2:  # one of two with the same name would be lost
        raise BadEvent(f"an entry has one field, {FIELD.decode()}")
    if len(body) > MAX_ENTRY_BYTES:
        raise BadEvent(f"an entry of {len(body)} bytes is over the limit of {MAX_ENTRY_BYTES}")
    try:
        events, faults = read_models(body, MAX_EVENTS)
    except NotJson as error:
        raise BadEvent(str(error)) from None
    if faults:
        raise BadEvent(described(faults, of_list=is_list(body)))
    return [
        event.model_copy(
            update={"key": f"own {event.key}" if event.key is not None else f"entry {id_} {index}"}
        )
        for index, event in enumerate(events)
        if event is not None
    ]


def _beginning_of(fields: Sequence[bytes]) -> list[bytes]:
    """*fields* up to :data:`MAX_REFUSED_BYTES`; the value in which they reach it is cut off there."""
    kept: list[bytes] = []
    left = MAX_REFUSED_BYTES
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if left <= len(name):
            break
        left -= len(name)
        kept += name, value[:left]
        left -= min(left, len(value))
    return kept
