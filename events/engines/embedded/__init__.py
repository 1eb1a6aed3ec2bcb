"""The engine that needs no server: SQLite in the data directory, one process (docs/design/0002-history.md)."""
