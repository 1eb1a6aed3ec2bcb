"""How many files and sockets this process may have open: as many as the system lets it, and what happens where that is few."""

import errno
import os
import resource

import structlog

from sse_push.service.settings import Settings

BESIDE_SOCKETS = (
    164  # descriptors: 64 sockets for health checks; databases, Redis, threads that read, the log
)

_NONE_LEFT = frozenset([errno.EMFILE, errno.ENFILE])

_log = structlog.get_logger()


def raise_limit() -> None:
    """Raise this process's soft limit to the hard one, where that goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # macOS calls its hard limit infinite, and takes less
            _log.warning("descriptors.limit_kept", limit=soft, error=str(error))


def sockets_allowed(settings: Settings) -> int:
    """How many sockets the node may have open, by its settings and by its descriptors, of which others are for its files."""
    limit = _limit()
    if limit is None:
        return settings.socket_limit
    return min(settings.socket_limit, max(limit - BESIDE_SOCKETS, limit // 2))


def warn_where_few(settings: Settings) -> None:
    """Warn if this process may have fewer descriptors than *settings* may need."""
    limit, needed = _limit(), settings.socket_limit + BESIDE_SOCKETS
    if limit is not None and limit < needed:
        _log.warning("descriptors.few", limit=limit, needed=needed, sockets=sockets_allowed(settings))


class DescriptorWatch:
    """Finds out whether descriptors are left: a connection that can't be accepted for want of one is told to nobody.

    Attributes:
        exhausted: How often none was left.
    """

    def __init__(self) -> None:
        self.exhausted = 0
        self._none_left = False

    def look(self) -> None:
        """Try to open one; log a change."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                return
            self.exhausted += 1
            if not self._none_left:
                self._none_left = True
                _log.error("descriptors.exhausted", limit=_limit(), error=error.strerror)
        else:
            if self._none_left:
                self._none_left = False
                _log.info("descriptors.available", limit=_limit())


def _limit() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
