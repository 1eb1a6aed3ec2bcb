"""The console script ``sse-push``: one module for each command."""
