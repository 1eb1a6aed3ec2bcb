"""Structured logs: JSON lines in production, colours on a terminal; every library's lines go the same way.

Event names are dotted and in the past tense; docs/operations.md has the catalogue. Tokens and event data
are never logged: what comes from elsewhere and might quote a request line is redacted here.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from pydantic_core import to_json

_SECRET = re.compile(r"""(token["']?\s*[=:]\s*["']?|Bearer\s+)[^\s&"'#;,]+""", re.IGNORECASE)


def redact(text: str) -> str:
    """*text* without the tokens that a request line or header in it may carry."""
    return _SECRET.sub(r"\1[redacted]", text)


def configure_logging(format_: Literal["auto", "json", "console"], level: str) -> None:
    """Send all logs to standard output, in *format_*, from *level* on."""
    console = format_ == "console" or (format_ == "auto" and sys.stdout.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    common: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if console:
        last: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]  # fmt: skip
        factory: Any = structlog.PrintLoggerFactory(sys.stdout)
    else:
        last = [structlog.processors.JSONRenderer(serializer=_serialize)]
        factory = structlog.BytesLoggerFactory(sys.stdout.buffer)
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(number, logging.WARNING))


def _serialize(event: MutableMapping[str, Any], **_: Any) -> bytes:
    return to_json(event, fallback=repr, inf_nan_mode="strings")


class _ToStructlog(logging.Handler):
    """Lines of libraries, redacted, as ``library.logged``."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "message": redact(record.getMessage())}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = redact(repr(record.exc_info[1]))
        structlog.get_logger().log(record.levelno, "library.logged", **fields)
