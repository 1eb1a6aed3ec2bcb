"""The engine of many nodes: Redis or Valkey keeps the events, numbers them, and tells every node.

``engine.py`` is the engine, ``session.py`` its connections (``link.py`` each of them), ``feed.py`` what a node takes
from the server, ``standing.py`` how far it is, ``recovery.py`` how it catches up, ``outbox.py`` what it publishes,
``scripts/`` what runs there. docs/design/0006-redis.md tells why it is so.
"""
