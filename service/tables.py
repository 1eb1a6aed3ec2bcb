"""The tables: users, their friendships, what they earned with personas. Nothing of what is done with them.

Times are seconds since the Unix epoch, as everywhere in the service. A change here wants a revision in
service/migrations/; tests/service/test_database.py compares the two.
"""

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, Integer, MetaData, String, text, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sse_push.events.topics import MAX_NAME
from sse_push.service.people import MAX_EMAIL, MAX_USER_NAME

MAX_JOB_ID = 200  # characters of a job's id: a UUID, or a queue's name and number


class Base(DeclarativeBase):
    # Named, so that a revision can drop them by name in either database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UserRow(Base):
    """A user.

    Attributes:
        email: In the one form of :func:`sse_push.service.people.plain_email`.
        last_seen: When they were last online; ``None`` for never.
        circle_version: How often their circle of friends has changed; nodes look whether it did.
        token_generation: How often their tokens were made void; one of an earlier generation is.
    """

    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy's way; a number is never given twice

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    email: Mapped[str] = mapped_column(String(MAX_EMAIL), unique=True)
    name: Mapped[str] = mapped_column(String(MAX_USER_NAME))
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True, server_default=true())
    created_at: Mapped[float] = mapped_column(Float(53))
    last_seen: Mapped[float | None] = mapped_column(Float(53))
    circle_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    token_generation: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class AccountChangeRow(Base):
    """An account whose tokens were made void lately, and when; its user may be removed: no foreign key."""

    __tablename__ = "account_changes"
    __table_args__ = (Index("ix_account_changes_changed_at", "changed_at"),)

    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    changed_at: Mapped[float] = mapped_column(Float(53))


class FriendshipRow(Base):
    """A request between two users, or a friendship once both have asked. One row per pair, so simultaneous requests meet."""

    __tablename__ = "friendships"
    __table_args__ = (
        CheckConstraint("low_id < high_id", name="order"),
        Index("ix_friendships_high_id", "high_id"),
    )

    low_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    high_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    low_asked: Mapped[bool]
    high_asked: Mapped[bool]


class PersonaExpRow(Base):
    """The experience of one user with one persona. Its user may be one of another service's accounts: no foreign key."""

    __tablename__ = "persona_exp"

    user_id: Mapped[str] = mapped_column(String(MAX_NAME), primary_key=True)
    persona_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    exp: Mapped[int] = mapped_column(Integer)


class ExpAwardRow(Base):
    """An award that was given: a job that is done twice earns once."""

    __tablename__ = "exp_awards"
    __table_args__ = (Index("ix_exp_awards_awarded_at", "awarded_at"),)

    job_id: Mapped[str] = mapped_column(String(MAX_JOB_ID), primary_key=True)
    persona_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    user_id: Mapped[str] = mapped_column(String(MAX_NAME))
    new_exp: Mapped[int] = mapped_column(Integer)
    awarded_at: Mapped[float] = mapped_column(Float(53))
