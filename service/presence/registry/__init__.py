"""The presence registry: which users are online, on all nodes. In memory for one node, on Redis for several."""

from sse_push.events.engines import EMBEDDED
from sse_push.service.presence.registry.base import PresenceRegistry


def open_presence_registry(engine_url: str, node_id: str, *, timeout: float) -> PresenceRegistry:
    """The registry that belongs to the engine at *engine_url*, not yet started.

    Args:
        node_id: The name of this node.
        timeout: Seconds after which a silent node is dead.
    """
    if engine_url == EMBEDDED:
        from sse_push.service.presence.registry.local import LocalRegistry

        return LocalRegistry()
    from sse_push.service.presence.registry.redis.registry import RedisRegistry

    return RedisRegistry(engine_url, node_id, timeout=timeout)
