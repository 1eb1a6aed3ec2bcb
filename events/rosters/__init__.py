"""Rosters: who is present, and on which nodes. The engine's URL says which: one node's own memory, or Redis for many."""

from sse_push.events.engines import EMBEDDED
from sse_push.events.rosters.base import Roster


def open_roster(engine_url: str, node_id: str, *, timeout: float) -> Roster:
    """The roster that belongs to the engine at *engine_url*, not yet started.

    Args:
        node_id: The name of this node.
        timeout: Seconds after which a node that says nothing is dead.
    """
    if engine_url == EMBEDDED:
        from sse_push.events.rosters.local import LocalRoster

        return LocalRoster()
    from sse_push.events.rosters.redis.roster import RedisRoster

    return RedisRoster(engine_url, node_id, timeout=timeout)
