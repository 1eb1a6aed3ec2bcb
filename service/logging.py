"""Structured logs: JSON lines in production, colours on a terminal; every library's lines go the same way.

Event names are dotted and in the past tense; docs/operations.md has the catalogue. Tokens and event data
are never logged: what comes from elsewhere and might quote a request line is redacted here. To log never fails: a
value that can't be shown is replaced by a text that says so.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from pydantic_core import to_json

from sse_push.service.log_output import LogOutput, descriptor_of
from sse_push.service.visible import visible

_SECRET = re.compile(r"""(token["']?\s*[=:]\s*["']?|Bearer\s+)[^\s&"'#;,]+""", re.IGNORECASE)
# What JSON leaves as it is, and a terminal that shows a line of it would obey: DEL, C1, marks of direction.
_RAW_CONTROL = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_outputs: list[LogOutput] = []  # what is one for a process, as its standard output is

_log = structlog.get_logger()


def redact(text: str) -> str:
    """*text* without the tokens that a request line or header in it may carry."""
    return _SECRET.sub(r"\1[redacted]", text)


def configure_logging(
    format_: Literal["auto", "json", "console"], level: str, output: LogOutput | None = None
) -> None:
    """Send all logs to *output*, by default to ``sys.stdout``, in *format_*, from *level* on."""
    console = format_ == "console" or (format_ == "auto" and sys.stdout is not None and sys.stdout.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Console() if console else _serialize,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=(lambda *_: _Lines(output))
        if output is not None
        else structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)
    # What Python would write on standard error by itself.
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_error


def open_output() -> LogOutput:
    """Standard output for the logs of this process, which is never waited for."""
    output = LogOutput(descriptor_of(sys.stdout), lambda lines: _log.warning("log.dropped", lines=lines))
    _outputs.append(output)
    return output


def lines_dropped() -> int:
    """Lines of this process that could not be written."""
    return sum(output.dropped for output in _outputs)


class _Lines:
    """What structlog hands its lines to."""

    def __init__(self, output: LogOutput) -> None:
        self.msg = output.write

    def __getattr__(self, level: str) -> Any:
        return self.msg


def _serialize(logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
    try:
        line = to_json(event, fallback=repr, inf_nan_mode="strings")
    except Exception:  # noqa: BLE001 - half a surrogate, a __repr__ that raises, what holds itself, ...
        return json.dumps({visible(str(name)): _plain(value) for name, value in event.items()}).encode()
    return line if line.isascii() else _RAW_CONTROL.sub(_escape, line.decode()).encode()


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _plain(value: Any) -> Any:
    """*value* if it is simple, else a text for it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - whatever a foreign __repr__ does
        return f"<{type(value).__name__}; repr: {type(error).__name__}>"


class _Console:
    """Lines for people, in which nothing commands the terminal."""

    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
        shown = {visible(str(name)): _shown(value) for name, value in event.items()}
        if "exception" in event:
            shown["exception"] = "\n".join(map(visible, str(event["exception"]).split("\n")))
        return self._render(logger, method, shown).encode(errors="backslashreplace")


def _shown(value: Any) -> Any:
    plain = _plain(value)
    return visible(plain) if isinstance(plain, str) else plain


class _ToStructlog(logging.Handler):
    """Lines of libraries, redacted, as ``library.logged``."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - its arguments do not fit, or can't be shown
            message = str(_plain(record.msg))
        fields: dict[str, Any] = {"logger": record.name, "message": redact(message)}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = redact(str(_plain(record.exc_info[1])))
        structlog.get_logger().log(record.levelno, "library.logged", **fields)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    where = f"{unraisable.err_msg or 'ignored in'}: {_plain(unraisable.object)}"
    logging.getLogger("python").error(where, exc_info=unraisable.exc_value)


def _log_thread_error(failed: threading.ExceptHookArgs) -> None:
    logging.getLogger("python").error("a thread ended by an error", exc_info=failed.exc_value)
