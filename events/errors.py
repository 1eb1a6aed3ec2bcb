"""Every error the service raises on purpose, and nothing about how HTTP shows them.

SsePushError
├── BadEvent             the publisher's event can't be pushed (index, detail)
├── EventTooLarge        its data is over the limit (limit, unit bytes)
├── KeyReused            its idempotency key was used for another request (index)
├── Overloaded           more waits to be kept than the engine takes
├── EngineUnavailable    the store can't keep anything now
│   └── OutcomeUnknown   an event was sent to the store and not answered: it may have been kept
├── EvictingServer       the store's server may throw away what it was given (policy)
├── DatabaseUnavailable  the database of accounts can't be reached
├── KeysUnavailable      the keys that verify tokens can't be fetched
├── StoreInUse           another process holds the data directory
├── Unauthenticated      no token, or a bad one (detail)
├── Forbidden            a good token, but not for this (detail)
├── NotFound             no such thing (detail)
├── Conflict             what is there already stands against it (detail)
├── BadRequest           the request itself makes no sense (detail)
├── UnsupportedType      a body of another media type than JSON's (detail)
├── OverLimit            a limit is reached (limit, retry_after in seconds)
├── ShuttingDown         this node takes no new streams
├── AnswerFailed         an AI member has no answer
└── FunctionFailed       a channel function's own error (type, message)
"""

from typing import Literal, Self


class SsePushError(Exception):
    """The base of the tree above. ``str(error)`` is fit for the caller's eyes: it never holds a secret.

    Attributes:
        outcome: What became of the events that the caller wanted to publish.
    """

    outcome: Literal["not_published", "unknown"] = "not_published"


class BadEvent(SsePushError):
    """An event that can't be pushed.

    Args:
        detail: What is wrong with it, for the publisher.
        index: Its place in the list it came in, from 0.

    Attributes:
        others: The other bad events of that list.
    """

    def __init__(self, detail: str, index: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.index = index
        self.others: list[BadEvent] = []

    def at(self, index: int) -> Self:
        """The same error, of the event at *index*."""
        self.index = index
        return self


class EventTooLarge(BadEvent):
    """An event whose encoded data is over ``limit`` bytes."""

    def __init__(self, size: int, limit: int, index: int = 0) -> None:
        super().__init__(f"data is {size} bytes, over the limit of {limit}", index)
        self.size = size
        self.limit = limit


class KeyReused(BadEvent):
    """An event whose idempotency key this publisher has used for something else."""

    def __init__(self, index: int = 0) -> None:
        super().__init__("the idempotency key was used before, with another body or for another call", index)


class Overloaded(SsePushError):
    """The engine already holds as many events that wait to be kept as it may."""


class EngineUnavailable(SsePushError):
    """The store can't keep anything now (disk full, server gone). Nothing was acknowledged.

    Args:
        was_asked: What the store was asked for may have been done, for it was sent and not answered.
    """

    def __init__(self, message: str = "", *, was_asked: bool = False) -> None:
        super().__init__(message)
        self.was_asked = was_asked


class OutcomeUnknown(EngineUnavailable):
    """Events were sent to the store and not answered: whether they are kept, nobody can say."""

    outcome = "unknown"

    def __init__(self) -> None:
        super().__init__(
            "whether this was published is not known: the store did not answer in time. A retry is safe where both "
            "have the same idempotency key",
            was_asked=True,
        )


class EvictingServer(SsePushError):
    """The Redis server evicts keys when its memory is full, and with them events that were acknowledged.

    Args:
        policy: Its ``maxmemory-policy``.
    """

    def __init__(self, policy: str) -> None:
        super().__init__(
            f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), and events would be lost; "
            "run CONFIG SET maxmemory-policy noeviction, and set it in redis.conf too"
        )
        self.policy = policy


class DatabaseUnavailable(SsePushError):
    """The database of accounts can't be reached, or not be written. Nothing was."""


class KeysUnavailable(SsePushError):
    """The keys that verify tokens can't be fetched now: whether a token is good is not known."""


class StoreInUse(SsePushError):
    """Another process has the data directory open."""


class Unauthenticated(SsePushError):
    """No credential where one is needed, or one that is not valid."""


class Forbidden(SsePushError):
    """A valid credential that does not allow this."""


class NotFound(SsePushError):
    """There is no such thing."""


class Conflict(SsePushError):
    """What is there already stands against it; ``str(error)`` says what."""


class BadRequest(SsePushError):
    """The request makes no sense; ``str(error)`` says why."""


class UnsupportedType(SsePushError):
    """The body says that it is something else than JSON; ``str(error)`` says what is wanted."""


# What each limit is about, for whoever reads the answer; the settings are named as the operator knows them.
_LIMITS = {
    "total": "this node has as many streams as it takes (MAX_CONNECTIONS)",
    "user": "this user has too many streams open (MAX_CONNECTIONS_PER_USER)",
    "address": "too many streams are open from this address (MAX_CONNECTIONS_PER_ADDRESS)",
    "anonymous": "streams without a token have their share of this node or address (ANONYMOUS_SHARE)",
    "opens": "too many streams were opened in a short time (OPENS_PER_USER_PER_MINUTE, OPENS_PER_ADDRESS_PER_MINUTE)",
    "rate": "too many commands in a short time (USER_COMMANDS_PER_S)",
    "bytes": "this user's share of the history is full for now (HISTORY_USER_SHARE, HISTORY_SERVICE_SHARE)",
    "turns": "too many messages to AI members in a short time (TURNS_PER_USER_PER_MINUTE)",
    "ai_jobs": "this user waits for as many answers of AI members as one may (AI_JOBS_PER_USER)",
    "login_account": "too many wrong passwords were tried for this account",
    "login_address": "too many logins were tried from this address",
    "logins": "too many logins at once",
    "friends": "this user has asked as many friends as one may",
}


class OverLimit(SsePushError):
    """A limit is reached.

    Args:
        limit: Its name: ``total``, ``user``, ``address``, ``rate``, ...
        retry_after: Whole seconds after which another try makes sense.
    """

    def __init__(self, limit: str, retry_after: int) -> None:
        what = _LIMITS.get(limit)
        super().__init__(f"over the limit: {limit}" + (f"; {what}" if what else ""))
        self.limit = limit
        self.retry_after = retry_after


class ShuttingDown(SsePushError):
    """This node is going away and takes no new streams."""


class AnswerFailed(SsePushError):
    """An AI member has no answer: its model is away, too slow, or said nothing."""


class FunctionFailed(SsePushError):
    """A channel function answers with an error of its own (docs/protocol.md)."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_
        self.message = message
