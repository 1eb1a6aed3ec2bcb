"""``make soak``: real nodes under random faults, and a checker of what their streams gave.

Nothing here imports the service or its clients. What the checker knows is docs/protocol.md.
"""
