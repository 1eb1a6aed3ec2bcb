"""What Alembic runs in place of itself: here it is given its connection, and its transaction, by run.py."""

from alembic import context

from sse_push.service.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
)
context.run_migrations()
