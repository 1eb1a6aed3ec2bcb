"""What happens: events, who may see them, where they are kept, how they look on the wire.

Knows nothing of HTTP, users' accounts or settings.
"""
