"""The URL of a Redis or Valkey server: where it is, and how to log in."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server, by a URL of ``redis:``, ``rediss:`` (TLS) or ``unix:``.

    Attributes:
        path: The Unix socket; '' for TCP.
        prefix: What all keys and channels begin with.
    """

    host: str
    port: int
    path: str = ""
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    prefix: str = "sse-push"

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address in *url*, for example ``redis://user:password@host:6379/0?prefix=sse-push``.

        Raises:
            ValueError: The URL is not valid.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError(f"{parts.scheme}: is no scheme of Redis")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        is_unix = parts.scheme == "unix"
        db = query.pop("db", "0") if is_unix else parts.path.strip("/") or query.pop("db", "0")
        prefix = query.pop("prefix", "sse-push")
        if parts.username and not parts.password:
            raise ValueError("a Redis URL with a user has a password too")
        if query or not db.isdecimal() or not prefix or "{" in prefix or "}" in prefix:
            raise ValueError(
                "a Redis URL is redis://user:password@host:port/db?prefix=NAME, or unix:///path?db=0"
            )
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            path=unquote(parts.path) if is_unix else "",
            tls=parts.scheme == "rediss",
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=int(db),
            prefix=prefix,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"
