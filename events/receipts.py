"""Receipts: what gets the ids of a publish, or its error. An ``asyncio.Future`` is one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import structlog

_log = structlog.get_logger()

FutureReceipt: TypeAlias = asyncio.Future[list[str]]
OnPublished: TypeAlias = Callable[
    [str | BaseException], object
]  # called with the id of one event, or the error


class Receipt(Protocol):
    """Gets the ids of a publish, or its error; answered once, in the engine's loop."""

    def done(self) -> bool: ...
    def set_result(self, ids: list[str], /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...


class CoalescedReceipt:
    """The receipt of single events that were appended as one group: each has its own callback."""

    __slots__ = ("_callbacks",)

    def __init__(self, callbacks: Sequence[OnPublished]) -> None:
        self._callbacks = callbacks

    def done(self) -> bool:
        return False

    def set_result(self, ids: list[str], /) -> None:
        for callback, id_ in zip(self._callbacks, ids, strict=True):
            _call(callback, id_)

    def set_exception(self, error: BaseException, /) -> None:
        for callback in self._callbacks:
            _call(callback, error)


def _call(callback: OnPublished, answer: str | BaseException) -> None:
    try:
        callback(answer)
    except Exception as error:  # noqa: BLE001 - the other publishers must still get their answers
        context = {"message": "a publisher's callback failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def refuse(receipt: Receipt | None, error: BaseException) -> None:
    """Answer *receipt* with *error*; without a receipt, log it."""
    if receipt is None:
        _log.warning("event.refused", detail=str(error))
    elif not receipt.done():
        receipt.set_exception(error)


def fail(receipt: Receipt | None, error: BaseException) -> None:
    """Answer *receipt* with *error*: its events were not stored. Without a receipt, log that they are lost."""
    if receipt is None:
        _log.error("event.lost", error=str(error))
    elif not receipt.done():
        receipt.set_exception(error)


def refuse_threadsafe(receipt: FutureReceipt | None, error: BaseException) -> None:
    """:func:`refuse`, callable from any thread."""
    if receipt is None:
        refuse(None, error)
    else:
        receipt.get_loop().call_soon_threadsafe(refuse, receipt, error)


def relay(receipt: FutureReceipt, source: FutureReceipt) -> None:
    """Answer *receipt*, a future of another loop, as *source* was answered."""

    def answer() -> None:
        if receipt.done():
            return
        if (error := source.exception()) is not None:
            receipt.set_exception(error)
        else:
            receipt.set_result(source.result())

    receipt.get_loop().call_soon_threadsafe(answer)
