"""Receipts: futures by which whoever publishes gets the ids, or the error. Answered in their own loop, once."""

import structlog

from sse_push.events.engines.base import Receipt

_log = structlog.get_logger()


def refuse(receipt: Receipt | None, error: Exception) -> None:
    """Answer *receipt* with *error*; without one the log says it."""
    if receipt is None:
        _log.warning("event.refused", detail=str(error))
    elif not receipt.done():
        receipt.set_exception(error)


def refuse_in_its_loop(receipt: Receipt | None, error: Exception) -> None:
    """:func:`refuse`, from whatever thread."""
    if receipt is None:
        refuse(None, error)
    else:
        receipt.get_loop().call_soon_threadsafe(refuse, receipt, error)


def relay(receipt: Receipt, own: Receipt) -> None:
    """Answer *receipt*, which is of another loop, as *own* was."""

    def answer() -> None:
        if receipt.done():
            return
        if (error := own.exception()) is not None:
            receipt.set_exception(error)
        else:
            receipt.set_result(own.result())

    receipt.get_loop().call_soon_threadsafe(answer)
