"""The engine of many nodes: Redis or Valkey keeps the events, numbers them, and tells every node.

``engine.py`` is the engine, ``link.py`` a connection to the server, ``feed.py`` what a node takes from it,
``scripts/`` what runs there. docs/design/0006-redis.md tells why it is so.
"""
