"""How often a user's circle of friends has changed, so that nodes see what others, or the command line, did.

Revises 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("circle_version", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
