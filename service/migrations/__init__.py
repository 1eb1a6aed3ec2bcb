"""The database's history: one revision a file in versions/, run by Alembic when a node opens the database.

A new one: a file beside the last that changes what service/tables.py changed, and ``HEAD``. Nodes of the release before
go on working beside it while a fleet is upgraded, so it adds first, and a later release takes away.
"""

HEAD = "0003"  # the newest revision; versions/ is read only when a database is behind it
