"""Users, friendships, experience with personas.

Revises nothing: the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("last_seen", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "friendships",
        sa.Column("low_id", sa.Integer(), nullable=False),
        sa.Column("high_id", sa.Integer(), nullable=False),
        sa.Column("low_asked", sa.Boolean(), nullable=False),
        sa.Column("high_asked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("low_id", "high_id", name="pk_friendships"),
        sa.ForeignKeyConstraint(["low_id"], ["users.id"], name="fk_friendships_low_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["high_id"], ["users.id"], name="fk_friendships_high_id", ondelete="CASCADE"),
        sa.CheckConstraint("low_id < high_id", name=op.f("ck_friendships_order")),
    )
    op.create_index("ix_friendships_high_id", "friendships", ["high_id"])
    op.create_table(
        "persona_exp",
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("persona_id", sa.Integer(), nullable=False),
        sa.Column("exp", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "persona_id", name="pk_persona_exp"),
    )
    op.create_table(
        "exp_awards",
        sa.Column("job_id", sa.String(200), nullable=False),
        sa.Column("persona_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("new_exp", sa.Integer(), nullable=False),
        sa.Column("awarded_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "persona_id", name="pk_exp_awards"),
    )
    op.create_index("ix_exp_awards_awarded_at", "exp_awards", ["awarded_at"])
