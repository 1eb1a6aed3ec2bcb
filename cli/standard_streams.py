"""Makes stdin, stdout and stderr safe to use: they may be closed, without a reader, or in a narrow encoding."""

import codecs
import io
import os
import sys
import traceback
from types import TracebackType

from sse_push.service.log_output import LogOutput

_ERRORS = "sse-push.json"  # our codec error handler's name


def prepare() -> None:
    """Open closed descriptors on /dev/null and install the codec error handler."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # otherwise the next file opened would get its number, and receive prints
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_ERRORS, _json_escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)
    sys.excepthook = _print_traceback


def flush() -> None:
    """Flush stdout.

    Raises:
        OSError: The write failed.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def drop_output() -> None:
    """Redirect stdout to /dev/null: its reader is gone, and buffered text must not raise at exit."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def write_stderr(text: str) -> None:
    """Write *text* to stderr. Waits a tenth of a second at most; without a reader the text is lost."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        print(f"sse-push: {text}", file=sys.stderr)
        return
    LogOutput(descriptor).write(f"sse-push: {text}".encode(errors="backslashreplace"))


def _json_escape(error: UnicodeError) -> tuple[str, int]:
    r"""Encode a character as JSON does, \uXXXX: JSON lines stay exact, other text stays readable."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    units = found.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    write_stderr("".join(traceback.format_exception(kind, error, trace)).rstrip())
