"""Who is asking, and what they may: users, roles, rooms. Knows no tokens and no HTTP."""

from dataclasses import dataclass, field
from enum import StrEnum

from sse_push.events.errors import Forbidden, Unauthenticated
from sse_push.events.topics import as_name

AI_PREFIX = "ai:"  # user ids of AI members in rooms: nobody else may have one that begins so


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"


def as_user_id(value: object) -> str | None:
    """The user id given as text or as a number; ``None`` if it is none, or reserved for AI members in any case."""
    user_id = as_name(value)
    return None if user_id is None or user_id.lower().startswith(AI_PREFIX) else user_id


PUBLISHERS = frozenset({Role.ADMIN, Role.SERVICE})


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request comes from.

    Attributes:
        user_id: ``None`` for one without a token.
        rooms: The rooms the token names; ``None`` if it names none at all.
        expires: When the token does, in seconds since the Unix epoch; ``None`` for never.
        key_id: The key of the JWKS document that signed the token.
        generation: Of the account's tokens, where a login of this service gave the token (service/account_checks.py).
    """

    user_id: str | None = None
    roles: frozenset[str] = frozenset()
    name: str = ""
    email: str = ""
    rooms: frozenset[str] | None = None
    expires: float | None = field(default=None, compare=False)
    key_id: str | None = field(default=None, compare=False)
    generation: int | None = field(default=None, compare=False)

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles

    @property
    def is_publisher(self) -> bool:
        return not PUBLISHERS.isdisjoint(self.roles)

    def require_user(self) -> str:
        """The user id.

        Raises:
            Unauthenticated: There is no token.
        """
        if self.user_id is None:
            raise Unauthenticated("a token is needed")
        return self.user_id

    def require_publisher(self) -> str:
        """The id of a service or an admin.

        Raises:
            Unauthenticated: There is no token.
            Forbidden: It is somebody else's.
        """
        user_id = self.require_user()
        if not self.is_publisher:
            raise Forbidden("only a service or an admin may do this")
        return user_id

    def require_admin(self) -> str:
        """The id of an admin.

        Raises:
            Unauthenticated: There is no token.
            Forbidden: It is somebody else's.
        """
        user_id = self.require_user()
        if not self.is_admin:
            raise Forbidden("only an admin may do this")
        return user_id

    def may_enter(self, room: str, open_rooms: frozenset[str]) -> bool:
        """Whether *room* is theirs: by their token, or by the rooms open to those whose token says nothing."""
        if self.is_publisher:
            return True
        return room in self.rooms if self.rooms is not None else room in open_rooms or "*" in open_rooms


ANONYMOUS = Caller()
