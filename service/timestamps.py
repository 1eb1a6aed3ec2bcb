"""Timestamps: ISO 8601 in UTC, with milliseconds and ``Z`` (docs/protocol.md)."""

from datetime import UTC, datetime


def timestamp(now: float) -> str:
    """*now*, in seconds since the Unix epoch, as ``2026-01-18T10:30:00.000Z``."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
