"""What is said about people over HTTP and on the command line: users, logins, friends. Forms only; knows no database."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from sse_push.service.identity import Role

UNKNOWN_USER = "User not found"  # fixed by docs/protocol.md
MAX_EMAIL = 254  # characters: RFC 5321's path of 256 without its brackets
MAX_USER_NAME = 128  # characters of a name for people to read
MAX_PASSWORD = 256  # characters: a passphrase; more is work for the hasher alone
MAX_LISTED_USERS = 1000  # users in one list; the next begins behind the last of these
MAX_USER_ID = 2**31 - 1  # what the databases' integers hold

_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f\ud800-\udfff]+@[^\s@\x00-\x1f\x7f\ud800-\udfff]+")
_NAME = re.compile(
    r"[^\x00-\x1f\x7f\ud800-\udfff]*[^\s\x00-\x1f\x7f\ud800-\udfff][^\x00-\x1f\x7f\ud800-\udfff]*"
)


def plain_email(text: str) -> str:
    """The one form of an address: two that differ in case alone are one account's."""
    return text.strip().lower()


def user_number(user_id: str) -> int | None:
    """The number of the account that *user_id* names; ``None`` if it can be no account's."""
    number = int(user_id) if _ID.fullmatch(user_id) else 0
    return number if 1 <= number <= MAX_USER_ID else None


def email_or_none(text: str) -> str | None:
    """The one form of an address; ``None`` for what can be no account's, and may be more than a database takes."""
    email = plain_email(text)
    return email if len(email) <= MAX_EMAIL and _EMAIL.fullmatch(email) else None


def _email(text: str) -> str:
    email = email_or_none(text)
    if email is None:
        raise ValueError("must be an e-mail address")
    return email


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must hold something to read, and no control characters")
    return text.strip()


def _password(secret: SecretStr) -> SecretStr:
    # No rule but this: administrators choose, and guesses are limited where they are made.
    if not 1 <= len(secret.get_secret_value()) <= MAX_PASSWORD:
        raise ValueError(f"must have 1 to {MAX_PASSWORD} characters")
    secret.get_secret_value().encode()  # half a surrogate pair is a ValueError too
    return secret


Email = Annotated[str, Field(max_length=MAX_EMAIL, examples=["ada@example.com"]), AfterValidator(_email)]
UserName = Annotated[str, Field(max_length=MAX_USER_NAME, examples=["Ada"]), AfterValidator(_name)]
Password = Annotated[SecretStr, Field(examples=["correct horse"]), AfterValidator(_password)]


class Login(BaseModel):
    email: str = Field(max_length=1024, examples=["ada@example.com"])
    password: SecretStr = Field(max_length=1024, examples=["correct horse"])


class LoggedIn(BaseModel):
    """A token for what the account may do."""

    access_token: str = Field(examples=["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"])
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds.", examples=[28_800])


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: UserName
    role: Role = Role.USER


class UserChange(BaseModel):
    """What to change of a user; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    name: UserName | None = None
    password: Password | None = None
    role: Role | None = None
    active: bool | None = Field(default=None, description="false: they can't log in any more.")


class User(BaseModel):
    """A user, as administrators see one."""

    id: int = Field(description="A token's `sub` is its text.", examples=[1])
    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada"])
    role: Role
    active: bool = Field(description="false: they can't log in.")
    created_at: str = Field(examples=["2026-01-18T10:30:00.000Z"])
    last_seen: str | None = Field(default=None, examples=["2026-01-18T10:30:00.000Z"])


FriendState = Literal["requested", "asked", "accepted"]


class Friend(BaseModel):
    """How things stand with another user: ``requested`` by the caller, ``asked`` of the caller, or ``accepted``."""

    user_id: int = Field(examples=[2])
    name: str | None = Field(
        default=None,
        description="Absent until they have asked too: a number alone names nobody.",
        examples=["Ben"],
    )
    state: FriendState
