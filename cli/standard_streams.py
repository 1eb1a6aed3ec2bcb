"""Standard streams as they come: closed, read by nobody any more, or in an encoding that does not have every character."""

import codecs
import io
import os
import sys
import traceback
from types import TracebackType

from sse_push.service.log_output import LogOutput

_ERRORS = "sse-push.json"  # the name of our way with characters that an encoding does not have


def prepare() -> None:
    """Make the standard streams fit for use, whatever they are."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # or the next file that is opened gets its number, and what others print
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_ERRORS, _json_escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)
    sys.excepthook = _tell_fault


def flush() -> None:
    """Write what was printed.

    Raises:
        OSError: It can't be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def drop_output() -> None:
    """Nobody reads standard output any more: what is still to be written goes nowhere, silently."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def tell(text: str) -> None:
    """Tell *text* on stderr, for a tenth of a second; where nobody reads it, it is lost."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        print(f"sse-push: {text}", file=sys.stderr)
        return
    LogOutput(descriptor).write(f"sse-push: {text}".encode(errors="backslashreplace"))


def _json_escape(error: UnicodeError) -> tuple[str, int]:
    r"""Characters as JSON writes them, \uXXXX: a line of JSON stays exact, other text can still be read."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    units = found.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def _tell_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    tell("".join(traceback.format_exception(kind, error, trace)).rstrip())
