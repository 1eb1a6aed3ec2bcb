"""Runs the revisions that a database lacks. Imports Alembic, so it is itself imported only then."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def config(connection: Connection | None = None) -> Config:
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return made


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date within the transaction that *connection* is in.

    Raises:
        alembic.util.CommandError: The database is of a newer release.
    """
    command.upgrade(config(connection), "head")
