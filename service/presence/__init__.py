"""Who is online, and notifying their friends (docs/design/0007-presence.md).

The way of a change: a stream opens (session) -> tracker -> registry_updates -> registry -> diff -> notifier -> the friends'
streams (subscription). Each module imports only those after it.
"""
