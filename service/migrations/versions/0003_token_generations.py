"""Which tokens of an account are good still, and which accounts have changed, so that nodes see it soon.

Revises 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("token_generation", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_table(
        "account_changes",
        sa.Column("user_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("changed_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_account_changes"),
    )
    op.create_index("ix_account_changes_changed_at", "account_changes", ["changed_at"])
