"""What comes on our channels or stands under our keys, read as if a stranger had written it.

Anybody with the right on the server may, so whatever could break the reading of its neighbours, or forge a frame,
is a ``ValueError`` here. Pure; knows no connection.
"""

from collections.abc import Sequence

import msgspec
import structlog
from pydantic_core import from_json

from sse_push.events.engines.packs import unpack
from sse_push.events.event import Event
from sse_push.events.json_text import is_too_deep
from sse_push.events.wire import is_field_safe

MAX_DEPTH = (
    200  # arrays and objects in each other: more than any publisher may send, now or in earlier versions
)
_DIGITS = 15  # of a number: as many as the server's scripts count exactly

_form_of = msgspec.json.Decoder(msgspec.Raw)  # looks at JSON's form and makes nothing of it

_log = structlog.get_logger()


def read_number(text: bytes) -> int:
    """The number of an event.

    Raises:
        ValueError: It is none.
    """
    number = int(text) if len(text) <= _DIGITS else -1
    if number < 0:
        raise ValueError("not a number of an event")
    return number


def read_event(epoch: str, seq: int, body: bytes) -> Event:
    """The event whose pack of one *body* is.

    Raises:
        ValueError: It is no event, or could not be framed as it is.
    """
    try:
        return _read_event(epoch, seq, body)
    except ValueError:
        raise
    except Exception as error:  # whatever it is, it is no event
        raise ValueError(f"{type(error).__name__} while it was read") from error


def _read_event(epoch: str, seq: int, body: bytes) -> Event:
    [event] = unpack(epoch, seq, body)
    if not is_field_safe(event.topic + (event.name or "")) or b"\r" in event.data:
        raise ValueError("an end of line where none may be")
    if is_too_deep(event.data, MAX_DEPTH):
        raise ValueError(f"data nested over {MAX_DEPTH} deep")
    _form_of.decode(event.data)
    if event.data[:1] == b'"':  # goes out as that text, so it must be one
        from_json(event.data)
    return event


def tell_of(faults: Sequence[ValueError]) -> None:
    """Log what could not be read, if anything."""
    if faults:
        _log.error("engine.malformed_message", messages=len(faults), error=str(faults[0]) or repr(faults[0]))
